package record_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3/driver"
	"golang.org/x/sys/unix"

	"deadman/internal/record"
)

// bench is a journal in temporary directories.
type bench struct {
	*record.Journal
	dir, run string
}

// thisBoot is the id of the boot in which the tests take place.
const thisBoot = "this boot"

func newBench(t testing.TB) bench {
	t.Helper()
	dir, run := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "agents", "a"), 0o700); err != nil {
		t.Fatal(err) // where the mirror of its state lies
	}
	b := bench{record.NewJournal(dir, run, thisBoot), dir, run}
	t.Cleanup(func() { b.Close() })
	return b
}

func (b bench) spool() string { return filepath.Join(b.dir, "spool.jsonl") }

func (b bench) commit(t testing.TB, saved record.Saved, n int, want record.Place) record.Saved {
	t.Helper()
	receipt, err := b.Commit(t.Context(), saved, []record.Entry{event(n)})
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Place != want || (receipt.Err != nil) != want.Degraded() || receipt.Saved.Revision != saved.Revision+1 {
		t.Fatalf("commit %d: place %v, want %v; revision %d; %v", n, receipt.Place, want, receipt.Saved.Revision, receipt.Err)
	}
	return receipt.Saved
}

func (b bench) load(t testing.TB, revision int64, text string) {
	t.Helper()
	got, err := b.Load(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state("a", revision, text), got); diff != "" {
		t.Fatal(diff)
	}
}

// history checks that the log holds the events 1 to n, once each, in order.
func (b bench) history(t testing.TB, n int) {
	t.Helper()
	l, err := b.Log()
	if err != nil {
		t.Fatal(err)
	}
	verify(t, l)
	var got, want []string
	for _, e := range all(t, l, record.Query{}) {
		got = append(got, string(e.Body))
	}
	for i := 1; i <= n; i++ {
		want = append(want, string(event(i).Body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history: %s", diff)
	}
}

// block makes the database unusable without harming it, until the returned
// function is called: another program has it open and will not let go.
func (b bench) block(t testing.TB) (unblock func()) {
	t.Helper()
	b.Close()
	path := filepath.Join(b.dir, "deadman.db")
	if err := os.Rename(path, path+".away"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		os.Remove(path)
		os.Rename(path+".away", path)
	}
}

func TestJournalOpensNothingUntilItMust(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.Load(t.Context(), "a"); !errors.Is(err, record.ErrNoState) {
		t.Errorf("Load: %v", err)
	}
	if n, err := b.Drain(t.Context()); n != 0 || err != nil {
		t.Errorf("Drain: %d, %v", n, err)
	}
	if left := append(names(t, b.dir), names(t, b.run)...); !slices.Equal(left, []string{"agents"}) {
		t.Errorf("it created %v", left)
	}
	saved := b.commit(t, state("a", 0, `{"n":1}`), 1, record.InDatabase)
	b.load(t, 1, `{"n":1}`)
	if _, err := b.Commit(t.Context(), state("a", 0, `2`), nil); !errors.Is(err, record.ErrRevision) {
		t.Errorf("a stale commit: %v", err)
	}
	b.commit(t, saved, 2, record.InDatabase)
	b.history(t, 2)
}

func TestSpoolIsReplayedInOrderAndOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `{"n":1}`), 1, record.InDatabase)

	unblock := b.block(t)
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	saved.State = []byte(`{"n":2,"html":"<&>"}`)
	saved = b.commit(t, saved, 2, record.InSpool)
	saved.State = []byte(`{"n":3,"html":"<&>"}`)
	saved = b.commit(t, saved, 3, record.InSpool)
	b.load(t, 3, `{"n":3,"html":"<&>"}`)
	if _, err := b.Commit(t.Context(), state("a", 2, `0`), nil); !errors.Is(err, record.ErrRevision) {
		t.Errorf("a stale commit while spooling: %v", err)
	}
	if receipt, err := b.Append(t.Context(), []record.Entry{event(4)}); err != nil || receipt.Place != record.InSpool || receipt.Entries[0].ID != 0 {
		t.Errorf("Append: %+v, %v", receipt, err)
	}
	spooled, err := os.ReadFile(b.spool())
	if err != nil {
		t.Fatal(err)
	}

	unblock()
	// Another process, which has seen nothing of this, finds it.
	b.Close()
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	b.load(t, 3, `{"n":3,"html":"<&>"}`)
	saved = b.commit(t, saved, 5, record.InDatabase)
	b.history(t, 5)
	b.load(t, 4, `{"n":3,"html":"<&>"}`)

	// It crashed after the replay and before it emptied the spool.
	write(t, b.spool(), spooled)
	b.load(t, 4, `{"n":3,"html":"<&>"}`)
	b.commit(t, saved, 6, record.InDatabase)
	b.history(t, 6)
	if text, _ := os.ReadFile(b.spool()); len(text) != 0 {
		t.Errorf("the spool still holds %d bytes", len(text))
	}
}

// A commit whose sync failed was spooled, and the recovery of the WAL found it
// whole: it is there twice and happened once.
func TestSpooledCommitThatReachedTheDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
	unblock := b.block(t)
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	b.commit(t, saved, 2, record.InSpool)
	unblock()
	l := open(t, b.dir)
	commit(t, l, saved, event(2))

	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	if n, err := b.Drain(t.Context()); n != 1 || err != nil {
		t.Errorf("Drain: %d, %v", n, err)
	}
	b.history(t, 2)
	b.load(t, 2, `1`)
}

func TestTornSpool(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	unblock := b.block(t)
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	saved := b.commit(t, state("a", 0, `1`), 1, record.InSpool)

	// Killed in the middle of a line.
	text, err := os.ReadFile(b.spool())
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.spool(), append(text, `{"seq":2,"state":{"agent":"a","revision":2,"ver`...))
	b.load(t, 1, `1`)
	saved = b.commit(t, saved, 2, record.InSpool)
	b.load(t, 2, `1`)

	// A line of which a disk has made nonsense is kept, and the rest counts.
	text, err = os.ReadFile(b.spool())
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.spool(), append(text, "\x00\x00nonsense\n"...))
	b.commit(t, saved, 3, record.InSpool)
	unblock()
	if n, err := b.Drain(t.Context()); n != 3 || err != nil {
		t.Errorf("Drain: %d, %v", n, err)
	}
	b.history(t, 3)
	b.load(t, 3, `1`)
	l, err := b.Log()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := l.Kept(t.Context(), "")
	if err != nil || len(kept) != 1 || !strings.Contains(string(kept[0].State), "nonsense") {
		t.Errorf("kept %v, %v", kept, err)
	}
}

func TestSpoolWithoutItsHeadIsReplayedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	unblock := b.block(t)
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	b.commit(t, state("a", 0, `1`), 1, record.InSpool)
	text, err := os.ReadFile(b.spool())
	if err != nil {
		t.Fatal(err)
	}
	_, headless, _ := strings.Cut(string(text), "\n")
	unblock()
	for range 2 {
		write(t, b.spool(), []byte(headless))
		if _, err := b.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.history(t, 1)
}

func TestReadOnlyStateDirectory(t *testing.T) {
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `{"n":1}`), 1, record.InDatabase)
	b.Close()
	unmount := bindReadOnly(t, b.dir, b.dir)

	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	b.load(t, 1, `{"n":1}`)
	saved.State = []byte(`{"n":2}`)
	saved = b.commit(t, saved, 2, record.InRun)
	b.load(t, 2, `{"n":2}`)
	if _, err := b.Commit(t.Context(), state("a", 1, `0`), nil); !errors.Is(err, record.ErrRevision) {
		t.Errorf("a stale commit: %v", err)
	}
	unmount()
	b.commit(t, saved, 3, record.InDatabase)
	b.history(t, 3)
}

func TestNowhere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	j := record.NewJournal(filepath.Join(file, "state"), filepath.Join(file, "run"), "")
	defer j.Close()
	receipt, err := j.Commit(t.Context(), state("a", 0, `1`), []record.Entry{event(1)})
	if receipt.Place != record.Nowhere || err == nil {
		t.Errorf("place %v, %v", receipt.Place, err)
	}
	// Not known is not the same as nothing.
	if _, err := j.Load(t.Context(), "a"); err == nil || errors.Is(err, record.ErrNoState) {
		t.Errorf("Load: %v", err)
	}
}

func TestBusyDatabaseHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	saved := b.commit(t, state("a", 0, `1`), 1, record.InDatabase)
	db, err := driver.Open("file:" + filepath.Join(b.dir, "deadman.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	saved = b.commit(t, saved, 2, record.InSpool)
	saved = b.commit(t, saved, 3, record.InSpool) // without waiting again
	tx.Rollback()
	b.load(t, 3, `1`)
	if n, err := b.Drain(t.Context()); n != 2 || err != nil {
		t.Errorf("Drain: %d, %v", n, err)
	}
	b.history(t, 3)
	_ = saved
}

func TestJournalSetsADamagedDatabaseAside(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	write(t, filepath.Join(b.dir, "deadman.db"), []byte(strings.Repeat("no database\n", 1000)))
	receipt, err := b.Commit(t.Context(), state("a", 4, `1`), []record.Entry{event(1)})
	if err != nil || receipt.Place != record.InSpool || !errors.Is(receipt.Err, record.ErrCorrupt) {
		t.Fatalf("place %v, %v, %v", receipt.Place, receipt.Err, err)
	}
	kept, err := b.SetAside(t.Context(), epoch)
	if err != nil || kept == "" {
		t.Fatalf("SetAside: %q, %v", kept, err)
	}
	b.load(t, 5, `1`)
	b.commit(t, receipt.Saved, 2, record.InDatabase)
	b.history(t, 2)
}

// The disk fills up under the journal, and is emptied again (incident 58).
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mountMegabyte(t, dir)
	b := bench{dir: dir, run: t.TempDir()}
	b.Journal = record.NewJournal(b.dir, b.run, thisBoot)
	defer b.Close()
	if err := record.Reserve(dir, 128<<10); err != nil {
		t.Fatal(err)
	}
	if err := record.Reserve(dir, 10<<20); err == nil {
		t.Error("reserved more than there is")
	}
	saved := b.commit(t, state("a", 0, `1`), 1, record.InDatabase)

	fill := func(name string) {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for chunk := make([]byte, 4096); err == nil; {
			_, err = f.Write(chunk)
		}
	}
	n := 1
	var places []record.Place
	step := func() record.Place {
		t.Helper()
		n++
		saved.State = []byte(fmt.Sprintf(`{"n":%d,"pad":%q}`, n, strings.Repeat("x", 12000)))
		receipt, err := b.Commit(t.Context(), saved, []record.Entry{event(n)})
		if err != nil {
			t.Fatal(err)
		}
		saved = receipt.Saved
		if len(places) == 0 || places[len(places)-1] != receipt.Place {
			places = append(places, receipt.Place)
		}
		b.load(t, saved.Revision, string(saved.State))
		return receipt.Place
	}
	step()
	fill("filler")
	for step() == record.InDatabase { // some pages of the WAL are written over
	}
	fill("rest")
	for step() != record.InRun {
		if n > 200 {
			t.Fatalf("places %v, and no end", places)
		}
	}
	step()
	// Between the reserve and the spool the database may have had room for more.
	want := []record.Place{record.InDatabase, record.InReserve, record.InSpool, record.InRun}
	got := slices.DeleteFunc(slices.Clone(places[1:]), func(p record.Place) bool { return p == record.InDatabase })
	if diff := cmp.Diff(want[1:], got); diff != "" || places[0] != want[0] {
		t.Errorf("places %v: %s", places, diff)
	}

	os.Remove(filepath.Join(dir, "filler"))
	os.Remove(filepath.Join(dir, "rest"))
	if got := step(); got != record.InDatabase {
		t.Errorf("with room again: %v", got)
	}
	b.history(t, n)
	b.load(t, saved.Revision, string(saved.State))
	if err := record.Reserve(dir, 128<<10); err != nil {
		t.Errorf("cannot reserve again: %v", err)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if freed, err := record.Release(dir); freed || err != nil {
		t.Errorf("Release of nothing: %v, %v", freed, err)
	}
	const size = 256 << 10
	for range 2 {
		if err := record.Reserve(dir, size); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "reserve"), &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 < size || st.Mode != unix.S_IFREG|0o600 {
			t.Errorf("%d bytes are allocated, mode %o", st.Blocks*512, st.Mode)
		}
	}
	// Space that is only promised is none: a sparse file is filled.
	if err := os.Truncate(filepath.Join(dir, "reserve"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "reserve"), size); err != nil {
		t.Fatal(err)
	}
	if err := record.Reserve(dir, size); err != nil {
		t.Fatal(err)
	}
	if freed, err := record.Release(dir); !freed || err != nil {
		t.Errorf("Release: %v, %v", freed, err)
	}
	if freed, err := record.Release(dir); freed || err != nil {
		t.Errorf("second Release: %v, %v", freed, err)
	}
	if err := record.Reserve(dir, 1<<60); err == nil {
		t.Error("reserved an exabyte")
	}
}

func TestPlaceHasNames(t *testing.T) {
	t.Parallel()
	for place, name := range map[record.Place]string{
		record.PlaceUnset: "", record.InDatabase: "database", record.InReserve: "reserve",
		record.InSpool: "spool", record.InRun: "run", record.Nowhere: "none",
	} {
		text, err := place.MarshalText()
		if err != nil || string(text) != name {
			t.Errorf("%d: %s, %v", place, text, err)
		}
		back := record.Nowhere
		if err := back.UnmarshalText(text); err != nil || back != place {
			t.Errorf("%q: %v, %v", name, back, err)
		}
	}
	if err := new(record.Place).UnmarshalText([]byte("attic")); err == nil {
		t.Error("read a place that there is not")
	}
}
