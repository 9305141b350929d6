package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
)

// HistoryQuery chooses entries of the log.
type HistoryQuery struct {
	Agent    string // of this agent only
	Incident string // of this incident only
	Limit    int    // the newest so many of those that are left; 0 is all
	All      bool   // also what was merely observed, and how each deed came out
}

// History returns entries of the log, oldest first. Without a log there are
// none. A query for an agent that neither the config nor the log knows is an
// *UnknownAgentError.
func (d *Daemon) History(ctx context.Context, q HistoryQuery) ([]api.Entry, error) {
	entries := []api.Entry{}
	log, err := d.readLog()
	if err != nil {
		return nil, err
	}
	if log != nil {
		defer log.Close()
		for e, err := range log.Entries(ctx, record.Query{Agent: q.Agent, Incident: q.Incident, Newest: true}) {
			if err != nil {
				return nil, err
			}
			if !q.All && !human(e.Kind) {
				continue
			}
			entries = append(entries, publish(e))
			if len(entries) == q.Limit {
				break
			}
		}
		slices.Reverse(entries)
	}
	if len(entries) == 0 && q.Agent != "" {
		_, err := d.agent(q.Agent)
		return entries, err
	}
	if len(entries) == 0 && q.Incident != "" {
		return entries, &saidError{fmt.Sprintf("cannot find incident %q", q.Incident), "`deadman history --json` names the incident of each entry"}
	}
	return entries, nil
}

// readLog opens the log for reading; it is nil, without an error, if there is
// none.
func (d *Daemon) readLog() (*record.Log, error) {
	log, err := record.OpenReadOnly(d.cfg.StateDir)
	if errors.Is(err, record.ErrNoLog) {
		return nil, nil
	}
	return log, damaged(err)
}

// human reports whether entries of a kind say something to a person who did not
// ask for all.
func human(kind string) bool {
	switch kind {
	case kindObserved, kindOutcome, kindPassed:
		return false
	}
	return true
}

// publish is an entry as others see it.
func publish(e record.Entry) api.Entry {
	body := bodyOf(e)
	return api.Entry{
		ID: e.ID, Time: e.Time, Agent: e.Agent, Incident: e.Incident, Kind: e.Kind, Cause: e.Cause, Reason: e.Reason,
		Snapshot: e.Snapshot, OldHash: e.OldHash, NewHash: e.NewHash, Outcome: e.Outcome, Detail: detail(body), Reverted: body.Reverted,
		Differs: body.Differs,
	}
}

// bodyOf is the body of an entry. One that cannot be read tells nothing.
func bodyOf(e record.Entry) entryBody {
	var body entryBody
	if json.Unmarshal(e.Body, &body) != nil {
		return entryBody{}
	}
	return body
}

// detail is what the columns of an entry leave out, in a line.
func detail(body entryBody) string {
	switch a := body.Action; {
	case body.Detail != "":
		return body.Detail
	case a != nil && a.Detail != "":
		return a.Detail
	case a != nil && a.Would != deadman.ReasonUnset:
		return a.Would.Rule()
	case a != nil && a.Kind == lifecycle.DoMark:
		return "now " + a.Standing.String()
	case a != nil && a.Provisional:
		return "provisional, until a start proves one"
	case a != nil && a.Evidence != "":
		return string(a.Evidence)
	case body.Step != nil && body.Step.Event.Round != nil:
		r := body.Step.Event.Round
		line := fmt.Sprintf("process %s, alive %s", r.Presence, r.Alive)
		if r.Ready != deadman.ResultUnset {
			line += fmt.Sprintf(", ready %s", r.Ready)
		}
		return fmt.Sprintf("%s; %s", line, body.Phase)
	case body.Phase != deadman.PhaseUnset:
		return body.Phase.String()
	}
	return ""
}

// Verify reads the whole log and returns how many entries hold together from the
// first on. The error is a *record.BrokenChain where the chain is broken, and a
// *ReplayError where the recorded events of an agent do not lead to its saved
// state.
func (d *Daemon) Verify(ctx context.Context) (n int64, err error) {
	log, err := d.readLog()
	if err != nil || log == nil {
		return 0, err
	}
	defer log.Close()
	if n, err = log.Verify(ctx); err != nil {
		return n, err
	}
	for _, a := range d.cfg.Agents {
		if err := verifyReplay(ctx, log, a.Name); err != nil {
			return n, err
		}
	}
	return n, nil
}
