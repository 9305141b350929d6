package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"deadman/internal/proc"
	"deadman/internal/record"
)

// damagedError is that the database cannot be read, said by those who only look.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }

func (e *damagedError) Unwrap() error { return e.err }

// Hint says who mends it.
func (e *damagedError) Hint() string {
	return "the next `deadman check` sets it aside and begins a new one; what recovers an agent is not in it"
}

// damaged gives an error a hint if it is about a damaged database.
func damaged(err error) error {
	if errors.Is(err, record.ErrCorrupt) {
		return &damagedError{err}
	}
	return err
}

// setAside puts a damaged database aside and records that in the new one: its
// history is not lost, but no longer in the log. The known good is found again
// in the store.
func (j *journal) setAside(ctx context.Context) error {
	now := time.Now().UTC().Round(0)
	kept, err := j.log.SetAside(ctx, now)
	if err != nil || kept == "" {
		return err // Without a name another agent's guard was quicker.
	}
	text, err := json.Marshal(entryBody{Detail: fmt.Sprintf("the database was damaged: it was set aside as %s, and a new one begun", filepath.Base(kept))})
	if err != nil {
		return err
	}
	e := record.Entry{Time: now, Boot: j.boot, Uptime: proc.Uptime(), Agent: j.agent, Kind: kindSetAside, Body: text}
	if _, err := j.log.Append(ctx, []record.Entry{e}); err != nil {
		return err
	}
	j.written++
	j.fresh = append(j.fresh, e)
	return nil
}
