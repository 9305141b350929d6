package record

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"
)

const columns = `id, time, boot, uptime, agent, revision, incident, kind, cause, reason, snapshot,
	old_hash, new_hash, outcome, body, prev, hash`

// Query chooses entries. The zero Query is all of them, oldest first.
type Query struct {
	Agent    string // of this agent only
	Incident string // of this incident only
	After    int64  // with an id greater than this
	Limit    int    // at most so many; 0 for all
	Newest   bool   // newest first
}

// page is how many entries are read at a time. Nothing is held between pages,
// so a slow reader keeps neither a lock nor the WAL, and may write to the log
// while it reads.
const page = 256

// Entries yields the entries that q chooses. An error ends it.
func (l *Log) Entries(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		after, before := q.After, int64(math.MaxInt64)
		for left := q.Limit; ; {
			n := page
			if q.Limit > 0 {
				n = min(page, left)
			}
			entries, err := l.page(ctx, q, after, before, n)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			left -= len(entries)
			if len(entries) < n || q.Limit > 0 && left == 0 {
				return
			}
			if last := entries[len(entries)-1].ID; q.Newest {
				before = last
			} else {
				after = last
			}
		}
	}
}

func (l *Log) page(ctx context.Context, q Query, after, before int64, n int) ([]Entry, error) {
	query, args := `SELECT `+columns+` FROM record WHERE id > ? AND id < ?`, []any{after, before}
	if q.Agent != "" {
		query, args = query+` AND agent = ?`, append(args, q.Agent)
	}
	if q.Incident != "" {
		query, args = query+` AND incident = ? AND incident <> ''`, append(args, q.Incident)
	}
	if query += ` ORDER BY id`; q.Newest {
		query += ` DESC`
	}
	query, args = query+` LIMIT ?`, append(args, n)

	var entries []Entry
	err := l.use(ctx, func(db *sql.DB) (err error) {
		entries, err = scan(ctx, db, query, args...)
		return err
	})
	return entries, failed("read the log", err)
}

func scan(ctx context.Context, db querier, query string, args ...any) ([]Entry, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []Entry
	for rows.Next() {
		var e Entry
		var at, body string
		var uptime int64
		if err := rows.Scan(&e.ID, &at, &e.Boot, &uptime, &e.Agent, &e.Revision, &e.Incident, &e.Kind, &e.Cause, &e.Reason,
			&e.Snapshot, &e.OldHash, &e.NewHash, &e.Outcome, &body, &e.Prev, &e.Hash); err != nil {
			return nil, err
		}
		// A time that does not parse stays zero, and Verify finds the entry:
		// one altered row must not hide the others.
		e.Time, _ = time.Parse(time.RFC3339Nano, at)
		e.Uptime = time.Duration(uptime)
		if body != "" {
			e.Body = json.RawMessage(body)
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// Verify reads the whole chain and returns how many entries hold together from
// the first one on. The error is a [*BrokenChain] when one does not.
func (l *Log) Verify(ctx context.Context) (n int64, err error) {
	prev := ""
	for e, err := range l.Entries(ctx, Query{}) {
		switch {
		case err != nil:
			return n, err
		case e.ID != n+1:
			return n, &BrokenChain{ID: n + 1, Why: "is missing"}
		case e.Prev != prev:
			return n, &BrokenChain{ID: e.ID, Why: "does not follow the entry before it"}
		case e.Hash != e.Digest():
			return n, &BrokenChain{ID: e.ID, Why: "was altered"}
		}
		prev = e.Hash
		n++
	}
	// The end is checked against the last id given out; entries that were
	// appended while we read are after it or were read.
	var given int64
	err = l.use(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'record'
			AND NOT EXISTS (SELECT 1 FROM record WHERE id = seq)`).Scan(&given)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return n, nil
	case err != nil:
		return n, failed("read the log", err)
	}
	return n, &BrokenChain{ID: given, Why: "is missing from the end"}
}

// Cursor returns the id of the last entry that a sink is done with, 0 for none.
func (l *Log) Cursor(ctx context.Context, sink string) (int64, error) {
	var id int64
	err := l.use(ctx, func(db *sql.DB) error {
		err := db.QueryRowContext(ctx, `SELECT id FROM sink WHERE name = ?`, sink).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return id, failed(fmt.Sprintf("read the cursor of %q", sink), err)
}

// Advance records that a sink is done with every entry up to id. It never goes
// back.
func (l *Log) Advance(ctx context.Context, sink string, id int64) error {
	return l.write(ctx, fmt.Sprintf("advance the cursor of %q", sink), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sink (name, id) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET id = max(id, excluded.id)`, sink, id)
		return err
	})
}
