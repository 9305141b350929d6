package restore_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"deadman/internal/document"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// five makes five files in two sets, and breaks them in every way: one
// changed, one deleted with its directory, one added, one with another mode.
func five(t *testing.T) (w *world, good snapshot.Manifest, want string) {
	t.Helper()
	w = newWorld(t,
		snapshot.Set{Label: "home", Root: "home", Files: []string{"config.yaml", ".env", "conf.d/*.yaml"}, Exclude: []string{"*.bak"}},
		snapshot.Set{Label: "tools", Root: "tools", Files: []string{"**/*.json", "*.ini"}},
	)
	w.write("home/config.yaml", "model: good\nport: 1\n")
	w.write("home/.env", "KEY=secret-good\n")
	w.write("home/conf.d/a.yaml", "a: 1\n")
	w.write("tools/deep/er/t.json", "{}\n")
	w.write("tools/x.ini", "[x]\n")
	w.write("home/notes.txt", "outside the patterns\n")
	w.write("home/conf.d/a.yaml.bak", "excluded\n")
	w.chmod("home/.env", 0o600)
	w.chmod("tools/deep", 0o750)
	good = w.capture("healthy")
	want = w.tree()
	w.write("home/config.yaml", "model: secret-bad\nport: 1\nadded: true\n")
	w.chmod("home/config.yaml", 0o666)
	w.chmod("home/.env", 0o644)
	w.write("home/conf.d/new.yaml", "n: 1\n")
	w.write("tools/more/new.json", "[]\n")
	w.remove("tools/deep")
	return w, good, want
}

func TestPutsBackTheWholeSet(t *testing.T) {
	t.Parallel()
	w, good, want := five(t)
	p := w.plan(good)
	same(t, "reverted", p.Reverted(), []restore.Revert{
		{Name: "home/.env", Kind: document.Changed},
		{Name: "home/config.yaml", Kind: document.Changed, Keys: []document.Change{{Path: "added", Kind: document.Removed}, {Path: "model", Kind: document.Changed}}},
		{Name: "tools/deep/er/t.json", Kind: document.Added},
		{Name: "home/conf.d/new.yaml", Kind: document.Removed},
		{Name: "tools/more/new.json", Kind: document.Removed},
	})
	done, pending, err := restore.Inspect(p)
	w.must(err)
	if done || slices.Contains(pending, "tools/x.ini") || !slices.Contains(pending, "home/.env") {
		t.Errorf("before: done %v, pending %q", done, pending)
	}
	report := w.execute(p)
	same(t, "tree", w.tree(), want)
	same(t, "report", report, restore.Report{
		Replaced: []string{"home/.env", "home/config.yaml"},
		Created:  []string{"tools/deep", "tools/deep/er", "tools/deep/er/t.json"},
		Removed:  []string{"home/conf.d/new.yaml", "tools/more/new.json", "tools/more"},
		Kept:     []string{"home/conf.d/a.yaml", "tools/x.ini"},
	})
	if done, pending, err := restore.Inspect(p); !done || err != nil {
		t.Errorf("after: done %v, pending %q, %v", done, pending, err)
	}
	same(t, "report of a second go", w.execute(w.load()), report)
	same(t, "tree after a second go", w.tree(), want)
	w.must(restore.Remove(w.state))
	w.must(restore.Remove(w.state))
	if _, ok, err := restore.Load(w.state); ok || err != nil {
		t.Errorf("a removed plan loads: %v %v", ok, err)
	}
}

// A proven config need not be a good one for the eye: no value may get into
// the plan, which a person is shown.
func TestPlanHoldsNoContents(t *testing.T) {
	t.Parallel()
	w, good, _ := five(t)
	w.plan(good)
	data, err := os.ReadFile(filepath.Join(w.state, "plan.json"))
	w.must(err)
	if strings.Contains(string(data), "secret") {
		t.Error("the plan holds a value")
	}
	info, err := os.Stat(filepath.Join(w.state, "plan.json"))
	w.must(err)
	if info.Mode() != 0o600 {
		t.Errorf("the plan has mode %v", info.Mode())
	}
}

func TestPlanSurvivesItsFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"**"}, Preserve: []document.Key{{File: "c.yaml", Path: "seen"}}})
	w.write("home/c.yaml", "a: 1\nseen: 1\n")
	w.write("home/\xff\xfe", "not UTF-8\n")
	good := w.capture("healthy")
	w.write("home/c.yaml", "a: 2\nseen: 2\n")
	w.write("home/\xff\xfe", "broken\n")
	p := w.plan(good)
	before, err := json.Marshal(p)
	w.must(err)
	after, err := json.Marshal(w.load())
	w.must(err)
	same(t, "loaded plan", string(after), string(before))
	w.execute(w.load())
	if got := w.read("home/\xff\xfe") + w.read("home/c.yaml"); got != "not UTF-8\na: 1\nseen: 2\n" {
		t.Errorf("put back %q", got)
	}
}

func TestUnknownPlanIsAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"newer":   {`{"version": 2}`, "version 2"},
		"none":    {`{}`, "version 0"},
		"damaged": {`{"version": 1, "ste`, "unexpected end"},
		"empty":   {``, "unexpected end"},
		"nothing": {`{"version": 1, "steps": [{"op": "put"}]}`, "names no member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "plan.json"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if p, ok, err := restore.Load(dir); p != nil || ok || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("loaded %v %v: %v", p, ok, err)
			}
		})
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// Incident 49: right bytes, wrong mode. The file itself stays.
func TestRepairsOnlyTheMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"d/config.yaml"}})
	w.write("home/d/config.yaml", "a: 1\n")
	w.chmod("home/d/config.yaml", 0o640)
	good, want := w.capture("healthy"), w.tree()
	before := inode(t, w.path("home/d/config.yaml"))
	w.chmod("home/d/config.yaml", 0o444)
	w.chmod("home/d", 0o700)
	p := w.plan(good)
	report := w.execute(p)
	same(t, "tree", w.tree(), want)
	same(t, "report", report, restore.Report{Replaced: []string{"d/config.yaml", "d"}})
	if inode(t, w.path("home/d/config.yaml")) != before {
		t.Error("the file was replaced")
	}
}

// A file with two names is the same file under both. Repairing it would change
// what the agent's patterns do not name.
func TestFileWithTwoNamesIsReplacedNotRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml"}})
	w.write("home/config.yaml", "a: 1\n")
	good := w.capture("healthy")
	w.must(os.Link(w.path("home/config.yaml"), w.path("home/other")))
	w.chmod("home/other", 0o600)
	w.execute(w.plan(good))
	for name, want := range map[string]os.FileMode{"config.yaml": 0o644, "other": 0o600} {
		info, err := os.Stat(w.path("home/" + name))
		w.must(err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestTouchesWhatBothPatternsNameAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml", "old/*"}})
	for _, name := range []string{"both.yaml", "excluded.yaml", "theirs.yaml", "old/x"} {
		w.write("home/"+name, "then")
	}
	good := w.capture("healthy")
	w.sets[0].Files = []string{"*.yaml", "new/*"}
	w.sets[0].Exclude = []string{"excluded.yaml"}
	w.sets[0].Reads = []string{"theirs.yaml"}
	for _, name := range []string{"both.yaml", "excluded.yaml", "theirs.yaml", "old/x", "new/y", "added.yaml"} {
		w.write("home/"+name, "now")
	}
	w.execute(w.plan(good))
	for name, want := range map[string]string{
		"both.yaml": "then", "excluded.yaml": "now", "theirs.yaml": "now", "old/x": "now", "new/y": "now",
	} {
		if got := w.read("home/" + name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(w.path("home/added.yaml")); err == nil {
		t.Error("a file that was added is still there")
	}
}

func TestRefusesWhatCannotBeRight(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"root moved": {func(w *world) {
			w.must(os.Rename(w.path("home"), w.path("moved")))
			w.sets[0].Root = w.path("moved")
		}, "now names"},
		"nothing in common": {func(w *world) { w.sets[0].Files = []string{"elsewhere.yaml"} }, "holds no file"},
		"all excluded":      {func(w *world) { w.sets[0].Exclude = []string{"*"} }, "holds no file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml"}})
			w.write("home/config.yaml", "a: 1\n")
			good := w.capture("healthy")
			w.write("home/config.yaml", "a: 2\n")
			tt.change(w)
			_, err := restore.Prepare(now, w.store, good, w.capture("keep"), w.sets, nil)
			var refused *restore.RefusedError
			if !errors.As(err, &refused) || refused.Hint() == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestPrepareWantsKeepToBeOfNow(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"changed": func(w *world) { w.write("home/a.yaml", "3") },
		"added":   func(w *world) { w.write("home/b.yaml", "3") },
		"removed": func(w *world) { w.remove("home/a.yaml") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
			w.write("home/a.yaml", "1")
			good := w.capture("healthy")
			w.write("home/a.yaml", "2")
			keep := w.capture("keep")
			change(w)
			_, err := restore.Prepare(now, w.store, good, keep, w.sets, nil)
			var changed *restore.ErrChangedSinceKeep
			if !errors.As(err, &changed) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestRootThatWasReplacedIsAChange(t *testing.T) {
	t.Parallel()
	w, good, _ := five(t)
	p := w.plan(good)
	w.must(os.Rename(w.path("home"), w.path("away")))
	_, err := restore.Execute(context.Background(), p, w.store)
	var refused *restore.RefusedError
	if !errors.As(err, &refused) || refused.Hint() == "" {
		t.Errorf("root gone: %v", err)
	}
	w.must(os.Mkdir(w.path("home"), 0o755))
	before := w.tree()
	_, err = restore.Execute(context.Background(), p, w.store)
	var changed *restore.ErrChangedSinceKeep
	if !errors.As(err, &changed) {
		t.Errorf("root replaced: %v", err)
	}
	same(t, "tree", w.tree(), before)
}

func TestCancelledBeforeTheFirstSwapChangesNothing(t *testing.T) {
	t.Parallel()
	w, good, _ := five(t)
	p := w.plan(good)
	before := w.tree()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := restore.Execute(ctx, p, w.store); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	same(t, "tree", w.tree(), before)
}
