package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"

	"deadman/internal/document"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
)

// ReplayError is that the recorded events of an agent, stepped once more, do not
// lead to the state that was saved.
type ReplayError struct {
	Agent    string
	Revision int64 // of the saved state
	Key      string
}

func (e *ReplayError) Error() string {
	return fmt.Sprintf("cannot replay the state of %s at revision %d: %s differs", e.Agent, e.Revision, e.Key)
}

// Hint says what it may mean.
func (e *ReplayError) Hint() string {
	return "the log and the state were written by different versions of deadman, or one of them was altered"
}

// Replay steps the recorded events of an agent from the zero state on, and
// returns what they lead to.
func (d *Daemon) Replay(ctx context.Context, agent string) (lifecycle.State, error) {
	var s lifecycle.State
	log, err := d.readLog()
	if err != nil || log == nil {
		return s, err
	}
	defer log.Close()
	for step, err := range replay(ctx, log, agent, math.MaxInt64) {
		switch {
		case err != nil:
			return s, fmt.Errorf("cannot replay %s: %w", agent, err)
		case !step.exact:
			return s, fmt.Errorf("cannot replay %s: the log does not reach back to its first step", agent)
		}
		s = step.after
	}
	return s, nil
}

// replayed is one step, made again.
type replayed struct {
	entry record.Entry
	step  stepBody
	// exact: the log reaches back to the agent's first step. Without that there
	// is nothing to step from, and what follows is zero.
	exact         bool
	policy        lifecycle.Policy
	before, after lifecycle.State
}

// replay makes the steps of an agent again, up to a revision of its state.
func replay(ctx context.Context, log *record.Log, agent string, upTo int64) iter.Seq2[replayed, error] {
	return func(yield func(replayed, error) bool) {
		var s lifecycle.State
		var policy *lifecycle.Policy
		first, exact := true, true
		for e, err := range log.Entries(ctx, record.Query{Agent: agent}) {
			if err != nil {
				yield(replayed{}, err)
				return
			}
			step := bodyOf(e).Step
			if e.Revision > upTo {
				return
			}
			if step == nil {
				continue
			}
			if step.Policy != nil {
				policy = step.Policy
			}
			if first && (e.Revision != 1 || policy == nil) {
				exact = false
			}
			first = false
			r := replayed{entry: e, step: *step, exact: exact, before: s}
			if exact {
				s, _ = lifecycle.Step(*policy, s, step.Now, step.Event)
				r.policy, r.after = *policy, s
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// verifyReplay compares the saved state of an agent with what its events lead
// to. An agent whose first steps are not in this log, or whose state was once
// put aside, has nothing to compare with.
func verifyReplay(ctx context.Context, log *record.Log, agent string) error {
	saved, err := log.Load(ctx, agent)
	if errors.Is(err, record.ErrNoState) || err == nil && saved.Version != lifecycle.StateVersion {
		return nil
	}
	if err != nil {
		return err
	}
	if kept, err := log.Kept(ctx, agent); err != nil || len(kept) > 0 {
		return err
	}
	var s lifecycle.State
	for step, err := range replay(ctx, log, agent, saved.Revision) {
		if err != nil || !step.exact {
			return err
		}
		s = step.after
	}
	again, err := json.Marshal(s)
	if err != nil {
		return err
	}
	a, err := document.Parse(document.JSON, saved.State)
	if err != nil {
		return fmt.Errorf("cannot read the saved state of %s: %w", agent, err)
	}
	b, err := document.Parse(document.JSON, again)
	if err != nil {
		return fmt.Errorf("cannot read the replayed state of %s: %w", agent, err)
	}
	if changes := document.Changes(a, b); len(changes) > 0 {
		return &ReplayError{Agent: agent, Revision: saved.Revision, Key: changes[0].Path}
	}
	return nil
}
