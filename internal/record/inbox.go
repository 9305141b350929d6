package record

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Command is a person's command to the process that guards an agent.
type Command struct {
	ID    int64
	Time  time.Time // when it was posted
	Agent string
	Verb  string
	Args  json.RawMessage // one JSON value, or nil
	By    string
	// Claimed: a guard has begun on it, and died before it answered.
	Claimed bool
}

// Post leaves a command in an agent's inbox and returns its id.
func (l *Log) Post(ctx context.Context, agent, verb string, args json.RawMessage, by string, now time.Time) (int64, error) {
	args, err := compact(args)
	if err != nil {
		return 0, fmt.Errorf("cannot post %q to agent %q: its arguments are not JSON", verb, agent)
	}
	var id int64
	err = l.write(ctx, "post a command", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO inbox (time, agent, verb, args, sender) VALUES (?, ?, ?, ?, ?) RETURNING id`,
			stamp(now), agent, verb, string(args), strings.ToValidUTF8(by, "\uFFFD")).Scan(&id)
	})
	return id, err
}

// Pending returns the commands of an agent that have no answer yet, oldest
// first. Whether one is too old to be obeyed is for the caller to judge.
func (l *Log) Pending(ctx context.Context, agent string) ([]Command, error) {
	var commands []Command
	err := l.use(ctx, func(db *sql.DB) error {
		commands = nil
		rows, err := db.QueryContext(ctx, `SELECT id, time, verb, args, sender, claimed FROM inbox
			WHERE agent = ? AND outcome IS NULL ORDER BY id`, agent)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			c := Command{Agent: agent}
			var at, args string
			if err := rows.Scan(&c.ID, &at, &c.Verb, &args, &c.By, &c.Claimed); err != nil {
				return err
			}
			c.Time, _ = time.Parse(time.RFC3339Nano, at)
			if args != "" {
				c.Args = json.RawMessage(args)
			}
			commands = append(commands, c)
		}
		return rows.Err()
	})
	return commands, failed("read the inbox", err)
}

// Claim marks a command as begun. It reports false when the command is not
// there any more: its sender has given up waiting and must find it undone.
func (l *Log) Claim(ctx context.Context, id int64) (bool, error) {
	return l.inbox(ctx, "claim", `UPDATE inbox SET claimed = 1 WHERE id = ? AND outcome IS NULL`, id)
}

// Withdraw takes a command back, so that it is not obeyed hours later by the
// next guard. It reports false when a guard has begun on it.
func (l *Log) Withdraw(ctx context.Context, id int64) (bool, error) {
	return l.inbox(ctx, "withdraw", `DELETE FROM inbox WHERE id = ? AND claimed = 0 AND outcome IS NULL`, id)
}

// Answer stores the outcome of a command, one JSON value, for its sender.
func (l *Log) Answer(ctx context.Context, id int64, outcome json.RawMessage) error {
	outcome, err := compact(outcome)
	if err != nil || outcome == nil {
		return fmt.Errorf("cannot answer command %d: the outcome is not JSON", id)
	}
	found, err := l.inbox(ctx, "answer", `UPDATE inbox SET outcome = ? WHERE id = ?`, string(outcome), id)
	if err == nil && !found {
		err = fmt.Errorf("cannot answer command %d: there is no such command", id)
	}
	return err
}

// Answered returns the outcome of a command, and whether there is one.
func (l *Log) Answered(ctx context.Context, id int64) (json.RawMessage, bool, error) {
	var outcome sql.NullString
	err := l.use(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, `SELECT outcome FROM inbox WHERE id = ?`, id).Scan(&outcome)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, fmt.Errorf("cannot read the answer to command %d: there is no such command", id)
	}
	if err != nil || !outcome.Valid {
		return nil, false, failed("read the inbox", err)
	}
	return json.RawMessage(outcome.String), true, nil
}

func (l *Log) inbox(ctx context.Context, verb, statement string, args ...any) (found bool, err error) {
	err = l.write(ctx, verb+" a command", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		found = n > 0
		return err
	})
	return found, err
}
