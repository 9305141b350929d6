package restore_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// small are limits that a file of these tests can pass.
var small = snapshot.Limits{File: 100, Set: 1000, Files: 20}

// keepWithin takes Keep under the limits.
func (w *world) keepWithin(l snapshot.Limits) snapshot.Manifest {
	w.t.Helper()
	look, err := snapshot.ObserveGone(context.Background(), w.sets, l)
	w.must(err)
	m, err := w.store.Save(look, w.sets, snapshot.Meta{Now: now, Evidence: "keep"})
	w.must(err)
	return m
}

// What cannot be kept and stands where a member belongs is moved aside, whole, and
// named; a crash at any point in between changes nothing about that. In nobody's
// way it stays where it is, though a pattern names it.
func TestWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	fifo := func(w *world, name string) { w.must(unix.Mkfifo(w.path(name), 0o600)) }
	socket := func(w *world, name string) { w.must(unix.Mknod(w.path(name), unix.S_IFSOCK|0o600, 0)) }
	dir := func(w *world, name string) { w.write(name+"/inside", "precious") }
	big := func(w *world, name string) { w.write(name, strings.Repeat("precious", 100)) }
	sparse := func(w *world, name string) { w.write(name, ""); w.must(os.Truncate(w.path(name), 10<<30)) }
	for kind, stand := range map[string]func(w *world, name string){"FIFO": fifo, "socket": socket, "directory": dir, "big file": big, "10 GiB, sparse": sparse} {
		for _, at := range []string{"home/config.yaml", "home/conf.d/x.yaml", "home/conf.d"} {
			if kind == "directory" && at == "home/conf.d" {
				continue // belongs there
			}
			t.Run(kind+" at "+at, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml", "conf.d/*.yaml"}})
				w.write("home/config.yaml", "good")
				w.write("home/conf.d/x.yaml", "good")
				good := w.capture("healthy")
				w.sets[0].Dirs = good.Dirs("")
				w.remove(at)
				stand(w, at)
				fifo(w, "home/other.yaml")
				if at != "home/conf.d" {
					stand(w, "home/conf.d/core.yaml")
				}
				was, err := os.Lstat(w.path(at))
				w.must(err)
				keep := w.keepWithin(small)
				p, err := restore.Prepare(now, w.store, good, keep, w.sets, nil)
				w.must(err)
				w.must(p.Save(w.state))
				// A crash right after it was moved, and the rest by the next deadman.
				func() {
					defer func() { _ = recover() }()
					_, _ = restore.ExecuteAt(p, w.store, true, func(point string) {
						if point == "moved aside" {
							panic("crash")
						}
					})
				}()
				report := w.execute(w.load())
				if len(report.Aside) != 1 || w.path("home/"+report.Aside[0].Name) != w.path(at) {
					t.Fatalf("moved aside: %v", report.Aside)
				}
				is, err := os.Lstat(report.Aside[0].To)
				w.must(err)
				if !os.SameFile(is, was) || is.Mode() != was.Mode() || is.Size() != was.Size() {
					t.Errorf("%v was put aside as %v", was, is)
				}
				if kind == "directory" && w.read(strings.TrimPrefix(report.Aside[0].To, w.dir+"/")+"/inside") != "precious" {
					t.Error("what was in it is lost")
				}
				for _, name := range []string{"home/config.yaml", "home/conf.d/x.yaml"} {
					if got := w.read(name); got != "good" {
						t.Errorf("%s holds %q", name, got)
					}
				}
				if at != "home/conf.d" {
					if _, err := os.Lstat(w.path("home/conf.d/core.yaml")); err != nil {
						t.Errorf("what was in nobody's way: %v", err)
					}
				}
				if _, err := os.Lstat(w.path("home/other.yaml")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A file that somebody has written in place of what was left is a file, and not
// what was left.
func TestWhatWasLeftIsNotTakenForAFix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml"}})
	w.write("home/config.yaml", "good")
	good := w.capture("healthy")
	w.remove("home/config.yaml")
	w.write("home/config.yaml", strings.Repeat("big", 100))
	p, err := restore.Prepare(now, w.store, good, w.keepWithin(small), w.sets, nil)
	w.must(err)
	w.must(p.Save(w.state))
	for _, point := range []string{"staged", "before moving aside"} {
		_, err = restore.ExecuteAt(p, w.store, true, writeOnce(point, func() {
			w.must(os.Rename(w.path("home/config.yaml"), w.path("home/old")))
			w.write("home/config.yaml", "theirs")
		}))
		var changed *restore.ErrChangedSinceKeep
		if !errors.As(err, &changed) {
			t.Errorf("%s: error is %v", point, err)
		}
		if got := w.read("home/config.yaml"); got != "theirs" {
			t.Errorf("%s: it holds %q", point, got)
		}
		w.must(os.Rename(w.path("home/old"), w.path("home/config.yaml")))
	}
}

// Where a link that was not there at the time of Keep leads is looked at no
// further than any snapshot could have it.
func TestSparseFileBehindALink(t *testing.T) {
	t.Parallel()
	w, good, _ := scenarios["a link became a file"](t)
	w.must(os.Truncate(w.path("repo/config.yaml"), 1<<40))
	_, err := restore.Execute(context.Background(), w.plan(good), w.store)
	var unkept *restore.UnkeptError
	if !errors.As(err, &unkept) {
		t.Errorf("error is %v", err)
	}
}

// Whoever may write to the directory can put a hard link to somebody's file in
// place of a link that was just made, before that gets its owner.
func TestLinkThatBecomesAHardLink(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"link"}})
	w.link("somewhere", "home/link")
	w.must(os.Lchown(w.path("home/link"), 65534, 65534))
	good := w.capture("healthy")
	w.remove("home/link")
	w.write("victim", "root's")
	p := w.plan(good)
	_, err := restore.ExecuteAt(p, w.store, true, writeOnce("made link", func() {
		w.must(os.Remove(w.path("home/" + p.Steps[0].Temp + ".draft")))
		w.must(os.Link(w.path("victim"), w.path("home/"+p.Steps[0].Temp+".draft")))
	}))
	if err == nil {
		t.Error("no error")
	}
	var st unix.Stat_t
	w.must(unix.Stat(w.path("victim"), &st))
	if st.Uid != 0 {
		t.Errorf("it belongs to user %d", st.Uid)
	}
}
