package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"deadman"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// Kinds of entries beside those of actions and of people's words. The list of
// all is Kinds.
const (
	kindObserved = "observed"
	kindOutcome  = "outcome"
	kindFound    = "found"
	kindPassed   = "passed"    // nothing but time
	kindSnapshot = "snapshot"  // of no record: a snapshot that is explained
	kindSetAside = "set-aside" // a damaged database was
	kindChange   = "change"    // a config was captured that differs from the known good

	// The end of a recovery; these are the rows of request_log. A person's word
	// may be called the same: see ending.
	kindRollback = "rollback"
	kindRestart  = "restart"
	kindFailed   = "failed"
)

// How a recovery ended.
const (
	outcomeSuccess = "success"
	outcomeError   = "error"
)

// ending reports whether an entry is the end of a recovery.
func ending(e record.Entry) bool {
	switch e.Kind {
	case kindRollback, kindRestart, kindFailed:
		return e.Outcome == outcomeSuccess || e.Outcome == outcomeError // Else it says who asked for it.
	}
	return false
}

// Kinds are all kinds of entries, for `deadman explain --list`.
func Kinds() []string {
	return []string{
		kindRollback, kindRestart, kindFailed,
		string(lifecycle.DoCapture), string(lifecycle.DoPromote), string(lifecycle.DoMark), string(lifecycle.DoStop),
		string(lifecycle.DoKeep), string(lifecycle.DoRestore), string(lifecycle.DoStart), string(lifecycle.DoReload),
		string(lifecycle.Alert), string(lifecycle.Note),
		string(lifecycle.Pause), string(lifecycle.Resume), string(lifecycle.Accept),
		string(lifecycle.Apply), string(lifecycle.Arm), string(lifecycle.Confirm),
		kindObserved, kindOutcome, kindFound, kindPassed, kindSnapshot, kindSetAside, kindChange,
	}
}

// entryBody is the Body of a record. Which fields are set depends on the kind.
type entryBody struct {
	Step     *stepBody         `json:"step,omitempty"`
	Phase    deadman.Phase     `json:"phase,omitempty"`
	Action   *lifecycle.Action `json:"action,omitempty"`
	Detail   string            `json:"detail,omitempty"`
	Reverted []string          `json:"reverted,omitempty"`
	Differs  []string          `json:"differs,omitempty"`

	DurationMS int64  `json:"duration_ms,omitempty"`
	ConfigPath string `json:"config_path,omitempty"`
}

// stepBody is what replays a step.
type stepBody struct {
	Now   time.Time       `json:"now"`
	Event lifecycle.Event `json:"event"`
	// Policy is given when it is not that of the agent's step before.
	Policy *lifecycle.Policy `json:"policy,omitempty"`
}

// journal keeps the steps of one agent.
type journal struct {
	log   *record.Journal
	agent string
	boot  string
	// dir is the agent's directory, for timelines; "" in a journal that is only
	// read.
	dir string
	// path is the agent's config, for request_log.
	path  string
	saved record.Saved
	// policy is the one that was recorded last by this process.
	policy *lifecycle.Policy
	// by names who speaks, in the entry of a person's word.
	by string
	// begin is called before the first step is saved; may be nil.
	begin func()
	// news is told before anything is saved that there will be some; may be nil.
	news *messenger
	// written counts the entries of this process; fresh are the newest ones,
	// for reports.
	written int
	fresh   []record.Entry
	// reverted are the keys of the restore of the incident in hand, for its closing entry.
	reverted []string
	place    record.Place
}

// load reads the agent's state. A state of another version, or none, gives the
// zero State: the raw bytes are kept by the record, and all is observed afresh.
func (j *journal) load(ctx context.Context) (lifecycle.State, error) {
	var s lifecycle.State
	saved, err := j.log.Load(ctx, j.agent)
	switch {
	case errors.Is(err, record.ErrNoState):
		j.saved = record.Saved{Agent: j.agent, Version: lifecycle.StateVersion}
		return s, nil
	case err != nil:
		return s, err
	}
	j.saved = saved
	if saved.Version != lifecycle.StateVersion || json.Unmarshal(saved.State, &s) != nil {
		return lifecycle.State{}, nil
	}
	return s, nil
}

// Save makes a step durable.
func (j *journal) Save(ctx context.Context, step guard.Step) error {
	crashPoint()
	defer crashPoint()
	if j.begin != nil {
		j.begin()
		j.begin = nil
	}
	j.news.set(time.Now())
	state, err := json.Marshal(step.After)
	if err != nil {
		return err
	}
	entries, err := j.entries(step)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, ending) {
		// Where it cannot be made, the row goes with the next step that is saved.
		if f, err := os.OpenFile(rowsDue(j.dir), os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			f.Close()
		}
	}
	save := record.Saved{Agent: j.agent, Revision: j.saved.Revision, Version: lifecycle.StateVersion, State: state}
	receipt, err := j.log.Commit(ctx, save, entries)
	if err != nil {
		return err
	}
	j.saved, j.place = receipt.Saved, receipt.Place
	j.policy = &step.Policy
	j.written += len(entries)
	j.fresh = append(j.fresh, entries...)
	timeline(j.dir, entries)
	if errors.Is(receipt.Err, record.ErrCorrupt) {
		// What was spooled goes into the new one. A failure leaves it there.
		_ = j.setAside(ctx)
	}
	return nil
}

// entries are the records of a step: what happened, then each action, then the
// end of a recovery if this was it.
func (j *journal) entries(step guard.Step) ([]record.Entry, error) {
	now, up := time.Now().UTC().Round(0), proc.Uptime()
	var entries []record.Entry
	var failure error
	add := func(e record.Entry, body entryBody) {
		text, err := json.Marshal(body)
		if err != nil {
			failure = err
		}
		e.Time, e.Boot, e.Uptime, e.Agent, e.Body = now, j.boot, up, j.agent, text
		e.Incident = step.After.Incident.ID
		if e.Incident == "" {
			e.Incident = step.Before.Incident.ID
		}
		entries = append(entries, e)
	}

	if step.Before.Incident.ID != step.After.Incident.ID {
		j.reverted = nil
	}
	body := entryBody{Step: &stepBody{Now: step.Now, Event: step.Event}, Phase: step.After.Phase}
	if j.policy == nil || !reflect.DeepEqual(*j.policy, step.Policy) {
		body.Step.Policy = &step.Policy
	}
	first := record.Entry{Kind: kindPassed}
	switch ev := step.Event; {
	case ev.Round != nil:
		first.Kind = kindObserved
	case ev.Word != nil:
		first.Kind = string(ev.Word.Verb)
		first.Snapshot = ev.Word.Config.Snapshot
		first.Outcome = "by " + j.by
	case ev.Found != nil:
		first.Kind = kindFound
		first.Snapshot = ev.Found.Snapshot
	case ev.Outcome != nil:
		first.Kind, first.Outcome = kindOutcome, "ok"
		if !ev.Outcome.OK {
			first.Outcome = "failed"
		}
		first.Reason = step.Before.Pending.Reason.String()
		first.Snapshot = ev.Outcome.Snapshot
		body.Detail, body.Reverted = ev.Outcome.Detail, ev.Outcome.Reverted
		if ev.Outcome.Kind == lifecycle.DoRestore {
			j.reverted = ev.Outcome.Reverted
		}
	}
	add(first, body)
	if o := step.Event.Outcome; o != nil && len(o.Differs) > 0 {
		add(record.Entry{Kind: kindChange, Reason: first.Reason, Snapshot: o.Snapshot}, entryBody{Differs: o.Differs})
	}

	for _, a := range step.Actions {
		e := record.Entry{Kind: string(a.Kind), Reason: a.Reason.String(), Cause: a.Cause.String(), Snapshot: a.Snapshot}
		if a.Kind == lifecycle.DoRestore {
			e.OldHash, e.NewHash = oldHash(step.After), step.After.Incident.Target.Hash
		}
		add(e, entryBody{Action: &a})
		if e, body, ok := j.end(step, a); ok {
			add(e, body)
		}
	}
	return entries, failure
}

// end is the entry for the end of a recovery, if action says that this is it. In
// one incident there may be several, one for each death that was recovered from.
func (j *journal) end(step guard.Step, a lifecycle.Action) (record.Entry, entryBody, bool) {
	inc := step.After.Incident
	e := record.Entry{
		Kind: kindRestart, Outcome: outcomeSuccess, Cause: inc.Cause.String(), Reason: inc.Chosen.String(),
		Snapshot: inc.Target.Snapshot, OldHash: oldHash(step.After), NewHash: inc.Target.Hash,
	}
	since := inc.Since
	if !inc.Again.IsZero() {
		since = inc.Again
	}
	body := entryBody{DurationMS: step.Now.Sub(since).Milliseconds(), ConfigPath: j.path}
	switch a.Reason {
	case deadman.Verified, deadman.VerifiedNotReady:
		replaced := step.Before.Incident.Replaced
		switch {
		case replaced && (inc.RolledBack || inc.Chosen == deadman.RestoredByPerson):
			e.Kind, body.Reverted = kindRollback, j.reverted
		case !replaced && !inc.Again.IsZero():
			e.OldHash = e.NewHash // What was rolled back from belongs to an earlier death.
		}
		if (inc.Chosen == deadman.NothingStored || inc.Chosen == deadman.StartedByPerson) && step.Before.LastUp.IsZero() {
			return e, body, false // The first start of all is no recovery.
		}
		if inc.Chosen == deadman.AppliedByPerson {
			return e, body, false // Nor is a start on what was applied.
		}
	case deadman.Exhausted:
		if a.Kind != lifecycle.Alert {
			return e, body, false
		}
		e.Kind, e.Outcome, e.Reason = kindFailed, outcomeError, deadman.Exhausted.String()
		body.Reverted = j.reverted
	default:
		return e, body, false
	}
	return e, body, true
}

// oldHash is the config that was live when the agent died: the last one that
// was rolled back from, or the original.
func oldHash(s lifecycle.State) string {
	if s.Incident.Chosen == deadman.TrialFailed {
		return s.Trial.Config.Hash
	}
	if n := len(s.Incident.Blamed); n > 0 {
		return s.Incident.Blamed[n-1].Hash
	}
	return s.Incident.Original.Hash
}

// found is the known good that the store itself names, for a state that has
// none. Only a snapshot whose every byte is right counts.
func (w *world) found() (lifecycle.Known, bool) {
	m, ok, err := w.store.KnownGood()
	if err != nil || !ok || w.store.Verify(m.ID) != nil {
		m, ok = w.newestProven()
		if !ok {
			return lifecycle.Known{}, false
		}
	}
	known := lifecycle.Known{
		Config:      lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)},
		Provisional: m.Provisional && m.Standing != deadman.Proven,
		At:          lastProof(m).UTC(),
		Versions:    versions(m),
	}
	return known, true
}

// newestProven is the intact proven snapshot with the latest proof.
func (w *world) newestProven() (snapshot.Manifest, bool) {
	all, _ := w.store.List()
	var best snapshot.Manifest
	for _, m := range all {
		if m.Standing == deadman.Proven && lastProof(m).After(lastProof(best)) && w.store.Verify(m.ID) == nil {
			best = m
		}
	}
	return best, best.ID != ""
}

// configPath is the file that an agent's rows in request_log name.
func configPath(w *world) string {
	set := w.agent.Config[0]
	for _, pattern := range set.Files {
		return filepath.Join(set.Root, pattern)
	}
	return set.Root
}

// keeper is one agent with everything that guards it.
type keeper struct {
	world   *world
	journal *journal
	guard   *guard.Guard
}

// newKeeper builds the guard of an agent on its saved state. The caller holds
// the agent's lock.
func (d *Daemon) newKeeper(ctx context.Context, name string) (*keeper, error) {
	a, err := d.agent(name)
	if err != nil {
		return nil, err
	}
	w, err := d.newWorld(a)
	if err != nil {
		return nil, err
	}
	w.sweepCopies()
	j := &journal{log: d.journal, agent: name, boot: w.boot, dir: w.dir, path: configPath(w), by: d.opts.By}
	w.seeAhead(ctx)
	state, err := j.load(ctx)
	if errors.Is(err, record.ErrCorrupt) {
		if err = j.setAside(ctx); err == nil {
			state, err = j.load(ctx)
		}
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("cannot load the state of %s: %w", name, err)
	}
	k := &keeper{world: w, journal: j}
	k.guard = &guard.Guard{Policy: policy(a), World: w, Journal: j, Now: w.clock.Now, State: state}
	if state.Known.IsZero() {
		if known, ok := w.found(); ok {
			if err := k.guard.Find(ctx, known); err != nil {
				w.close()
				return nil, err
			}
		}
	}
	return k, nil
}

func (k *keeper) close() { k.world.close() }
