package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// Explain says why something was decided. id is that of an entry of the log, of
// an incident, which stands for the last thing that was decided in it, or of a
// snapshot.
func (d *Daemon) Explain(ctx context.Context, id string) (api.Explanation, error) {
	log, err := d.readLog()
	if err != nil {
		return api.Explanation{}, err
	}
	if log != nil {
		defer log.Close()
		e, ok, err := named(ctx, log, id)
		if err != nil {
			return api.Explanation{}, err
		}
		if ok {
			x, err := explainEntry(ctx, log, e)
			gatheredAt(&x, d.agentDir(e.Agent), e.Incident)
			return x, err
		}
	}
	return d.explainSnapshot(ctx, log, id)
}

// named finds the entry that id stands for, if it is not that of a snapshot.
func named(ctx context.Context, log *record.Log, id string) (record.Entry, bool, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
		for e, err := range log.Entries(ctx, record.Query{After: n - 1, Limit: 1}) {
			return e, err == nil && e.ID == n, err
		}
	}
	entries, err := collect(ctx, log, record.Query{Incident: id})
	if err != nil || id == "" || len(entries) == 0 {
		return record.Entry{}, false, err
	}
	if e, ok := decision(entries); ok {
		return e, true, nil
	}
	return entries[len(entries)-1], true, nil
}

func collect(ctx context.Context, log *record.Log, q record.Query) ([]record.Entry, error) {
	var entries []record.Entry
	for e, err := range log.Entries(ctx, q) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// decision is the last thing that was decided in some entries: what was put
// back or started, or else what a person was told. A start that only carries
// out a restore is not it.
func decision(entries []record.Entry) (record.Entry, bool) {
	var last, alert record.Entry
	for _, e := range entries {
		if bodyOf(e).Step != nil {
			continue // What happened; a person's word may be called as a deed is.
		}
		switch e.Kind {
		case string(lifecycle.DoRestore):
			last = e
		case string(lifecycle.DoStart):
			if last.Kind != string(lifecycle.DoRestore) || last.Reason != e.Reason {
				last = e
			}
		case string(lifecycle.Alert):
			alert = e
		}
	}
	if last.ID == 0 {
		last = alert
	}
	return last, last.ID != 0
}

// explainEntry says why one entry came to be.
func explainEntry(ctx context.Context, log *record.Log, e record.Entry) (api.Explanation, error) {
	x := api.Explanation{Entry: publish(e), Rule: rule(e.Reason)}
	var incident []record.Entry
	if e.Incident != "" {
		var err error
		if incident, err = collect(ctx, log, record.Query{Agent: e.Agent, Incident: e.Incident}); err != nil {
			return x, err
		}
	}
	for _, other := range incident {
		if human(other.Kind) {
			x.Timeline = append(x.Timeline, publish(other))
		}
	}
	// The end of a recovery is explained by the decision that led to it.
	decided := e
	if ending(e) {
		before := slices.DeleteFunc(slices.Clone(incident), func(other record.Entry) bool { return other.ID >= e.ID })
		if found, ok := decision(before); ok {
			decided = found
		}
	}
	if a := bodyOf(decided).Action; a != nil {
		for _, reason := range a.Considered {
			x.Considered = append(x.Considered, api.Rule{Reason: reason.String(), Rule: reason.Rule()})
		}
	}
	x.Undo = undo(decided, incident)
	var err error
	x.Evidence, err = evidence(ctx, log, decided)
	return x, err
}

func rule(reason string) string {
	var r deadman.Reason
	if r.UnmarshalText([]byte(reason)) != nil {
		return ""
	}
	return r.Rule()
}

// undo is the command that puts back what a restore has replaced: the version
// that was kept just before it.
func undo(e record.Entry, incident []record.Entry) string {
	if e.Kind != string(lifecycle.DoRestore) {
		return ""
	}
	kept := ""
	for _, other := range incident {
		if step := bodyOf(other).Step; other.ID < e.ID && step != nil && step.Event.Outcome != nil {
			if o := step.Event.Outcome; o.Kind == lifecycle.DoKeep && o.Snapshot != "" {
				kept = o.Snapshot
			}
		}
	}
	if kept == "" || kept == e.Snapshot {
		return ""
	}
	return fmt.Sprintf("deadman restore %s %s", e.Agent, kept)
}

// explainSnapshot says what is known of a snapshot.
func (d *Daemon) explainSnapshot(ctx context.Context, log *record.Log, id string) (api.Explanation, error) {
	var x api.Explanation
	for _, a := range d.cfg.Agents {
		v, err := d.view(a.Name)
		if err != nil {
			return x, err
		}
		if v.store == nil {
			continue
		}
		m, err := v.store.Load(id)
		v.close()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return x, err
		}
		return explainManifest(ctx, log, m)
	}
	return x, &saidError{fmt.Sprintf("cannot explain %q: no entry, incident or snapshot has this id", id), "`deadman history` lists entries and incidents; `deadman snapshots AGENT` lists snapshots"}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func explainManifest(ctx context.Context, log *record.Log, m snapshot.Manifest) (api.Explanation, error) {
	x := api.Explanation{Entry: api.Entry{Time: m.Created, Agent: m.Agent, Kind: "snapshot", Snapshot: m.ID, NewHash: m.Hash, Outcome: m.Standing.String()}}
	x.Evidence = append(x.Evidence, fmt.Sprintf("captured %s: %s", stamp(m.Created), m.Evidence))
	if m.Seen.After(m.Created) {
		x.Evidence = append(x.Evidence, "the same bytes were last seen "+stamp(m.Seen))
	}
	if m.Pinned {
		x.Evidence = append(x.Evidence, "a person asked to keep it")
	}
	if m.Provisional {
		x.Evidence = append(x.Evidence, "it stands in as known good; no start has proven it")
	}
	if m.Cured > 0 {
		x.Evidence = append(x.Evidence, "rollbacks away from it have cured the agent "+times(m.Cured))
	}
	s := describe(m)
	x.Evidence = append(x.Evidence, s.Proofs...)
	x.Evidence = append(x.Evidence, s.History...)
	if n := len(m.History); n > 0 {
		x.Entry.Reason, x.Entry.Incident = m.History[n-1].Reason, m.History[n-1].Incident
		x.Rule = rule(x.Entry.Reason)
	}
	if log == nil {
		return x, nil
	}
	for e, err := range log.Entries(ctx, record.Query{Agent: m.Agent}) {
		if err != nil {
			return x, err
		}
		if e.Snapshot == m.ID && (human(e.Kind) || e.Kind == kindOutcome) {
			x.Timeline = append(x.Timeline, publish(e))
		}
	}
	return x, nil
}
