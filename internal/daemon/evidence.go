package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
)

// evidence is what was known when an entry was written, a line each: from the
// event of its step, from the round before it, and, where the log reaches back
// to the agent's first step, from the state that all events before had led to.
func evidence(ctx context.Context, log *record.Log, e record.Entry) ([]string, error) {
	var at, round replayed
	for r, err := range replay(ctx, log, e.Agent, e.Revision) {
		if err != nil {
			return nil, err
		}
		at = r
		if r.step.Event.Round != nil {
			round = r
		}
	}
	if at.entry.Revision != e.Revision || e.Revision == 0 {
		return nil, nil // It belongs to no step.
	}
	var lines []string
	if at.exact {
		lines = incidentLines(at)
	}
	if round.step.Event.Round != nil && (at.entry.Incident != "" || at.entry.ID == round.entry.ID) {
		lines = append(lines, roundLines(round)...)
	}
	switch ev := at.step.Event; {
	case ev.Outcome != nil:
		for _, line := range outcomeLines(*ev.Outcome, at) {
			if !slices.Contains(lines, line) { // The config is mostly what the round saw.
				lines = append(lines, line)
			}
		}
	case ev.Word != nil:
		lines = append(lines, "a person said: "+string(ev.Word.Verb))
	case ev.Found != nil:
		lines = append(lines, "the database knew no good config; the store names "+ev.Found.Snapshot)
	}
	return lines, nil
}

// incidentLines tell of the incident and of what was known of the agent.
func incidentLines(r replayed) []string {
	s := r.after
	inc := s.Incident
	if !inc.Open() {
		inc = r.before.Incident
	}
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if inc.Open() {
		say("incident since %s: %s", stamp(inc.Since), inc.Why.Rule())
		if inc.NewBoot {
			say("the machine was rebooted, and the agent has not been up since")
		}
		if inc.WasReady {
			say("ready checks were healthy within the hour before")
		}
		if inc.HeldOn != "" {
			say("the config had been on disk under a healthy process for %s; the probation is %s", inc.HeldFor.Round(time.Second), r.policy.Probation)
		}
		if inc.HeldOn != "" && inc.Original.Identity != "" && inc.HeldOn != inc.Original.Identity {
			say("the config on disk was changed after the agent was last seen healthy")
		}
		if n := failures(inc); n > 0 {
			say("starts that failed in this incident: %d", n)
		}
		if n := len(inc.Tried); n > 0 {
			say("versions that did not verify in this incident: %d", n)
		}
		if inc.Foreign > 0 {
			say("starts in this incident that neither deadman nor its supervisor made: %d", inc.Foreign)
		}
	}
	switch k := s.Known; {
	case k.IsZero():
		say("there is no known good")
	case k.Provisional:
		say("the known good is %s, which no start has proven", k.Snapshot)
	default:
		say("the known good is %s, since %s", k.Snapshot, stamp(k.At))
	}
	if n := len(s.Starts); n > 0 {
		say("starts by deadman within %s: %d of %d", r.policy.StartLimitInterval, n, r.policy.StartLimitBurst)
	}
	return lines
}

func failures(inc lifecycle.Incident) int {
	n := 0
	for _, f := range inc.Failures {
		n += f.Count
	}
	return n
}

// roundLines tell what a round saw.
func roundLines(r replayed) []string {
	o := r.step.Event.Round
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch o.Presence {
	case deadman.Running:
		if o.StartedAt.IsZero() {
			say("process %d was running", o.Process.PID)
		} else {
			say("process %d was running, since %s", o.Process.PID, stamp(o.StartedAt))
		}
	case deadman.Gone:
		say("there was no process of the agent")
	default:
		say("it could not be told whether there was a process")
	}
	if o.Stopped {
		say("it had been stopped on purpose, or had ended as planned")
	}
	if o.Activating {
		say("its supervisor was bringing it up")
	}
	if o.Restarts >= 0 {
		say("its supervisor had restarted it %d times", o.Restarts)
	}
	checks := "alive checks: " + o.Alive.String()
	if o.Partial && o.Alive == deadman.Healthy {
		checks += ", not all of them healthy"
	}
	if o.Ready != deadman.ResultUnset {
		checks += "; ready checks: " + o.Ready.String()
	}
	say("%s", checks)
	lines = append(lines, liveLines(o.Live, r)...)
	if evidence := r.after.Life.Evidence; r.exact && o.Presence == deadman.Running && evidence != "" {
		say("what it had started on: %s", evidence)
	}
	if o.ClockSet {
		say("the wall clock was set during this boot, so times of files and processes cannot be compared")
	}
	return append(lines, causeLines(o.Causes, o.Clues)...)
}

// liveLines tell of the config on disk.
func liveLines(live lifecycle.Live, r replayed) []string {
	if live.Unreadable {
		return []string{"the config on disk could not be read"}
	}
	if live.Hash == "" {
		return nil
	}
	var what []string
	if known := r.after.Known; r.exact && !known.IsZero() {
		if live.Identity == known.Identity {
			what = append(what, "is the known good")
		} else {
			what = append(what, "is not the known good")
		}
	}
	switch live.Valid {
	case deadman.Healthy:
		what = append(what, "validates")
	case deadman.Unhealthy:
		what = append(what, "does not validate")
	case deadman.Unknown:
		what = append(what, "could not be validated")
	}
	if live.Held {
		what = append(what, "a guard objects to it")
	}
	if live.Bad {
		what = append(what, "an earlier incident proved it bad")
	}
	return []string{fmt.Sprintf("the config on disk (%.12s): %s", live.Hash, strings.Join(what, ", "))}
}

// causeLines name causes, each with what speaks for it, if that was recorded.
func causeLines(causes []deadman.Cause, clues []string) []string {
	var lines []string
	for _, c := range causes {
		line := c.String()
		if i := slices.IndexFunc(clues, func(clue string) bool { return strings.HasPrefix(clue, line+": ") }); i >= 0 {
			line = clues[i]
		}
		lines = append(lines, "cause outside the config: "+line)
	}
	return lines
}

// outcomeLines tell how a deed came out.
func outcomeLines(o lifecycle.Outcome, r replayed) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	word := "done"
	if !o.OK {
		word = "failed"
	}
	if o.Detail != "" {
		word += ": " + o.Detail
	}
	say("%s %s", o.Kind, word)
	if o.Changed {
		say("the config changed under its hands")
	}
	if o.Partly {
		say("the set was only partly in place")
	}
	if !o.Appeared.IsZero() {
		say("process %d was there although the agent had been stopped", o.Appeared.PID)
	}
	if o.Kind != lifecycle.DoKeep {
		return lines
	}
	if o.Snapshot != "" {
		say("what was on disk was kept as %s", o.Snapshot)
	}
	lines = append(lines, liveLines(o.Live, r)...)
	lines = append(lines, causeLines(o.Causes, o.Clues)...)
	switch known := r.after.Known; {
	case o.Live.Unreadable || o.Live.Hash == "":
	case o.Live.Valid == deadman.Unhealthy:
		say("cause in the config: %s", deadman.ConfigInvalid)
	case r.exact && !known.IsZero() && o.Live.Identity != known.Identity && !slices.Contains(o.Causes, deadman.Permission):
		say("cause in the config: %s", deadman.ConfigChanged)
	}
	switch {
	case len(o.Shelf) == 0:
		say("nothing could be put back")
	default:
		ids := make([]string, len(o.Shelf))
		for i, t := range o.Shelf {
			ids[i] = t.Snapshot
			if !t.Proven {
				ids[i] += " (not proven)"
			}
		}
		say("could be put back: %s", strings.Join(ids, ", "))
	}
	if known := r.after.Known.Versions; r.exact && o.Version != "" && len(known) > 0 && !slices.Contains(known, o.Version) {
		say("the agent's version is not one that the known good was proven with")
	}
	return lines
}
