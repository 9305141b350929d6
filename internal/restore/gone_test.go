package restore_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// keepGone takes Keep of roots that may be gone, and plans the way back.
func (w *world) keepGone(target snapshot.Manifest) *restore.Plan {
	w.t.Helper()
	look, err := snapshot.ObserveGone(context.Background(), w.sets, snapshot.DefaultLimits)
	w.must(err)
	keep, err := w.store.Save(look, w.sets, snapshot.Meta{Now: now, Evidence: "keep"})
	w.must(err)
	p, err := restore.Prepare(now, w.store, target, keep, w.sets, nil)
	w.must(err)
	w.must(p.Save(w.state))
	return p
}

// A root that was deleted whole is made anew, also after a crash in between.
func TestRootThatIsGone(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{"", "made root", "wrote draft", "staged", "before create", "created"} {
		t.Run(crash, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "up/home", Files: []string{"*.yaml", "conf.d/*"}})
			w.write("up/home/a.yaml", "good")
			w.write("up/home/conf.d/b", "good")
			w.chmod("up/home", 0o751)
			if os.Geteuid() == 0 {
				w.must(os.Chown(w.path("up/home"), 65534, 65534))
			}
			good, want := w.capture("healthy"), w.tree()
			w.remove("up/home")
			p := w.keepGone(good)
			if done, _, err := restore.Inspect(p); done || err != nil {
				t.Errorf("done %v, %v", done, err)
			}
			if crash != "" {
				func() {
					defer func() { _ = recover() }()
					_, _ = restore.ExecuteAt(p, w.store, true, writeOnce(crash, func() { panic("crash") }))
				}()
				if w.tree() == want {
					t.Fatal("there was no crash")
				}
			}
			w.execute(w.load())
			same(t, "tree", w.tree(), want)
		})
	}
}

// What is put in the place of a root that was gone is not what was made there.
func TestRootThatIsGoneAndPlanted(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(w *world){
		"link":           func(w *world) { w.link("../victim", "up/home") },
		"link above":     func(w *world) { w.remove("up"); w.link("victim", "up") },
		"file":           func(w *world) { w.write("up/home", "theirs") },
		"with a file":    func(w *world) { w.write("up/home/a.yaml", "theirs") },
		"nothing, above": func(w *world) { w.remove("up") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "up/home", Files: []string{"*.yaml"}})
			w.write("victim/a.yaml", "theirs")
			w.write("up/home/a.yaml", "good")
			good := w.capture("healthy")
			w.remove("up/home")
			p := w.keepGone(good)
			plant(w)
			want := w.tree()
			_, err := restore.Execute(context.Background(), p, w.store)
			var refused *restore.RefusedError
			if err == nil || name == "nothing, above" && !errors.As(err, &refused) {
				t.Errorf("error is %v", err)
			}
			same(t, "tree", w.tree(), want)
		})
	}
}
