package requestlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// provider marks our rows in the table.
const provider = "deadman"

// busyTimeout is how long one delivery waits for another program. The rows are
// safe in the log, so there is no need to insist.
const busyTimeout = 2 * time.Second

// Row is one deed, as the table shows it.
type Row struct {
	Time       time.Time // when it was done; stored in UTC, to the millisecond
	Agent      string
	Event      string // rollback, restart or failed
	ConfigPath string
	Duration   time.Duration // of the recovery
	OK         bool
	OldHash    string // bytes hash of the config before
	NewHash    string // and after
	Cause      string
	Reason     string
	Snapshot   string
	Record     int64 // id of the record in deadman's own log
}

// details is what error_message holds, for success as well: the table has no
// other place for it.
type details struct {
	OldHash  string `json:"old_config_hash"`
	NewHash  string `json:"new_config_hash"`
	Cause    string `json:"cause"`
	Reason   string `json:"reason"`
	Snapshot string `json:"snapshot"`
	Record   int64  `json:"record_id"`
}

// key tells one of our rows from another. The record's id alone does not: a log
// that was lost begins again at 1.
type key struct {
	timestamp, agent string
	record           int64
}

func (r Row) timestamp() string { return r.Time.UTC().Format("2006-01-02T15:04:05.000Z") }

func (r Row) key() key { return key{r.timestamp(), r.Agent, r.Record} }

// Deliver writes rows into the table at path, in one transaction, creating file,
// table and view if absent. Rows that are there already are not written again,
// so a caller that does not know whether it succeeded delivers again.
//
// The error is ErrForeignTable, or one of the file; nothing was written then.
func Deliver(ctx context.Context, path string, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	// SQLite would create the file with the umask's mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the request log: %w", err)
	}
	f.Close()
	db, err := open(path, "rw")
	if err != nil {
		return fmt.Errorf("cannot open the request log: %w", err)
	}
	defer db.Close()

	// Two looks: at the whole table without a lock that anybody feels, then, with
	// the write lock, at what was added since.
	seen, last, err := look(ctx, db, rows, 0)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil) // the driver's default is BEGIN IMMEDIATE
	if err != nil {
		return fmt.Errorf("cannot write to the request log: %w", err)
	}
	defer tx.Rollback()
	if err := ensure(ctx, tx); err != nil {
		return err
	}
	since, _, err := look(ctx, tx, rows, last)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if slices.Contains(seen, r.key()) || slices.Contains(since, r.key()) {
			continue
		}
		if err := insert(ctx, tx, r); err != nil {
			return fmt.Errorf("cannot write to the request log: %w", err)
		}
		since = append(since, r.key())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cannot write to the request log: %w", err)
	}
	return nil
}

// Check reports whether rows could be delivered as far as the table goes, for
// doctor: nil also when there is no file or no table yet. It writes nothing.
func Check(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := open(path, "ro")
	if err != nil {
		return fmt.Errorf("cannot open the request log: %w", err)
	}
	defer db.Close()
	_, err = inspect(ctx, db)
	return err
}

func open(path, mode string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// modeof: a rollback journal gets the owner and mode of the database. A file
	// that a group shares is of no use to the group when a crash of ours leaves
	// a journal that only we can roll back.
	query := url.Values{"mode": {mode}}
	if mode != "ro" {
		query.Set("modeof", path)
	}
	// In a URI of SQLite a plus is a plus.
	source := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}
	db, err := driver.Open(source.String(), func(c *sqlite3.Conn) error {
		if err := c.BusyTimeout(busyTimeout); err != nil {
			return err
		}
		// EXTRA: a rollback journal that comes back after a commit undoes it, and
		// FULL does not wait for its name to be gone. Our cursor is past the rows.
		return c.Exec(`PRAGMA synchronous = EXTRA; PRAGMA trusted_schema = OFF`)
	})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// look returns the keys of rows that are in the table with an id above after,
// and the highest id that it looked at.
func look(ctx context.Context, db querier, rows []Row, after int64) ([]key, int64, error) {
	if exact, err := inspect(ctx, db); err != nil || !exact {
		return nil, 0, err
	}
	var last int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM request_log`).Scan(&last); err != nil {
		return nil, 0, fmt.Errorf("cannot read the request log: %w", err)
	}
	first, final := rows[0].timestamp(), rows[0].timestamp()
	for _, r := range rows {
		first, final = min(first, r.timestamp()), max(final, r.timestamp())
	}
	found, err := db.QueryContext(ctx, `SELECT timestamp, agent_name, error_message FROM request_log
		WHERE id > ? AND id <= ? AND provider = ? AND timestamp >= ? AND timestamp <= ? AND error_message IS NOT NULL`,
		after, last, provider, first, final)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the request log: %w", err)
	}
	defer found.Close()
	var keys []key
	for found.Next() {
		var k key
		var message string
		if err := found.Scan(&k.timestamp, &k.agent, &message); err != nil {
			return nil, 0, fmt.Errorf("cannot read the request log: %w", err)
		}
		var d details
		if json.Unmarshal([]byte(message), &d) != nil {
			continue // not written by us, whatever its provider says
		}
		k.record = d.Record
		keys = append(keys, k)
	}
	if err := found.Err(); err != nil {
		return nil, 0, fmt.Errorf("cannot read the request log: %w", err)
	}
	return keys, last, nil
}

func insert(ctx context.Context, tx *sql.Tx, r Row) error {
	message, err := json.Marshal(details{r.OldHash, r.NewHash, r.Cause, r.Reason, r.Snapshot, r.Record})
	if err != nil {
		return err
	}
	status := "error"
	if r.OK {
		status = "success"
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO request_log
		(timestamp, agent_name, provider, model, endpoint, latency_ms, status, error_message)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.timestamp(), r.Agent, provider, r.Event, r.ConfigPath, r.Duration.Milliseconds(), status, string(message))
	return err
}
