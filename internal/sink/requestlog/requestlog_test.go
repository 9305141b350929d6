package requestlog_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/sink/requestlog"
)

// given is the schema as the other programs create it.
const given = `CREATE TABLE request_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, agent_name TEXT NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
  tokens_in INTEGER, tokens_out INTEGER, latency_ms INTEGER,
  status TEXT NOT NULL, error_message TEXT)`

const theirs = `INSERT INTO request_log (timestamp, agent_name, provider, model, endpoint, tokens_in, latency_ms, status)
	VALUES ('2026-03-01 12:00:00', 'bezalel', 'anthropic', 'opus', '/v1/messages', 12, 800, 'success')`

var epoch = time.Date(2026, 3, 1, 13, 0, 0, 123456789, time.FixedZone("CET", 3600))

func row(id int64) requestlog.Row {
	return requestlog.Row{
		Time: epoch.Add(time.Duration(id) * time.Minute), Agent: "bezalel", Event: "rollback",
		ConfigPath: "/root/home/config.yaml", Duration: 4200 * time.Millisecond, OK: true,
		OldHash: "old", NewHash: "new", Cause: "config", Reason: "known-good-differs", Snapshot: "s1", Record: id,
	}
}

func deliver(t *testing.T, path string, rows ...requestlog.Row) {
	t.Helper()
	if err := requestlog.Deliver(t.Context(), path, rows); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec1(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// query returns rows as text, columns joined by a bar, as the sqlite3 command
// prints them.
func query(t *testing.T, db *sql.DB, statement string) []string {
	t.Helper()
	rows, err := db.Query(statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var lines []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, v := range values {
			fields = append(fields, v.String)
		}
		lines = append(lines, strings.Join(fields, "|"))
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return lines
}

func TestRowsAreWrittenAsGiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "request log?.db")
	failed := row(8)
	failed.Event, failed.OK = "failed", false
	deliver(t, path, row(7), failed)

	db := open(t, strings.ReplaceAll(path, "?", "%3f"))
	want := []string{
		`1|2026-03-01T12:07:00.123Z|bezalel|deadman|rollback|/root/home/config.yaml|||4200|success|` +
			`{"old_config_hash":"old","new_config_hash":"new","cause":"config","reason":"known-good-differs","snapshot":"s1","record_id":7}`,
		`2|2026-03-01T12:08:00.123Z|bezalel|deadman|failed|/root/home/config.yaml|||4200|error|` +
			`{"old_config_hash":"old","new_config_hash":"new","cause":"config","reason":"known-good-differs","snapshot":"s1","record_id":8}`,
	}
	if diff := cmp.Diff(want, query(t, db, `SELECT * FROM request_log`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2026-03-01T12:07:00.123Z|bezalel|old|new"},
		query(t, db, `SELECT timestamp, agent, old_config_hash, new_config_hash FROM rollbacks`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{given}, query(t, db, `SELECT sql FROM sqlite_master WHERE name = 'request_log'`)); diff != "" {
		t.Error(diff)
	}
	// One file holds everything, and it is ours alone until somebody says otherwise.
	if got := query(t, db, `PRAGMA journal_mode`); got[0] != "delete" {
		t.Errorf("journal mode %v", got)
	}
	db.Close()
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("files: %v", files)
	}
	if info, _ := files[0].Info(); info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Other programs read it with the C library.
func TestCommandLineClientReadsIt(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("no sqlite3 command")
	}
	path := filepath.Join(t.TempDir(), "request_log.db")
	deliver(t, path, row(1))
	for statement, want := range map[string]string{
		`.schema request_log`:          given + ";",
		`SELECT * FROM rollbacks`:      "2026-03-01T12:01:00.123Z|bezalel|old|new",
		`PRAGMA integrity_check`:       "ok",
		theirs:                         "",
		`PRAGMA table_info(rollbacks)`: "0|timestamp|TEXT|0||0\n1|agent|TEXT|0||0\n2|old_config_hash||0||0\n3|new_config_hash||0||0",
	} {
		out, err := exec.Command(client, path, statement).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s:\n%s\n%v", statement, got, err)
		}
	}
	deliver(t, path, row(1), row(2))
	out, err := exec.Command(client, path, `SELECT count(*) FROM request_log`).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "3" {
		t.Errorf("%s rows, %v", got, err)
	}
}

func TestDeliveredTwiceIsWrittenOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "request_log.db")
	db := open(t, path)
	exec1(t, db, given)
	deliver(t, path, row(1), row(2))
	exec1(t, db, theirs)
	deliver(t, path, row(2), row(3), row(3))
	deliver(t, path, row(1))

	other := row(3)
	other.Agent = "another"
	// A log that was lost begins again at 1: the same number, another deed.
	later := row(1)
	later.Time = later.Time.Add(24 * time.Hour)
	deliver(t, path, other, later)
	want := []string{"bezalel|1", "bezalel|2", "bezalel|3", "another|3", "bezalel|1"}
	got := query(t, db, `SELECT agent_name, json_extract(error_message, '$.record_id') FROM request_log WHERE provider = 'deadman' ORDER BY id`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExistingFileIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "request_log.db")
	db := open(t, path)
	exec1(t, db, `PRAGMA journal_mode = WAL`)
	exec1(t, db, strings.ReplaceAll(given, " NOT NULL", "  not null")) // the same columns, written otherwise
	exec1(t, db, `CREATE TABLE rollbacks (x)`)
	exec1(t, db, theirs)
	before := query(t, db, `SELECT name, sql FROM sqlite_master ORDER BY name`)
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	deliver(t, path, row(1))
	if diff := cmp.Diff(before, query(t, db, `SELECT name, sql FROM sqlite_master ORDER BY name`)); diff != "" {
		t.Error(diff)
	}
	if got := query(t, db, `PRAGMA journal_mode`); got[0] != "wal" {
		t.Errorf("journal mode %v", got)
	}
	if got := query(t, db, `SELECT count(*) FROM request_log`); got[0] != "2" {
		t.Errorf("%v rows", got)
	}
	if info, _ := os.Stat(path); info.Mode() != 0o660 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestForeignTableIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"one more column":  strings.Replace(given, "error_message TEXT)", "error_message TEXT, cost REAL)", 1),
		"one less":         strings.Replace(given, ", error_message TEXT", "", 1),
		"another type":     strings.Replace(given, "latency_ms INTEGER", "latency_ms REAL", 1),
		"not null missing": strings.Replace(given, "provider TEXT NOT NULL", "provider TEXT", 1),
		"another order":    strings.Replace(given, "provider TEXT NOT NULL, model TEXT NOT NULL", "model TEXT NOT NULL, provider TEXT NOT NULL", 1),
		"a view":           `CREATE VIEW request_log AS SELECT 1 AS id`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "request_log.db")
			db := open(t, path)
			exec1(t, db, statement)
			if err := requestlog.Deliver(t.Context(), path, []requestlog.Row{row(1)}); !errors.Is(err, requestlog.ErrForeignTable) {
				t.Errorf("Deliver: %v", err)
			}
			if err := requestlog.Check(t.Context(), path); !errors.Is(err, requestlog.ErrForeignTable) {
				t.Errorf("Check: %v", err)
			}
			if got := query(t, db, `SELECT sql FROM sqlite_master`); len(got) == 0 || got[0] != statement || strings.Contains(strings.Join(got, ""), "rollbacks") {
				t.Errorf("it has become %v", got)
			}
		})
	}
}

func TestCheckWritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "request_log.db")
	if err := requestlog.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("it created %v", files)
	}
	deliver(t, path, row(1))
	if err := requestlog.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := requestlog.Check(t.Context(), path); err == nil {
		t.Error("a file that is no database passed")
	}
}

// A row of another program under our name must not break the view, nor hide ours.
func TestRowsUnderOurName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "request_log.db")
	deliver(t, path, row(1))
	db := open(t, path)
	for i, message := range []string{`'not json'`, `NULL`, `'[1]'`, `'{"record_id":"2"}'`} {
		exec1(t, db, fmt.Sprintf(`INSERT INTO request_log (timestamp, agent_name, provider, model, endpoint, status, error_message)
			VALUES ('%s', 'bezalel', 'deadman', 'rollback', %d, 'success', %s)`, "2026-03-01T12:02:00.123Z", i, message))
	}
	deliver(t, path, row(2))
	deliver(t, path, row(2))
	if got := query(t, db, `SELECT new_config_hash FROM rollbacks`); len(got) != 6 {
		t.Errorf("%d rows: %v", len(got), got)
	}
}

func TestWriterBesideUs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "request_log.db")
	deliver(t, path, row(1))
	db := open(t, path)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(theirs); err != nil {
		t.Fatal(err)
	}
	// Held for longer than we wait: the rows wait behind their cursor.
	if err := requestlog.Deliver(t.Context(), path, []requestlog.Row{row(2)}); err == nil {
		t.Error("delivered into another program's transaction")
	}
	done := make(chan error)
	go func() { done <- requestlog.Deliver(t.Context(), path, []requestlog.Row{row(2)}) }()
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := query(t, db, `SELECT count(*) FROM request_log`); got[0] != "3" {
		t.Errorf("%v rows", got)
	}
}
