package record

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Load returns the saved state of an agent, or ErrNoState.
func (l *Log) Load(ctx context.Context, agent string) (Saved, error) {
	var saved Saved
	err := l.use(ctx, func(db *sql.DB) (err error) {
		saved, err = load(ctx, db, agent)
		return err
	})
	if err != nil {
		return Saved{}, fmt.Errorf("cannot load the state of agent %q: %w", agent, err)
	}
	return saved, nil
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func load(ctx context.Context, db querier, agent string) (Saved, error) {
	saved := Saved{Agent: agent}
	var state string
	err := db.QueryRowContext(ctx, `SELECT revision, version, state FROM state WHERE agent = ?`, agent).
		Scan(&saved.Revision, &saved.Version, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return Saved{}, ErrNoState
	}
	if err != nil {
		return Saved{}, failed("read the state", err)
	}
	saved.State = json.RawMessage(state)
	return saved, nil
}

// Commit saves the state and appends the entries that belong to it, all or
// nothing, and returns when they are on disk. saved.Revision is the revision
// that the caller has read; if another has been saved since, nothing is changed
// and the error wraps ErrRevision. A database that has lost the state takes any
// revision and goes on counting from it.
//
// It returns the state with its new revision, and the entries as they were
// stored. An entry without an agent is the state's agent's.
//
// A state of another Version is kept before it is overwritten, see [Log.Kept].
func (l *Log) Commit(ctx context.Context, saved Saved, entries []Entry) (Saved, []Entry, error) {
	saved, entries, err := next(saved, entries)
	if err != nil {
		return Saved{}, nil, err
	}
	if err := l.commit(ctx, &saved, entries); err != nil {
		return Saved{}, nil, err
	}
	return saved, entries, nil
}

// commit stores a state, if there is one, and its entries, in which it fills
// what the chain adds.
func (l *Log) commit(ctx context.Context, saved *Saved, entries []Entry) error {
	err := l.write(ctx, "commit", func(tx *sql.Tx) error {
		if saved != nil {
			if err := checkRevision(ctx, tx, *saved); err != nil {
				return err
			}
			if err := storeState(ctx, tx, *saved); err != nil {
				return err
			}
		}
		return chain(ctx, tx, entries)
	})
	if err != nil {
		for i := range entries {
			entries[i].ID, entries[i].Prev, entries[i].Hash = 0, "", ""
		}
	}
	return err
}

// next returns the state and its entries as they are to be stored.
func next(saved Saved, entries []Entry) (Saved, []Entry, error) {
	saved, err := saved.normal()
	if err != nil {
		return Saved{}, nil, err
	}
	saved.Revision++
	if entries, err = normalAll(entries); err != nil {
		return Saved{}, nil, err
	}
	for i := range entries {
		entries[i].Revision = saved.Revision
		if entries[i].Agent == "" {
			entries[i].Agent = saved.Agent
		}
	}
	return saved, entries, nil
}

// loose returns entries without a state as they are to be stored.
func loose(entries []Entry) ([]Entry, error) {
	entries, err := normalAll(entries)
	for i := range entries {
		entries[i].Revision = 0
	}
	return entries, err
}

// checkRevision returns ErrRevision unless saved follows what is stored.
func checkRevision(ctx context.Context, db querier, saved Saved) error {
	stored, err := load(ctx, db, saved.Agent)
	if err != nil && !errors.Is(err, ErrNoState) {
		return err
	}
	return follows(saved, stored.Revision)
}

// follows compares revisions. Where nothing is stored, any revision follows:
// nobody has saved since, the database was lost, and a recovery that is under
// way must be able to go on.
func follows(saved Saved, stored int64) error {
	if stored == 0 || saved.Revision == stored+1 {
		return nil
	}
	return fmt.Errorf("agent %q: read revision %d, stored is %d: %w", saved.Agent, saved.Revision-1, stored, ErrRevision)
}

// storeState writes the state row, whatever it was before.
func storeState(ctx context.Context, tx *sql.Tx, saved Saved) error {
	if err := keep(ctx, tx, `agent = ? AND version <> ?`, saved.Agent, saved.Version); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO state (agent, revision, version, state) VALUES (?, ?, ?, ?)
		ON CONFLICT (agent) DO UPDATE SET revision = excluded.revision, version = excluded.version, state = excluded.state`,
		saved.Agent, saved.Revision, saved.Version, string(saved.State))
	return err
}

func keep(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO kept_state (agent, revision, version, state)
		SELECT agent, revision, version, state FROM state WHERE `+where, args...)
	return err
}

// Preserve puts a copy of the agent's state aside, for a caller that cannot
// read it and is about to overwrite it. Commit does so by itself when the
// Version differs. Doing it twice keeps one copy.
func (l *Log) Preserve(ctx context.Context, agent string) error {
	return l.write(ctx, "preserve the state", func(tx *sql.Tx) error {
		return keep(ctx, tx, `agent = ?`, agent)
	})
}

// Kept returns the states of an agent that were put aside, oldest first. Under the
// empty name are lines of a spool that could not be read.
func (l *Log) Kept(ctx context.Context, agent string) ([]Saved, error) {
	var kept []Saved
	err := l.use(ctx, func(db *sql.DB) error {
		kept = nil
		rows, err := db.QueryContext(ctx, `SELECT revision, version, state FROM kept_state WHERE agent = ? ORDER BY id`, agent)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			saved := Saved{Agent: agent}
			var state string
			if err := rows.Scan(&saved.Revision, &saved.Version, &state); err != nil {
				return err
			}
			saved.State = json.RawMessage(state)
			kept = append(kept, saved)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, failed("read the kept states", err)
	}
	return kept, nil
}

// Append appends entries that belong to no state, and returns them as stored.
func (l *Log) Append(ctx context.Context, entries []Entry) ([]Entry, error) {
	entries, err := loose(entries)
	if err != nil {
		return nil, err
	}
	if err := l.commit(ctx, nil, entries); err != nil {
		return nil, err
	}
	return entries, nil
}

// chain stores normal entries at the end of the chain and fills what only the
// chain knows. The caller's transaction holds the write lock, so the end stays
// the end.
func chain(ctx context.Context, tx *sql.Tx, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var last int64
	var hash string
	err := tx.QueryRowContext(ctx, `SELECT id, hash FROM record ORDER BY id DESC LIMIT 1`).Scan(&last, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO record (`+columns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range entries {
		e := &entries[i]
		last++
		e.ID, e.Prev = last, hash
		e.Hash = e.Digest()
		hash = e.Hash
		_, err := insert.ExecContext(ctx, e.ID, stamp(e.Time), e.Boot, int64(e.Uptime), e.Agent, e.Revision, e.Incident,
			e.Kind, e.Cause, e.Reason, e.Snapshot, e.OldHash, e.NewHash, e.Outcome, string(e.Body), e.Prev, e.Hash)
		if err != nil {
			return err
		}
	}
	return nil
}
