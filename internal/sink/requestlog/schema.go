package requestlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// ErrForeignTable: request_log exists with other columns than ours. It was left
// alone.
var ErrForeignTable = errors.New("the table request_log has other columns")

// table is the shared schema, to the letter.
const table = `CREATE TABLE request_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, agent_name TEXT NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
  tokens_in INTEGER, tokens_out INTEGER, latency_ms INTEGER,
  status TEXT NOT NULL, error_message TEXT)`

// view shows our rollbacks. json_valid guards json_extract, which would
// otherwise fail the whole view for one row that another program wrote under
// our name.
const view = `CREATE VIEW rollbacks AS
  SELECT timestamp, agent_name AS agent,
    CASE WHEN json_valid(error_message) THEN json_extract(error_message, '$.old_config_hash') END AS old_config_hash,
    CASE WHEN json_valid(error_message) THEN json_extract(error_message, '$.new_config_hash') END AS new_config_hash
  FROM request_log WHERE provider = 'deadman' AND model = 'rollback'`

// column is what PRAGMA table_info says of one.
type column struct {
	name, kind string
	notNull    bool
	key        int
}

// columns are those of table; a test compares the two.
var columns = []column{
	{"id", "INTEGER", false, 1},
	{"timestamp", "TEXT", true, 0},
	{"agent_name", "TEXT", true, 0},
	{"provider", "TEXT", true, 0},
	{"model", "TEXT", true, 0},
	{"endpoint", "TEXT", true, 0},
	{"tokens_in", "INTEGER", false, 0},
	{"tokens_out", "INTEGER", false, 0},
	{"latency_ms", "INTEGER", false, 0},
	{"status", "TEXT", true, 0},
	{"error_message", "TEXT", false, 0},
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// inspect reports whether the table is there. The error is ErrForeignTable when
// something else has its name.
func inspect(ctx context.Context, db querier) (bool, error) {
	rows, err := db.QueryContext(ctx, `SELECT name, upper(type), "notnull", pk FROM pragma_table_info('request_log')`)
	if err != nil {
		return false, fmt.Errorf("cannot read the request log: %w", err)
	}
	defer rows.Close()
	var found []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.kind, &c.notNull, &c.key); err != nil {
			return false, fmt.Errorf("cannot read the request log: %w", err)
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("cannot read the request log: %w", err)
	}
	switch {
	case len(found) == 0:
		return false, nil
	case !slices.Equal(found, columns):
		return false, fmt.Errorf("cannot use the request log: %w", ErrForeignTable)
	}
	return true, nil
}

// ensure creates what is absent.
func ensure(ctx context.Context, tx *sql.Tx) error {
	exact, err := inspect(ctx, tx)
	if err != nil {
		return err
	}
	if !exact {
		if _, err := tx.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("cannot create the request log: %w", err)
		}
	}
	var taken bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'rollbacks')`).Scan(&taken); err != nil {
		return fmt.Errorf("cannot read the request log: %w", err)
	}
	if !taken {
		if _, err := tx.ExecContext(ctx, view); err != nil {
			return fmt.Errorf("cannot create the view of the request log: %w", err)
		}
	}
	return nil
}
