package record_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"deadman/internal/record"
)

func openReadOnly(t testing.TB, dir string) *record.Log {
	t.Helper()
	l, err := record.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func revision(t testing.TB, l *record.Log) int64 {
	t.Helper()
	saved, err := l.Load(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return saved.Revision
}

func TestReadOnlyNeedsALog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, dir := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := record.OpenReadOnly(dir); !errors.Is(err, record.ErrNoLog) {
			t.Errorf("OpenReadOnly: %v", err)
		}
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("it created %v", left)
	}
}

func TestReadOnlyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	commit(t, w, state("a", 0, `1`), event(1))
	w.Close()
	look := func() []unix.Stat_t {
		var stats []unix.Stat_t
		for _, path := range []string{dir, filepath.Join(dir, "deadman.db")} {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			st.Atim = unix.Timespec{}
			stats = append(stats, st)
		}
		return stats
	}
	before := look()

	l := openReadOnly(t, dir)
	if got := revision(t, l); got != 1 {
		t.Errorf("revision %d", got)
	}
	if n := verify(t, l); n != 1 {
		t.Errorf("%d entries", n)
	}
	if _, _, err := l.Commit(t.Context(), state("a", 1, `2`), nil); err == nil {
		t.Error("it was written to")
	}
	l.Close()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("directory or file changed: %s", diff)
	}
	if diff := cmp.Diff([]string{"deadman.db"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// A reader that began while nobody wrote sees what is written later, also when
// that writer has gone again: it may not miss that it came.
func TestReadOnlySeesLaterWriters(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	saved := commit(t, w, state("a", 0, `1`), event(1))
	w.Close()
	l := openReadOnly(t, dir)
	if got := revision(t, l); got != 1 {
		t.Fatalf("revision %d", got)
	}

	w = open(t, dir)
	saved = commit(t, w, saved, event(2))
	if got := revision(t, l); got != 2 {
		t.Errorf("beside the writer: revision %d", got)
	}
	commit(t, w, saved, event(3))
	if got := revision(t, l); got != 3 {
		t.Errorf("after another commit: revision %d", got)
	}

	quiet := t.TempDir()
	w = open(t, quiet)
	saved = commit(t, w, state("a", 0, `1`), event(1))
	w.Close()
	l = openReadOnly(t, quiet)
	revision(t, l)
	w = open(t, quiet)
	for n := 2; n <= 30; n++ {
		saved = commit(t, w, saved, event(n))
	}
	w.Close() // cannot checkpoint and remove its WAL under the reader
	if got := revision(t, l); got != saved.Revision {
		t.Errorf("after the writer has gone: revision %d", got)
	}
	if n := verify(t, l); n != 30 {
		t.Errorf("%d entries", n)
	}
	// And the next writer tidies up.
	l.Close()
	w = open(t, quiet)
	if n := verify(t, w); n != 30 {
		t.Errorf("%d entries", n)
	}
	w.Close()
	if diff := cmp.Diff([]string{"deadman.db"}, names(t, quiet)); diff != "" {
		t.Error(diff)
	}
}

// The directory is on a file system that is mounted read-only, as ext4 does by
// itself after an error, or as a container is given it.
func TestReadOnlyFileSystem(t *testing.T) {
	mount := func(t *testing.T, dir string) string {
		view := t.TempDir()
		bindReadOnly(t, dir, view)
		return view
	}
	t.Run("closed", func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, dir)
		commit(t, w, state("a", 0, `1`), event(1))
		w.Close()
		l := openReadOnly(t, mount(t, dir))
		if got := revision(t, l); got != 1 {
			t.Errorf("revision %d", got)
		}
	})
	t.Run("beside a writer", func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, dir)
		saved := commit(t, w, state("a", 0, `1`), event(1))
		l := openReadOnly(t, mount(t, dir))
		commit(t, w, saved, event(2))
		if got := revision(t, l); got != 2 {
			t.Errorf("revision %d", got)
		}
	})
	t.Run("after a kill", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, "writer", dir)
		p.line(t)
		p.Process.Kill()
		p.Wait()
		l := openReadOnly(t, mount(t, dir))
		if got := revision(t, l); got < 1 {
			t.Errorf("revision %d", got)
		}
		if n := verify(t, l); n < 2 {
			t.Errorf("%d entries", n)
		}
	})
}

// What one healthy round of `check` pays: open, one state row, close.
func BenchmarkReadOnlyLoad(b *testing.B) {
	for _, bc := range []struct {
		name string
		live bool
	}{{"nobody writes", false}, {"beside a watch", true}} {
		b.Run(bc.name, func(b *testing.B) {
			dir := b.TempDir()
			w := open(b, dir)
			commit(b, w, state("a", 0, `{"phase":"healthy"}`), event(1))
			if !bc.live {
				w.Close()
			}
			j := record.NewJournal(dir, b.TempDir(), "")
			for b.Loop() {
				if _, err := j.Load(b.Context(), "a"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	l := open(b, b.TempDir())
	saved := state("a", 0, `{"phase":"healthy"}`)
	for b.Loop() {
		saved = commit(b, l, saved, event(1))
	}
}
