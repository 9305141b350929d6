package record_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/record"
)

func TestCommitSavesStateAndEntriesTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state dir?#%41") // a path, not a URL
	l := open(t, dir)

	if _, err := l.Load(t.Context(), "a"); !errors.Is(err, record.ErrNoState) {
		t.Fatalf("Load from an empty log: %v", err)
	}
	saved, entries, err := l.Commit(t.Context(), state("a", 0, `{"phase": "healthy"}`), []record.Entry{event(1), event(2)})
	if err != nil {
		t.Fatal(err)
	}
	if saved.Revision != 1 || entries[0].Revision != 1 || entries[1].ID != 2 || entries[1].Prev != entries[0].Hash {
		t.Errorf("saved %+v\nentries %+v", saved, entries)
	}
	got, err := l.Load(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state("a", 1, `{"phase":"healthy"}`), got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(entries, all(t, l, record.Query{})); diff != "" {
		t.Error(diff)
	}
	if n := verify(t, l); n != 2 {
		t.Errorf("verified %d", n)
	}

	// The mode of every file, while it is open and has a WAL.
	for _, name := range names(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"deadman.db"}, names(t, dir)); diff != "" {
		t.Errorf("after the last close: %s", diff)
	}
	if _, err := l.Load(t.Context(), "a"); err == nil || errors.Is(err, record.ErrNoState) {
		t.Errorf("Load from a closed log: %v", err)
	}
}

func TestCommitFollowsARevision(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	first := commit(t, l, state("a", 0, `1`), event(1))
	commit(t, l, first, event(2))

	for _, stale := range []int64{0, 1, 3} {
		_, _, err := l.Commit(t.Context(), state("a", stale, `"stale"`), []record.Entry{event(3)})
		if !errors.Is(err, record.ErrRevision) {
			t.Errorf("Commit on revision %d of 2: %v", stale, err)
		}
	}
	// A refused commit leaves nothing behind, neither state nor entries.
	if n := verify(t, l); n != 2 {
		t.Errorf("%d entries", n)
	}
	if got, _ := l.Load(t.Context(), "a"); got.Revision != 2 {
		t.Errorf("revision %d", got.Revision)
	}
	// A state that the database has lost goes on where its owner is.
	if got := commit(t, l, state("lost", 7, `1`)); got.Revision != 8 {
		t.Errorf("a lost state goes on at revision %d", got.Revision)
	}
	// One bad entry refuses all.
	bad := event(4)
	bad.Body = json.RawMessage(`{"secret":`)
	_, _, err := l.Commit(t.Context(), state("a", 2, `3`), []record.Entry{event(3), bad})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Commit of a bad body: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Commit(ctx, state("a", 2, `3`), []record.Entry{event(3)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit under a canceled context: %v", err)
	}
	if n := verify(t, l); n != 2 {
		t.Errorf("%d entries", n)
	}
}

func TestStateOfAnotherVersionIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	newer := record.Saved{Agent: "a", Version: 9, State: json.RawMessage(`{"future":[1]}`)}
	newer = commit(t, l, newer)

	ours := commit(t, l, state("a", newer.Revision, `{"now":1}`))
	if err := l.Preserve(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := l.Preserve(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	commit(t, l, record.Saved{Agent: "a", Revision: ours.Revision, Version: 1, State: json.RawMessage(`{"now":2}`)})

	kept, err := l.Kept(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]record.Saved{newer, ours}, kept); diff != "" {
		t.Error(diff)
	}
}

func TestEntriesAreChosen(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	const n = 600 // more than two pages
	var entries []record.Entry
	for i := 1; i <= n; i++ {
		e := event(i)
		if e.Agent = "odd"; i%2 == 0 {
			e.Agent = "even"
		}
		if e.Incident = ""; i%100 == 0 {
			e.Incident = "hundred"
		}
		entries = append(entries, e)
	}
	if _, err := l.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name              string
		q                 record.Query
		count             int
		first, last, step int64
	}{
		{"all", record.Query{}, n, 1, n, 1},
		{"newest first", record.Query{Newest: true}, n, n, 1, -1},
		{"after", record.Query{After: 590}, 10, 591, 600, 1},
		{"newest after", record.Query{After: 590, Newest: true, Limit: 3}, 3, 600, 598, -1},
		{"limit over a page", record.Query{Limit: 300}, 300, 1, 300, 1},
		{"limit of a page", record.Query{Limit: 256}, 256, 1, 256, 1},
		{"agent", record.Query{Agent: "even", Limit: 257}, 257, 2, 514, 2},
		{"incident", record.Query{Incident: "hundred"}, 6, 100, 600, 100},
		{"incident and agent", record.Query{Incident: "hundred", Agent: "odd"}, 0, 0, 0, 0},
	} {
		got := all(t, l, tc.q)
		if len(got) != tc.count {
			t.Errorf("%s: %d entries, want %d", tc.name, len(got), tc.count)
			continue
		}
		for i, e := range got {
			if e.ID != tc.first+int64(i)*tc.step || i == len(got)-1 && e.ID != tc.last {
				t.Errorf("%s: entry %d has id %d", tc.name, i, e.ID)
				break
			}
		}
	}
	// A reader may write while it reads: nothing is held between pages.
	for e, err := range l.Entries(t.Context(), record.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID == 1 {
			if err := l.Advance(t.Context(), "sink", e.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCursorNeverGoesBack(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	for _, step := range []struct{ advance, want int64 }{{0, 0}, {5, 5}, {3, 5}, {9, 9}} {
		if err := l.Advance(t.Context(), "request_log", step.advance); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Cursor(t.Context(), "request_log"); err != nil || got != step.want {
			t.Errorf("after %d: %d, %v", step.advance, got, err)
		}
	}
	if got, err := l.Cursor(t.Context(), "another"); err != nil || got != 0 {
		t.Errorf("a new sink: %d, %v", got, err)
	}
}

func TestVerifyFindsTheFirstBreak(t *testing.T) {
	t.Parallel()
	const open3 = `DROP TRIGGER record_no_update; DROP TRIGGER record_no_delete; `
	for _, tc := range []struct {
		name, statement string
		n, id           int64
		why             string
	}{
		{"altered text", `UPDATE record SET reason = 'x' WHERE id = 3`, 2, 3, "was altered"},
		{"altered time", `UPDATE record SET time = 'long ago' WHERE id = 3`, 2, 3, "was altered"},
		{"left out", `DELETE FROM record WHERE id = 3`, 2, 3, "is missing"},
		{
			"left out and closed up", `DELETE FROM record WHERE id = 3; UPDATE record SET id = 3 WHERE id = 4; UPDATE record SET id = 4 WHERE id = 5`,
			2, 3, "does not follow the entry before it",
		},
		{"cut at the front", `DELETE FROM record WHERE id = 1`, 0, 1, "is missing"},
		{"cut at the end", `DELETE FROM record WHERE id > 3`, 3, 5, "is missing from the end"},
		{"emptied", `DELETE FROM record`, 0, 5, "is missing from the end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, dir)
			if _, err := l.Append(t.Context(), []record.Entry{event(1), event(2), event(3), event(4), event(5)}); err != nil {
				t.Fatal(err)
			}
			raw(t, dir, open3+tc.statement)
			n, err := l.Verify(t.Context())
			var broken *record.BrokenChain
			if !errors.As(err, &broken) {
				t.Fatalf("Verify: %v", err)
			}
			if diff := cmp.Diff(&record.BrokenChain{ID: tc.id, Why: tc.why}, broken); diff != "" || n != tc.n {
				t.Errorf("verified %d, want %d; %s", n, tc.n, diff)
			}
		})
	}
}

func TestLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, state("a", 0, `1`), event(1))
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "deadman.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{`UPDATE record SET reason = ''`, `DELETE FROM record`} {
		if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestNewerDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, state("a", 0, `1`), event(1))
	l.Close()
	raw(t, dir, `PRAGMA user_version = 99`)
	path := filepath.Join(dir, "deadman.db")
	before, _ := os.ReadFile(path)

	for name, open := range map[string]func(string) (*record.Log, error){"Open": record.Open, "OpenReadOnly": record.OpenReadOnly} {
		_, err := open(dir)
		var newer *record.NewerError
		if !errors.As(err, &newer) || newer.Version != 99 || newer.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := record.SetAside(t.Context(), dir, epoch); err == nil {
		t.Error("SetAside took a newer database for a damaged one")
	}
	if after, _ := os.ReadFile(path); string(before) != string(after) {
		t.Error("the file has changed")
	}
}

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("this is not a database\n", 1000)))
		},
		"zeros": func(t *testing.T, path string) { write(t, path, make([]byte, 40960)) },
		"overwritten inside": func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(text); i++ {
				text[i] = 0x5a
			}
			write(t, path, text)
		},
		"another program's": func(t *testing.T, path string) {
			os.Remove(path)
			raw(t, filepath.Dir(path), `CREATE TABLE precious (x)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, dir)
			commit(t, l, state("a", 0, `1`), event(1))
			l.Close()
			path := filepath.Join(dir, "deadman.db")
			damage(t, path)
			damaged, _ := os.ReadFile(path)

			l, err := record.Open(dir)
			if err == nil {
				err = l.Check(t.Context())
				l.Close()
			}
			if !errors.Is(err, record.ErrCorrupt) {
				t.Fatalf("opened and checked: %v", err)
			}
			l, kept, err := record.SetAside(t.Context(), dir, epoch)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if want := path + ".corrupt-20260301T120000Z"; kept != want {
				t.Errorf("kept %q, want %q", kept, want)
			}
			if got, _ := os.ReadFile(kept); string(got) != string(damaged) {
				t.Error("the damaged bytes were not kept")
			}
			commit(t, l, state("a", 1, `2`), event(2))
			if n := verify(t, l); n != 1 {
				t.Errorf("the new log has %d entries", n)
			}
			// Sound now, so a second one does nothing.
			again, kept, err := record.SetAside(t.Context(), dir, epoch)
			if err != nil || kept != "" {
				t.Fatalf("set a sound database aside as %q, %v", kept, err)
			}
			defer again.Close()
			if n := verify(t, again); n != 1 {
				t.Errorf("%d entries", n)
			}
		})
	}
}

// A zero file is what remains of a database that was created and never
// written, or truncated by a full disk: there is nothing to keep.
func TestEmptyFileIsANewDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "deadman.db"), nil)
	if _, err := record.OpenReadOnly(dir); !errors.Is(err, record.ErrNoLog) {
		t.Errorf("OpenReadOnly: %v", err)
	}
	commit(t, open(t, dir), state("a", 0, `1`), event(1))
}

func TestLogFollowsItsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	saved := commit(t, l, state("a", 0, `1`), event(1))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(filepath.Join(dir, "deadman.db"+suffix), filepath.Join(dir, "moved"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, l, saved, event(2))
	other := open(t, dir)
	if got, err := other.Load(t.Context(), "a"); err != nil || got.Revision != 2 {
		t.Errorf("another process reads revision %d, %v", got.Revision, err)
	}
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
