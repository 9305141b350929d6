package record

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
)

// Drain replays the spools into the database and empties them. It returns how
// many commits it replayed. Commit does so by itself.
func (j *Journal) Drain(ctx context.Context) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.spooled() {
		return 0, nil
	}
	l, err := j.open()
	if err != nil {
		return 0, err
	}
	return j.drain(ctx, l)
}

// spooled reports whether there may be something to replay. It takes no lock:
// nearly always there is nothing.
func (j *Journal) spooled() bool {
	for _, s := range j.spools {
		if c, err := s.read(); err != nil || !c.empty() {
			return true
		}
	}
	return false
}

// drain replays what is spooled: first the state directory's spool, then the
// runtime directory's, which is the order in which they were filled.
//
// The database remembers how far it got in the same transaction, and a spool is
// emptied after that, so a crash in between replays nothing twice.
func (j *Journal) drain(ctx context.Context, l *Log) (int, error) {
	if !j.spooled() {
		return 0, nil
	}
	replayed := 0
	for _, s := range j.spools {
		h, err := s.hold(ctx, false)
		if err != nil {
			return replayed, err
		}
		if h == nil {
			continue
		}
		n := 0
		err = j.dropMirrors(h.filling)
		if err == nil {
			n, err = l.replay(ctx, h.filling)
		}
		if err == nil && !h.empty() {
			err = h.clear()
		}
		h.close()
		replayed += n
		if err != nil {
			return replayed, err
		}
	}
	return replayed, nil
}

// dropMirrors drops what a mirror that could not be dropped at its time would
// hide: the states of a filling.
func (j *Journal) dropMirrors(c filling) error {
	for _, line := range c.lines {
		if line.State != nil {
			if err := j.mirror.drop(line.State.Agent); err != nil {
				return err
			}
		}
	}
	return nil
}

// replay stores the lines of a filling that are not stored yet, in one
// transaction, and returns their number.
func (l *Log) replay(ctx context.Context, c filling) (n int, err error) {
	if c.empty() {
		return 0, nil
	}
	err = l.write(ctx, "replay the spool", func(tx *sql.Tx) error {
		var done int64
		err := tx.QueryRowContext(ctx, `SELECT seq FROM drained WHERE spool = ?`, c.id).Scan(&done)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var last int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM record`).Scan(&last); err != nil {
			return err
		}
		for _, line := range c.lines {
			if line.Seq <= done {
				continue
			}
			if err := replayLine(ctx, tx, line, last); err != nil {
				return err
			}
			done = line.Seq
			n++
		}
		for _, line := range c.unread {
			if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO kept_state (agent, revision, version, state) VALUES ('', 0, 0, ?)`,
				string(bytes.ToValidUTF8(line, []byte("\uFFFD")))); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO drained (spool, seq) VALUES (?, ?)
			ON CONFLICT (spool) DO UPDATE SET seq = excluded.seq`, c.id, done)
		return err
	})
	return n, err
}

// replayLine stores one line; last is the last entry from before the replay.
func replayLine(ctx context.Context, tx *sql.Tx, line spoolLine, last int64) error {
	if line.State != nil {
		stored, err := load(ctx, tx, line.State.Agent)
		if err != nil && !errors.Is(err, ErrNoState) {
			return err
		}
		// Older than what is stored: history, not the state.
		if line.State.Revision > stored.Revision {
			if err := storeState(ctx, tx, *line.State); err != nil {
				return err
			}
		}
	}
	var missing []Entry
	for _, e := range line.Entries {
		there, err := committed(ctx, tx, e, last)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, e)
		}
	}
	return chain(ctx, tx, missing)
}

// committed reports whether an entry that was spooled is in the log all the
// same. A commit whose sync fails is reported as failed, and spooled, and yet
// its frames may be found whole in the WAL by the recovery after a crash. It
// was then among the agent's last ones.
func committed(ctx context.Context, tx *sql.Tx, e Entry, last int64) (bool, error) {
	const near = 64
	recent, err := scan(ctx, tx, `SELECT `+columns+` FROM record WHERE agent = ? AND id <= ? ORDER BY id DESC LIMIT ?`, e.Agent, last, near)
	if err != nil {
		return false, err
	}
	e.ID, e.Prev = 0, ""
	for _, r := range recent {
		r.ID, r.Prev = 0, ""
		if r.Digest() == e.Digest() {
			return true, nil
		}
	}
	return false, nil
}
