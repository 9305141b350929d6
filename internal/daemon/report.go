package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
)

// report says how an agent stands after a round.
func (k *keeper) report() api.Agent {
	r := stateReport(k.world.agent, k.guard.State, k.world.clock)
	seen := k.world.last
	for _, a := range seen.attempts {
		r.Checks = append(r.Checks, api.Check{Name: a.Check, Level: a.Level, Result: a.Result, Detail: a.Detail})
	}
	if seen.problem != nil {
		find(&r, seen.problem)
	}
	for _, f := range seen.findings {
		r.Findings = append(r.Findings, f.String())
	}
	if d := seen.process.Detail; d != "" {
		r.Findings = append(r.Findings, d)
	}
	if r.Process != nil && !seen.wall.IsZero() {
		r.Process.Start = seen.wall
	}
	if seen.problem == nil {
		r.Findings = append(r.Findings, k.world.memo.Remarks...)
	}
	r.Fresh = append(r.Fresh, k.world.say()...)
	for _, e := range k.journal.fresh {
		if line := freshLine(e); line != "" {
			r.Fresh = append(r.Fresh, line)
		}
		if ending(e) {
			r.Action = e.Kind
			_ = r.Reason.UnmarshalText([]byte(e.Reason))
			_ = r.Cause.UnmarshalText([]byte(e.Cause))
		}
	}
	if k.journal.place != record.PlaceUnset && k.journal.place.Degraded() {
		r.Findings = append(r.Findings, fmt.Sprintf("the database cannot be written; this round was kept in the %s", k.journal.place))
		r.Hints = append(r.Hints, fmt.Sprintf("make space in %s, or make it writable; the next record that can be written takes along what waits", k.world.stateDir))
	}
	return r
}

// freshLine is what `check` says of an entry: alerts and ends of recoveries.
func freshLine(e record.Entry) string {
	var body entryBody
	_ = json.Unmarshal(e.Body, &body)
	var reason deadman.Reason
	_ = reason.UnmarshalText([]byte(e.Reason))
	switch {
	case ending(e):
		line := fmt.Sprintf("%s: %s", e.Kind, reason.Rule())
		for _, key := range body.Reverted {
			line += "; reverted " + key
		}
		return line
	case e.Kind == string(lifecycle.Alert):
		if body.Action != nil && body.Action.Would != deadman.ReasonUnset {
			return fmt.Sprintf("%s: %s: %s", reason, reason.Rule(), body.Action.Would.Rule())
		}
		line := fmt.Sprintf("%s: %s", reason, reason.Rule())
		if body.Action != nil && body.Action.Detail != "" {
			line += ": " + body.Action.Detail
		}
		return line
	case e.Kind == kindSetAside:
		return body.Detail
	case e.Kind == kindOutcome:
		if e.Outcome == "failed" && body.Detail != "" {
			return body.Detail
		}
	}
	return ""
}

// stateReport says how an agent stands by its state alone.
func stateReport(a config.Agent, s lifecycle.State, c clock) api.Agent {
	r := api.Agent{Name: a.Name, State: s.Phase, Since: c.toWall(s.Since), Next: c.toWall(s.Deadline), Exit: exit(s)}
	if s.Hold.Verb == lifecycle.Pause {
		r.Next = c.toWall(s.Hold.Until)
	}
	if !s.Known.IsZero() {
		r.KnownGood = &api.Config{ID: s.Known.Snapshot, Hash: s.Known.Hash, Standing: deadman.Proven, Provisional: s.Known.Provisional}
		if s.Known.Provisional {
			r.KnownGood.Standing = deadman.Candidate
		}
	}
	if s.Seen.Hash != "" {
		r.Live = &api.Config{ID: s.Seen.Snapshot, Hash: s.Seen.Hash, Standing: liveStanding(s)}
	}
	if !s.Life.Process.IsZero() {
		r.Process = &api.Process{PID: s.Life.Process.PID}
	}
	r.Proof = proofLine(s)
	if armed := s.Armed; !armed.IsZero() {
		r.Armed = &api.Armed{Snapshot: armed.Config.Snapshot, Until: c.toWall(armed.Until)}
	}
	if inc := s.Incident; inc.Open() {
		r.Incident, r.Cause, r.Reason = inc.ID, inc.Cause, inc.Chosen
		if r.Reason == deadman.ReasonUnset {
			r.Reason = inc.Why
		}
		r.Undo = undoInHand(a.Name, s)
	}
	return r
}

// undoInHand is the command that undoes the rollback of an open incident, "" if
// there was none.
func undoInHand(agent string, s lifecycle.State) string {
	inc := s.Incident
	if !inc.RolledBack || inc.Original.Snapshot == "" {
		return ""
	}
	if inc.Chosen == deadman.TrialFailed {
		return fmt.Sprintf("deadman restore %s %s", agent, s.Trial.Config.Snapshot)
	}
	return fmt.Sprintf("deadman restore %s %s", agent, inc.Original.Snapshot)
}

func liveStanding(s lifecycle.State) deadman.Standing {
	switch {
	case s.Seen.Bad:
		return deadman.Bad
	case s.Seen.Identity == s.Known.Identity && !s.Known.Provisional:
		return deadman.Proven
	}
	return deadman.Candidate
}

// proofLine says what stands between the live config and its promotion.
func proofLine(s lifecycle.State) string {
	switch {
	case s.Seen.Hash == "" || s.Seen.Identity == s.Known.Identity && !s.Known.Provisional:
		return ""
	case s.Seen.Valid == deadman.Unhealthy:
		return "it does not validate"
	case s.Seen.Held:
		return "a guard objects; `deadman accept` overrides it"
	case s.Seen.Valid == deadman.Unknown:
		return "the validator could not be run"
	case s.Life.Process.IsZero():
		return "no process of the agent is known"
	case s.Life.On.Identity != s.Seen.Identity:
		return "the running process started on another version; it is proven by a restart"
	case !s.Life.Evidence.Proves():
		return "it cannot be told what the running process started on: " + string(s.Life.Evidence)
	case s.Life.FullSince.IsZero():
		return "not every check is healthy"
	}
	return "in probation"
}

// exit is the agent's share in the exit status of check (DESIGN section 8).
func exit(s lifecycle.State) int {
	switch s.Phase {
	case deadman.Probation:
		return api.ExitOK
	case deadman.Up, deadman.Degraded:
		if s.Known.IsZero() {
			return api.ExitFailed // No valid candidate at all: there is nothing to go back to.
		}
		return api.ExitOK
	case deadman.Starting, deadman.Paused, deadman.Stopped:
		return api.ExitOK
	case deadman.Unclear, deadman.PhaseUnset:
		return api.ExitUnknown
	}
	return api.ExitFailed
}

// Status says how agents stand by what is saved. It touches nothing.
func (d *Daemon) Status(ctx context.Context, names []string) (api.Report, error) {
	agents, err := d.agents(names)
	if err != nil {
		return api.Report{}, err
	}
	report := api.Report{Schema: api.Schema, Agents: []api.Agent{}}
	for _, a := range agents {
		s, err := d.loadState(ctx, a.Name)
		if err != nil {
			return api.Report{}, err
		}
		r := stateReport(a, s, readClock(d.cfg.StateDir))
		r.LastCheck = d.lastCheck(a.Name)
		r.Watched = readActor(d.agentDir(a.Name)).Watch
		if s.Problem != "" {
			r.Findings = append(r.Findings, s.Problem)
		}
		r.Findings = append(r.Findings, readMemo(d.agentDir(a.Name)).Remarks...)
		if s.Phase == deadman.PhaseUnset {
			r.Findings = append(r.Findings, "it has never been checked")
		}
		report.Agents = append(report.Agents, r)
	}
	return report, nil
}

// loadState reads an agent's saved state, the zero State if there is none.
func (d *Daemon) loadState(ctx context.Context, name string) (lifecycle.State, error) {
	j := &journal{log: d.journal, agent: name}
	s, err := j.load(ctx)
	if errors.Is(err, record.ErrNoLog) {
		return lifecycle.State{}, nil
	}
	return s, damaged(err)
}
