package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman/internal/restore"
	"deadman/internal/snapshot"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a directory with the roots of an agent's sets, and its store.
type world struct {
	t     *testing.T
	dir   string // of the roots
	state string
	store *snapshot.Store
	sets  []snapshot.Set
}

// newWorld makes a world with sets whose roots are given relative to its
// directory, and so are the directories they follow.
func newWorld(t *testing.T, sets ...snapshot.Set) *world {
	t.Helper()
	w := &world{t: t, dir: fastDir(t), state: filepath.Join(fastDir(t), "agents/a")}
	for _, s := range sets {
		s.Root = filepath.Join(w.dir, s.Root)
		for i := range s.Follow {
			s.Follow[i] = filepath.Join(w.dir, s.Follow[i])
		}
		w.must(os.MkdirAll(s.Root, 0o755))
		w.sets = append(w.sets, s)
	}
	var err error
	w.store, err = snapshot.Open(w.state, "a")
	w.must(err)
	t.Cleanup(func() { w.store.Close() })
	return w
}

// fastDir returns a directory in memory, where there is one: the crash tests
// execute some hundred plans, and a sync to a disk takes its time.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "deadman-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write writes a file, and the directories above it.
func (w *world) write(name, text string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.must(os.WriteFile(w.path(name), []byte(text), 0o644))
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	w.must(err)
	return string(b)
}

func (w *world) chmod(name string, mode fs.FileMode) {
	w.t.Helper()
	w.must(os.Chmod(w.path(name), mode))
}

func (w *world) remove(name string) {
	w.t.Helper()
	w.must(os.RemoveAll(w.path(name)))
}

func (w *world) link(target, name string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	if err := os.Remove(w.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	w.must(os.Symlink(target, w.path(name)))
}

// capture takes a snapshot of the live files.
func (w *world) capture(evidence string) snapshot.Manifest {
	w.t.Helper()
	look, err := snapshot.Observe(context.Background(), w.sets, snapshot.DefaultLimits)
	w.must(err)
	m, err := w.store.Save(look, slices.Clone(w.sets), snapshot.Meta{Now: now, Evidence: evidence})
	w.must(err)
	return m
}

// plan prepares and saves the plan that leads back to target.
func (w *world) plan(target snapshot.Manifest) *restore.Plan {
	w.t.Helper()
	keep := w.capture("keep")
	p, err := restore.Prepare(now, w.store, target, keep, w.sets, []snapshot.Manifest{keep})
	w.must(err)
	w.must(p.Save(w.state))
	return p
}

// load is what a new process does after a crash.
func (w *world) load() *restore.Plan {
	w.t.Helper()
	p, ok, err := restore.Load(w.state)
	w.must(err)
	if !ok {
		w.t.Fatal("the plan is gone")
	}
	return p
}

func (w *world) execute(p *restore.Plan) restore.Report {
	w.t.Helper()
	r, err := restore.Execute(context.Background(), p, w.store)
	w.must(err)
	return r
}

// tree lists everything in the world, one line each, leftovers included.
func (w *world) tree() string {
	w.t.Helper()
	var out strings.Builder
	w.must(filepath.WalkDir(w.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == w.dir {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(w.dir, path)
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%s %v %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		switch info.Mode().Type() {
		case 0:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %q", b)
		case fs.ModeSymlink:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&out, " -> %s", target)
		}
		out.WriteString("\n")
		return nil
	}))
	return out.String()
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

// needRoot skips a test that a plain user cannot run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
}
