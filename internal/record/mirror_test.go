package record_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/record"
)

// reopen gives b another journal, as a new process has it.
func (b *bench) reopen(t testing.TB, boot string) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.Journal = record.NewJournal(b.dir, b.run, boot)
}

func (b bench) mirror() string { return filepath.Join(b.dir, "agents", "a", "state.json") }

// ruin makes the database unreadable without making it another file: its head
// is what it was.
func (b bench) ruin(t testing.TB) {
	t.Helper()
	path := filepath.Join(b.dir, "deadman.db")
	if err := os.Truncate(path, 72); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<16); err != nil {
		t.Fatal(err)
	}
}

// A state is loaded without the database: it could not be read.
func TestMirror(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `{"x":"<1>"}`), 1, record.InDatabase)
	saved.State = []byte(`{"x":"<2>"}`)
	b.commit(t, saved, 2, record.InDatabase)
	b.reopen(t, thisBoot)
	b.ruin(t)
	b.load(t, 2, `{"x":"<2>"}`)
}

// What the mirror says is not believed in another boot, of another database, or
// of another agent.
func TestMirrorOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *bench) string{
		"another boot":  func(*testing.T, *bench) string { return "another boot" },
		"no known boot": func(*testing.T, *bench) string { return "" },
		"half a mirror": func(t *testing.T, b *bench) string { truncate(t, b.mirror()); return thisBoot },
		"another's file": func(t *testing.T, b *bench) string {
			replace(t, b.mirror(), `"agent":"a"`, `"agent":"b"`)
			return thisBoot
		},
		"another database": func(t *testing.T, b *bench) string {
			path := filepath.Join(b.dir, "deadman.db")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path+".copy", text) // the old file lives on, so that its inode is not given out again
			if err := os.Rename(path+".copy", path); err != nil {
				t.Fatal(err)
			}
			return thisBoot
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
			b.reopen(t, thisBoot)
			b.reopen(t, spoil(t, &b))
			b.load(t, 1, `1`)
			b.ruin(t)
			if got, err := b.Load(t.Context(), "a"); err == nil || errors.Is(err, record.ErrNoState) {
				t.Errorf("it was believed: %s", got.State)
			}
		})
	}
}

// A database whose head is damaged, or of a newer version, is not hidden behind a
// mirror.
func TestMirrorHidesNoDamage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
	b.reopen(t, thisBoot)
	f, err := os.OpenFile(filepath.Join(b.dir, "deadman.db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("garbage"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Load(t.Context(), "a"); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("Load: %v, want that it is damaged", err)
	}
}

// A mirror is never older than what was committed, wherever that came to rest.
func TestMirrorIsNeverOlder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
	unblock := b.block(t)
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	saved.State = []byte(`2`)
	b.commit(t, saved, 2, record.InSpool)
	if _, err := os.Stat(b.mirror()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mirror outlived a commit that it does not show: %v", err)
	}
	b.load(t, 2, `2`)
	unblock()
	b.reopen(t, thisBoot)
	if _, err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.reopen(t, thisBoot)
	b.load(t, 2, `2`)
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in %s: %v", old, path, err)
	}
	write(t, path, []byte(strings.ReplaceAll(string(text), old, new)))
}

// While a mirror cannot be dropped the database is left as it is, and the spool
// takes what comes.
func TestMirrorThatStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
	if err := os.Remove(b.mirror()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(b.mirror(), "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	saved.State = []byte(`2`)
	saved = b.commit(t, saved, 2, record.InSpool)
	if _, err := b.Drain(t.Context()); err == nil {
		t.Error("the spool was drained beside a mirror that may be older")
	}
	b.load(t, 2, `2`)
	if err := os.RemoveAll(b.mirror()); err != nil {
		t.Fatal(err)
	}
	saved.State = []byte(`3`)
	b.commit(t, saved, 3, record.InDatabase)
	b.load(t, 3, `3`)
	b.history(t, 3)
}
