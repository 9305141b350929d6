package record_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/record"
)

// TestLoadAfterPowerLossInCreation: the database was being created, in the mode
// that SQLite begins with, when the power went. Whoever may only read cannot
// take back what was half written, so that no round could ever begin again.
func TestLoadAfterPowerLossInCreation(t *testing.T) {
	t.Parallel()
	there := t.TempDir()
	path := filepath.Join(there, "deadman.db")
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	// A cache of one page is full at once, and is written to the database.
	if _, err := db.ExecContext(t.Context(), `PRAGMA journal_mode = DELETE; CREATE TABLE x (y); PRAGMA cache_size = 1;
		BEGIN; INSERT INTO x VALUES (zeroblob(100000)); INSERT INTO x VALUES (zeroblob(100000))`); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	for _, suffix := range []string{"", "-journal"} {
		text, err := os.ReadFile(path + suffix)
		if err != nil || len(text) == 0 {
			t.Fatalf("no half-written database to begin with: %d bytes of %s, %v", len(text), suffix, err)
		}
		if err := os.WriteFile(filepath.Join(b.dir, "deadman.db"+suffix), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// With a table of somebody's it is none of ours, and is said to be damaged,
	// which has a remedy. Read only, it would be no more than an error.
	if _, err := b.Load(t.Context(), "a"); !errors.Is(err, record.ErrCorrupt) {
		t.Fatalf("Load: %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "deadman.db-journal")); err == nil {
		t.Error("what was half written was not taken back")
	}
}
