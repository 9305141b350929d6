package restore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"deadman/internal/atomicfile"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

type crash struct{ point string }

// crashAt executes p and crashes at the kth point. It returns the point, or ""
// if there are fewer.
func crashAt(w *world, p *restore.Plan, exchange bool, k int) (point string) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(crash)
			if !ok {
				panic(r)
			}
			point = c.point
		}
	}()
	_, err := restore.ExecuteAt(p, w.store, exchange, func(point string) {
		if k--; k == 0 {
			panic(crash{point})
		}
	})
	w.must(err)
	return ""
}

// scenarios return a broken world and what it is to be again.
var scenarios = map[string]func(t *testing.T) (*world, snapshot.Manifest, string){
	"five files": five,
	"files and directories change places": func(t *testing.T) (*world, snapshot.Manifest, string) {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"**"}})
		w.write("home/a", "file")
		w.write("home/b/c/d", "deep")
		w.write("home/b/e", "less deep")
		w.link("nowhere", "home/l")
		good, want := w.capture("healthy"), w.tree()
		for _, name := range []string{"a", "b", "l"} {
			w.remove("home/" + name)
		}
		w.write("home/a/x/y", "directory")
		w.write("home/b", "file")
		w.write("home/l", "file")
		return w, good, want
	},
	"links": func(t *testing.T) (*world, snapshot.Manifest, string) {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml", "conf.d/*"}, Follow: []string{"repo"}})
		w.write("repo/config.yaml", "a: 1\n")
		w.write("repo/conf.d/x", "x")
		w.link("../repo/config.yaml", "home/config.yaml")
		w.link(w.path("repo/conf.d"), "home/conf.d")
		w.link("/etc/hostname", "home/host.yaml")
		good, want := w.capture("healthy"), w.tree()
		w.write("repo/config.yaml", "a: 2\n")
		w.write("repo/conf.d/x", "y")
		w.write("repo/conf.d/z", "added")
		w.link("/etc/passwd", "home/host.yaml")
		return w, good, want
	},
	"a link became a file": func(t *testing.T) (*world, snapshot.Manifest, string) {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml"}, Follow: []string{"repo"}})
		w.write("repo/config.yaml", "a: 1\n")
		w.link("../repo/config.yaml", "home/config.yaml")
		good, want := w.capture("healthy"), w.tree()
		w.remove("home/config.yaml")
		w.write("home/config.yaml", "a: 2\n")
		return w, good, want
	},
	"a directory became a link": func(t *testing.T) (*world, snapshot.Manifest, string) {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"conf.d/*"}, Follow: []string{"repo"}})
		w.write("repo/conf.d/x", "y")
		w.write("repo/conf.d/z", "not of the set before, nor again")
		w.write("home/conf.d/x", "x")
		good, want := w.capture("healthy"), w.tree()
		w.remove("home/conf.d")
		w.link("../repo/conf.d", "home/conf.d")
		return w, good, want
	},
	"preserved values": func(t *testing.T) (*world, snapshot.Manifest, string) {
		w, good := preserving(t)
		return w, good, preserved(t)
	},
}

// The plan is executed up to each point at which it can crash, and then again
// by a new process. In between no file is anything but old or new, and nothing
// that was live is lost: it is in Keep.
func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	for name, scenario := range scenarios {
		for _, exchange := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/exchange=%v", name, exchange), func(t *testing.T) {
				t.Parallel()
				for k := 1; ; k++ {
					w, good, want := scenario(t)
					keep := w.tree()
					p := w.plan(good)
					point := crashAt(w, p, exchange, k)
					if point == "" {
						if k == 1 {
							t.Error("there was nothing to crash at")
						}
						return
					}
					// A second crash, at the point after.
					crashAt(w, w.load(), exchange, 2)
					report := w.execute(w.load())
					if got := w.tree(); got != want {
						t.Fatalf("crashed at %d, %s: the tree was\n%s\nis\n%s\nwant\n%s", k, point, keep, got, want)
					}
					if done, pending, err := restore.Inspect(p); !done || err != nil {
						t.Errorf("crashed at %d, %s: pending %q, %v", k, point, pending, err)
					}
					if k == 1 && len(report.Replaced)+len(report.Created) == 0 {
						t.Error("the report is empty")
					}
					w.must(w.store.Verify(p.Keep))
				}
			})
		}
	}
}

// A plan that is given up half way through leaves nothing under its names, and
// nothing that keeps the next one from coming to the same.
func TestTidyLeavesNoName(t *testing.T) {
	t.Parallel()
	for k := 1; ; k++ {
		w, good, _ := five(t)
		if crashAt(w, w.plan(good), true, k) == "" {
			return
		}
		w.must(restore.Tidy(w.load(), w.store))
		if tree := w.tree(); strings.Contains(tree, atomicfile.Prefix) {
			t.Fatalf("crashed at %d: left is\n%s", k, tree)
		}
		w.execute(w.plan(good)) // a new one; it reads back what it comes to
	}
}

// A crash in the moment in which there is no file, and then no way to go on:
// what there was is back.
func TestWhatWasSetAsideComesBackFirst(t *testing.T) {
	t.Parallel()
	w, good, _ := five(t)
	before := w.tree()
	p := w.plan(good)
	func() {
		defer func() { _ = recover() }()
		_, _ = restore.ExecuteAt(p, w.store, false, func(point string) {
			if point == "set aside" {
				panic("crash")
			}
		})
	}()
	if w.tree() == before {
		t.Fatal("nothing was set aside")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := restore.Execute(ctx, w.load(), w.store); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	// Directories that were made before it stay for the next go.
	if got := w.read("home/.env"); got != "KEY=secret-good\n" || strings.Contains(w.tree(), ".deadman-") {
		t.Errorf("the tree is\n%s", w.tree())
	}
	if got := w.read("home/config.yaml"); got != "model: secret-bad\nport: 1\nadded: true\n" {
		t.Errorf("config.yaml holds %q", got)
	}
}

// A reader looks at every point: what it finds is the old file or the new one.
func TestNoPointShowsHalfAFile(t *testing.T) {
	t.Parallel()
	w, good, _ := five(t)
	old, new := w.read("home/config.yaml"), "model: good\nport: 1\n"
	seen := map[string]int{}
	_, err := restore.ExecuteAt(w.plan(good), w.store, true, func(point string) {
		got := w.read("home/config.yaml")
		if got != old && got != new {
			t.Errorf("at %s: %q", point, got)
		}
		seen[got]++
	})
	w.must(err)
	if seen[old] == 0 || seen[new] == 0 {
		t.Errorf("saw %v", seen)
	}
}

// Any tree leads to any other, whatever lies between.
func TestAnyTreeToAnyOther(t *testing.T) {
	t.Parallel()
	names := []string{"a", "a/b", "a/b/c", "a/d", "e", "e/f", "g", "g/h"}
	grow := func(w *world, r *rand.Rand) {
		for _, name := range names {
			w.remove("home/" + name)
		}
		for _, i := range r.Perm(len(names)) {
			path := w.path("home/" + names[i])
			if _, err := os.Lstat(path); err == nil || r.IntN(3) == 0 {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				continue // a file or link is in the way
			}
			if r.IntN(5) == 0 {
				w.must(os.Symlink("to "+strconv.Itoa(r.IntN(3)), path))
			} else {
				w.must(os.WriteFile(path, []byte(strconv.Itoa(r.IntN(3))), os.FileMode(0o600+r.IntN(2)*0o44)))
			}
		}
	}
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"**"}})
		grow(w, r)
		good, want := w.capture("healthy"), w.tree()
		if len(good.Members) == 0 {
			continue
		}
		grow(w, r)
		before := w.tree()
		p := w.plan(good)
		crashAt(w, p, seed%2 == 0, 1+r.IntN(20))
		w.execute(w.load())
		if got := w.tree(); got != want {
			t.Fatalf("seed %d: the tree was\n%s\nis\n%s\nwant\n%s", seed, before, got, want)
		}
	}
}
