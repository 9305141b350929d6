package restore_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// writeOnce returns a hook that calls do the first time a point is reached.
func writeOnce(point string, do func()) func(string) {
	done := false
	return func(at string) {
		if at == point && !done {
			done = true
			do()
		}
	}
}

// A file that is added while the plan is carried out is in nobody's way, but
// the set is not the snapshot's.
func TestFileThatIsAddedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
	w.write("home/a.yaml", "good")
	good := w.capture("healthy")
	w.write("home/a.yaml", "bad")
	_, err := restore.ExecuteAt(w.plan(good), w.store, true, writeOnce("exchanged", func() { w.write("home/b.yaml", "added") }))
	var mismatch *restore.MismatchError
	if !errors.As(err, &mismatch) || len(mismatch.Names) != 1 || mismatch.Names[0] != "b.yaml" {
		t.Errorf("error is %v", err)
	}
}

// Somebody writes at the last moment. What they wrote stays where they wrote
// it, and the next plan finds it in a new Keep.
func TestWhatIsWrittenMeanwhileIsNotLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, point string
		exchange    bool
		change      func(w *world)
	}{
		{"written before the swap", "before exchange", true, func(w *world) { w.write("home/a.yaml", "theirs") }},
		{"replaced before the swap", "before exchange", true, func(w *world) { w.remove("home/a.yaml"); w.write("home/a.yaml", "theirs") }},
		{"longer", "before exchange", true, func(w *world) { w.write("home/a.yaml", strings.Repeat("theirs", 1000)) }},
		{"a link", "before exchange", true, func(w *world) { w.link("theirs", "home/a.yaml") }},
		{"while staging", "staged", true, func(w *world) { w.write("home/a.yaml", "theirs") }},
		{"without exchange", "before exchange", false, func(w *world) { w.write("home/a.yaml", "theirs") }},
		{"where there was none", "before create", true, func(w *world) { w.write("home/gone.yaml", "theirs") }},
		{"before it is repaired", "before repair", true, func(w *world) { w.write("home/mode.yaml", "theirs") }},
		{"before it is removed", "before remove", true, func(w *world) { w.write("home/new.yaml", "theirs") }},
		{"in the gap without exchange", "set aside", false, func(w *world) { w.write("home/a.yaml", "theirs") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
			w.write("home/a.yaml", "good")
			w.write("home/gone.yaml", "good")
			w.write("home/mode.yaml", "good")
			good, want := w.capture("healthy"), w.tree()
			w.write("home/a.yaml", "bad")
			w.remove("home/gone.yaml")
			w.chmod("home/mode.yaml", 0o600)
			w.write("home/new.yaml", "new")
			p := w.plan(good)
			_, err := restore.ExecuteAt(p, w.store, tt.exchange, writeOnce(tt.point, func() { tt.change(w) }))
			var changed *restore.ErrChangedSinceKeep
			if !errors.As(err, &changed) {
				t.Fatalf("error is %v", err)
			}
			tree := w.tree()
			if !strings.Contains(tree, "theirs") {
				t.Errorf("it is lost:\n%s", tree)
			}
			if strings.Contains(tree, ".deadman-") {
				t.Errorf("something is left:\n%s", tree)
			}
			again := w.plan(good)
			kept, err := w.store.Load(again.Keep)
			w.must(err)
			if m, ok := kept.Member(changed.Name); !ok || m.SHA256 == "" {
				t.Errorf("%s is not kept", changed.Name)
			}
			w.execute(again)
			same(t, "tree", w.tree(), want)
		})
	}
}

// A writer, and a crash before the displaced file was looked at.
func TestWhatWasDisplacedInACrashIsLookedAt(t *testing.T) {
	t.Parallel()
	for _, exchange := range []bool{true, false} {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
		w.write("home/a.yaml", "good")
		good := w.capture("healthy")
		w.write("home/a.yaml", "bad")
		p := w.plan(good)
		func() {
			defer func() { _ = recover() }()
			_, _ = restore.ExecuteAt(p, w.store, exchange, func(point string) {
				switch point {
				case "before exchange":
					w.write("home/a.yaml", "theirs")
				case "exchanged", "set aside":
					panic("crash")
				}
			})
		}()
		if exchange && w.read("home/a.yaml") != "good" {
			t.Fatal("there was no swap")
		}
		if done, _, err := restore.Inspect(p); done || err != nil {
			t.Errorf("done %v, %v", done, err)
		}
		_, err := restore.Execute(context.Background(), w.load(), w.store)
		var changed *restore.ErrChangedSinceKeep
		if !errors.As(err, &changed) {
			t.Errorf("error is %v", err)
		}
		if got := w.read("home/a.yaml"); got != "theirs" || strings.Contains(w.tree(), ".deadman-") {
			t.Errorf("a.yaml holds %q:\n%s", got, w.tree())
		}
	}
}

// Links that lead out, planted before Keep: each is replaced by what belongs
// there, and what it led to is not so much as touched.
func TestPlantedLinksAreReplaced(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(w *world, outside string){
		"file":            func(w *world, outside string) { w.link(outside+"/passwd", "home/config.yaml") },
		"dangling":        func(w *world, outside string) { w.link(outside+"/missing", "home/config.yaml") },
		"directory":       func(w *world, outside string) { w.remove("home/conf.d"); w.link(outside, "home/conf.d") },
		"within the root": func(w *world, outside string) { w.remove("home/conf.d"); w.link("private", "home/conf.d") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml", "conf.d/*"}})
			outside := t.TempDir()
			w.must(os.WriteFile(outside+"/passwd", []byte("root"), 0o644))
			w.must(os.WriteFile(outside+"/x", []byte("root"), 0o644))
			w.write("home/private/x", "root")
			w.write("home/config.yaml", "a: 1\n")
			w.write("home/conf.d/x", "good")
			good, want := w.capture("healthy"), w.tree()
			plant(w, outside)
			w.execute(w.plan(good))
			same(t, "tree", w.tree(), want)
			entries, err := os.ReadDir(outside)
			w.must(err)
			for _, e := range entries {
				if b, _ := os.ReadFile(outside + "/" + e.Name()); string(b) != "root" || len(entries) != 2 {
					t.Errorf("outside, %s holds %q", e.Name(), b)
				}
			}
		})
	}
}

// A directory becomes a link while the plan is carried out.
func TestDirectoryThatBecomesALink(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"created draft", "wrote draft", "staged", "before exchange", "exchanged"} {
		for _, where := range []string{"outside", "home/private"} {
			w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"conf.d/*"}})
			w.write("home/conf.d/x", "good")
			good := w.capture("healthy")
			w.write("home/conf.d/x", "bad")
			w.write(where+"/x", "theirs")
			_, err := restore.ExecuteAt(w.plan(good), w.store, true, writeOnce(point, func() {
				w.must(os.Rename(w.path("home/conf.d"), w.path("home/moved")))
				w.link(w.path(where), "home/conf.d")
			}))
			if err == nil {
				t.Errorf("%s, %s: no error", point, where)
			}
			entries, _ := os.ReadDir(w.path(where))
			if got := w.read(where + "/x"); got != "theirs" || len(entries) != 1 {
				t.Errorf("%s: wrote through a planted link to %s: %q and %d names", point, where, got, len(entries))
			}
		}
	}
}

func TestFollowedLinkIsWrittenThrough(t *testing.T) {
	t.Parallel()
	w, good, want := scenarios["links"](t)
	report := w.execute(w.plan(good))
	same(t, "tree", w.tree(), want)
	same(t, "report", report, restore.Report{
		Replaced:     []string{"host.yaml", "conf.d/x", "config.yaml"},
		Removed:      []string{"conf.d/z"},
		Kept:         []string{"conf.d"},
		WroteThrough: []string{w.path("repo/conf.d/x"), w.path("repo/config.yaml"), w.path("repo/conf.d/z")},
	})
}

func TestPermissionToFollowThatWasWithdrawn(t *testing.T) {
	t.Parallel()
	w, good, _ := scenarios["links"](t)
	w.sets[0].Follow = nil
	report := w.execute(w.plan(good))
	if got := w.read("repo/config.yaml"); got != "a: 2\n" {
		t.Errorf("wrote through: %q", got)
	}
	if !strings.Contains(strings.Join(report.Notes, "\n"), "config.yaml") {
		t.Errorf("notes: %q", report.Notes)
	}
	if target, _ := os.Readlink(w.path("home/host.yaml")); target != "/etc/hostname" {
		t.Errorf("a plain link leads to %q", target)
	}
}

// The link was replaced by a file (incident 47), so Keep has not seen what it
// led to, and that is nowhere else.
func TestWhatALinkLedToIsNotOverwrittenUnkept(t *testing.T) {
	t.Parallel()
	w, good, _ := scenarios["a link became a file"](t)
	w.write("repo/config.yaml", "written by a sync meanwhile\n")
	p := w.plan(good)
	before := w.tree()
	_, err := restore.Execute(context.Background(), p, w.store)
	var unkept *restore.UnkeptError
	if !errors.As(err, &unkept) || unkept.Hint() == "" {
		t.Errorf("error is %v", err)
	}
	same(t, "tree", w.tree(), before)
}

// Whoever may write to the directory may write to a staged file. Reading back
// finds it.
func TestStagedFileThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"a.yaml"}})
	w.write("home/a.yaml", "good")
	good, want := w.capture("healthy"), w.tree()
	w.write("home/a.yaml", "bad")
	p := w.plan(good)
	_, err := restore.ExecuteAt(p, w.store, true, writeOnce("staged", func() {
		w.write("home/"+p.Steps[0].Temp, "evil")
	}))
	var mismatch *restore.MismatchError
	if !errors.As(err, &mismatch) || len(mismatch.Names) != 1 || mismatch.Names[0] != "a.yaml" {
		t.Errorf("error is %v", err)
	}
	w.execute(w.plan(good))
	same(t, "tree", w.tree(), want)
}

// Whoever owns the parent of a root, of a directory above it, or of one that
// `follow` names can put a link there. What it leads to is not the agent's, and
// is neither written nor removed, whenever the link is planted.
func TestRootThatBecomesALink(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"home", "home/a", "repo"} {
		for _, when := range []string{"before keep", "after the plan", "staged", "before exchange"} {
			t.Run(at+" "+when, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, snapshot.Set{Root: "home/a", Files: []string{"*.yaml"}, Follow: []string{"repo"}})
				w.write("home/a/x.yaml", "good")
				w.write("repo/y.yaml", "good")
				w.link(w.path("repo/y.yaml"), "home/a/y.yaml")
				good := w.capture("healthy")
				w.must(w.store.SetKnownGood(good.ID, false))
				w.write("home/a/x.yaml", "bad")
				w.write("repo/y.yaml", "bad")
				for _, name := range []string{"x.yaml", "y.yaml", "z.yaml", "a/x.yaml", "a/y.yaml", "a/z.yaml"} {
					w.write("victim/"+name, "theirs")
				}
				plant := func() {
					w.must(os.Rename(w.path(at), w.path("moved")))
					w.link(w.path("victim"), at)
				}
				var err error
				if when == "before keep" {
					plant()
					keep := w.capture("keep")
					_, err = restore.Prepare(now, w.store, good, keep, w.sets, nil)
					var astray *snapshot.AstrayError
					if !errors.As(err, &astray) || astray.Hint() == "" || astray.Agent != "a" {
						t.Errorf("error is %v", err)
					}
				} else {
					p := w.plan(good)
					if when == "after the plan" {
						plant()
					}
					_, err = restore.ExecuteAt(p, w.store, true, writeOnce(when, plant))
				}
				if err == nil && when != "before exchange" && when != "staged" {
					t.Error("no error")
				}
				for _, name := range []string{"x.yaml", "y.yaml", "z.yaml", "a/x.yaml", "a/y.yaml", "a/z.yaml"} {
					if got := w.read("victim/" + name); got != "theirs" {
						t.Errorf("%s of somebody else holds %q", name, got)
					}
				}
				if entries, _ := os.ReadDir(w.path("victim")); len(entries) != 4 {
					t.Errorf("there are %d names", len(entries))
				}
			})
		}
	}
}

// A link in the root's path that was there at the first capture is the user's.
// So is a directory that was made anew, however it got its inode.
func TestRootsThatAreTheUsersOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "real", Files: []string{"*.yaml"}})
	w.link("real", "home")
	w.sets[0].Root = w.path("home")
	w.write("home/x.yaml", "good")
	good := w.capture("healthy")
	w.must(w.store.SetKnownGood(good.ID, false))
	w.must(os.Rename(w.path("real"), w.path("old")))
	w.write("real/x.yaml", "bad")
	w.execute(w.plan(good))
	if got := w.read("real/x.yaml"); got != "good" {
		t.Errorf("it holds %q", got)
	}
	w.remove("home")
	w.write("home/x.yaml", "bad")
	w.execute(w.plan(good))
	if got := w.read("home/x.yaml"); got != "good" {
		t.Errorf("it holds %q", got)
	}
}

// What stands in the place of a directory of the known good is kept, and makes
// room for it, though no pattern names it.
func TestWhatStandsInADirectorysPlace(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"conf.d/*.yaml", "*/*.yaml", "**/*.yaml"} {
		for kind, stand := range map[string]func(w *world){
			"file":          func(w *world) { w.write("home/conf.d", "precious") },
			"link":          func(w *world) { w.link("../outside", "home/conf.d") },
			"dangling link": func(w *world) { w.link("nowhere", "home/conf.d") },
		} {
			t.Run(pattern+" "+kind, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"main.yaml", pattern}})
				w.write("outside/x.yaml", "theirs")
				w.write("home/notes.txt", "nobody's business")
				w.write("home/main.yaml", "good")
				w.write("home/conf.d/x.yaml", "good")
				good, want := w.capture("healthy"), w.tree()
				w.sets[0].Dirs = good.Dirs("")
				w.write("home/main.yaml", "bad")
				w.remove("home/conf.d")
				stand(w)
				p := w.plan(good)
				kept, err := w.store.Load(p.Keep)
				w.must(err)
				m, ok := kept.Member("conf.d")
				if !ok || m.Type == snapshot.Dir {
					t.Errorf("it is not kept: %+v", m)
				}
				if _, ok := kept.Member("notes.txt"); ok {
					t.Error("a file that is in nobody's way is captured")
				}
				w.execute(p)
				same(t, "tree", w.tree(), want)
				// And back: what was kept can be put back as well.
				w.execute(w.plan(kept))
				if got, err := os.Lstat(w.path("home/conf.d")); err != nil || got.IsDir() {
					t.Errorf("it is not put back: %v, %v", got, err)
				}
			})
		}
	}
}
