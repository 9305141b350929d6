package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// die: the agent is dead, beyond doubt. A death within an incident belongs to it.
func (m *machine) die(why deadman.Reason) {
	inc := &m.Incident
	if !inc.Open() {
		m.openIncident(why)
	} else {
		m.note(deadman.DiedInProbation)
		if m.Seen.Identity == inc.Target.Identity {
			// The same bytes as were verified: that counts against them.
			m.count(inc.Target.Identity)
		}
	}
	inc.Why = why
	if m.policy.Observe {
		m.enter(deadman.Dead)
		m.do(Action{Kind: DoKeep, Reason: why})
		return
	}
	m.becomeStopping(why)
}

func (m *machine) openIncident(why deadman.Reason) {
	m.Incident = Incident{
		ID:      m.now.Format("20060102T150405.000Z"),
		Since:   m.now,
		Why:     why,
		NewBoot: m.FreshBoot,
		HeldOn:  m.Seen.Identity,
	}
	if !m.Seen.HealthySince.IsZero() {
		m.Incident.HeldFor = max(0, m.LastUp.Sub(m.Seen.HealthySince))
	}
	ready := later(m.Life.ReadySince, m.LastReady)
	m.Incident.WasReady = !ready.IsZero() && m.now.Sub(ready) < readyMemory
}

// stopped takes the outcome of a Stop.
func (m *machine) stopped(done Action, o Outcome) {
	inc := &m.Incident
	if !o.OK {
		if done.Reason == deadman.StoppedByPerson {
			m.actions = append(m.actions, Action{Kind: Alert, Reason: deadman.StopFailed})
			m.enter(deadman.Stopped)
			return
		}
		m.tell(deadman.StopFailed)
		m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.StopFailed)
		inc.Gaps++
		return
	}
	m.Life = Life{}
	if done.Reason == deadman.StoppedByPerson {
		m.Incident = Incident{}
		m.enter(deadman.Stopped)
		return
	}
	if inc.Stopped.IsZero() {
		inc.Stopped = o.Wall
	}
	if inc.Half {
		m.becomeRestoring(inc.Target, inc.Chosen)
		return
	}
	m.becomeKeeping()
}

// kept takes the outcome of a Keep, and decides.
func (m *machine) kept(o Outcome) {
	inc := &m.Incident
	live := o.Live
	if o.OK {
		live.Snapshot = o.Snapshot
	}
	fix := m.changedSinceStop(live)
	live.Changed = time.Time{}
	if inc.Original.IsZero() && !live.Unreadable {
		inc.Original = live
	}
	// The cause is that of the death; later looks within the incident see what
	// we have put there. An outside cause is news at any time.
	if cause := m.causeOf(live, o.Causes); inc.Cause == deadman.CauseUnset || cause.Outside() {
		inc.Cause = cause
	}
	if m.demote(o) {
		return
	}
	if inc.Half {
		// Files before the one that somebody changed have been put back
		// already: the set on disk is no version that anybody wrote.
		m.becomeRestoring(inc.Target, inc.Chosen)
		return
	}
	if inc.Exhausted && fix {
		m.afresh()
	}
	choice := m.choose(o, live, fix)
	m.considered = choice.considered
	if m.policy.Observe {
		m.wouldAct(choice)
		return
	}
	if inc.Due && live.Identity == inc.Target.Identity {
		// What was decided before the wait stands, with the cause looked at anew.
		m.launch(inc.Target, inc.Chosen, false)
		return
	}
	inc.Due = false
	again := inc.failures(choice.target.Identity) > 0 || choice.reason == deadman.Relapse || choice.reason == deadman.OutsideCause && inc.Gaps > 0
	switch {
	case choice.exhausted:
		m.exhaust(live)
	case choice.restore:
		if choice.reason == deadman.Relapse {
			m.tell(choice.reason)
		}
		inc.RolledBack = choice.reason != deadman.RestoredByPerson
		if inc.Person == "" {
			m.blame(live)
		}
		m.becomeRestoring(choice.target, choice.reason)
	default:
		if live.Identity != inc.Target.Identity {
			inc.RolledBack, inc.Verified = false, false
		}
		if choice.reason.Alarming() {
			m.tell(choice.reason)
		}
		m.launch(live, choice.reason, again)
	}
}

// causeOf names the cause of the death for the record.
func (m *machine) causeOf(live Live, causes []deadman.Cause) deadman.Cause {
	if cause, out := outside(causes); out {
		return cause
	}
	switch {
	case live.Unreadable:
		return deadman.CauseUnset
	case live.Valid == deadman.Unhealthy:
		return deadman.ConfigInvalid
	case !m.Known.IsZero() && live.Identity != m.Known.Identity:
		return deadman.ConfigChanged
	}
	return deadman.NoCause
}

// changedSinceStop reports whether somebody wrote after no process of the
// agent could have: a fix.
func (m *machine) changedSinceStop(live Live) bool {
	inc := m.Incident
	if live.Unreadable || inc.Stopped.IsZero() {
		return false
	}
	// A member was written, or one was added or taken away.
	written := live.Written.After(inc.Stopped) || live.Changed.After(inc.Stopped) && live.Identity != m.Seen.Identity
	if !written {
		return false
	}
	// Our own restore is not somebody's fix.
	return inc.Target.IsZero() || live.Identity != inc.Target.Identity
}

// wouldAct records, in observe mode, what the decision was.
func (m *machine) wouldAct(c choice) {
	m.actions = append(m.actions, Action{Kind: Alert, Reason: deadman.WouldAct, Snapshot: c.target.Snapshot,
		Cause: m.Incident.Cause, Would: c.reason, Considered: c.considered})
}

// blame remembers a version that is rolled back from.
func (m *machine) blame(live Live) {
	inc := &m.Incident
	known := slices.ContainsFunc(inc.Blamed, func(b Live) bool { return b.Identity == live.Identity })
	if live.Snapshot == "" || known || slices.Contains(inc.Tried, live.Identity) || live.Identity == m.Known.Identity {
		return
	}
	inc.Blamed = append(inc.Blamed, live)
}

// exhaust: nothing verified, so it was not the config.
func (m *machine) exhaust(live Live) {
	inc := &m.Incident
	inc.Exhausted, inc.RolledBack = true, false
	inc.Blamed = nil
	for _, identity := range inc.Tried {
		m.Barred = include(m.Barred, identity)
	}
	if len(m.Barred) > saidMax {
		m.Barred = slices.Clone(m.Barred[len(m.Barred)-saidMax:])
	}
	m.tell(deadman.Exhausted)
	if inc.Original.Snapshot != "" && inc.Original.Hash != live.Hash {
		m.becomeRestoring(inc.Original, deadman.Exhausted)
		return
	}
	m.launch(live, deadman.Exhausted, true)
}

// afresh forgets what this incident tried; failed targets stay barred.
func (m *machine) afresh() {
	inc := m.Incident
	m.Incident = Incident{ID: inc.ID, Since: inc.Since, Why: inc.Why, Stopped: inc.Stopped, WasReady: inc.WasReady,
		Foreign: inc.Foreign, Cause: inc.Cause}
}

// startAfresh is afresh after a person's word, with the next attempt at once.
func (m *machine) startAfresh() {
	m.afresh()
	m.becomeStopping(m.Incident.Why)
}

// restored takes the outcome of a Restore.
func (m *machine) restored(done Action, o Outcome) {
	inc := &m.Incident
	switch {
	case o.OK:
		inc.Half = false
		if o.Live.Hash != "" {
			// With preserved values spliced in, the bytes are not the
			// snapshot's; the identity is.
			inc.Target.Hash = o.Live.Hash
		}
		again := done.Reason == deadman.Relapse || done.Reason == deadman.Exhausted
		m.launch(inc.Target, inc.Chosen, again)
	case o.Changed:
		inc.Half = o.Partly
		if inc.Raced++; inc.Raced >= racedMax {
			// A writer that never rests: give it a gap, and try anew then.
			inc.Raced = 0
			m.tell(deadman.RestoreIncomplete)
			m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.RestoreIncomplete)
			inc.Gaps++
			return
		}
		m.becomeKeeping() // Somebody wrote just now: that is kept first, and decided on.
	case o.Partly:
		inc.Half = true
		m.tell(deadman.RestoreIncomplete)
		m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.RestoreIncomplete)
		inc.Gaps++
	default:
		// Nothing was replaced. The target is out of reach for this incident,
		// and the live config is all there is.
		m.tell(deadman.CannotRestore)
		inc.Half, inc.RolledBack = false, false
		inc.Tried = include(inc.Tried, inc.Target.Identity)
		m.launch(o.Live, deadman.CannotRestore, inc.failures(o.Live.Identity) > 0)
	}
}

// started takes the outcome of a Start.
func (m *machine) started(o Outcome) {
	if !o.Appeared.IsZero() {
		// Something of the agent was there before us: nothing was started beside it.
		m.appeared(m.Incident.Target)
		return
	}
	if !o.OK {
		m.fail(deadman.StartFailed)
		return
	}
	m.Life = Life{Process: o.Process, FirstAt: m.now, Restarts: -1, Ours: true, On: m.Incident.Target, Evidence: StartedByUs}
	m.becomeVerifying()
}

// demote takes the standing of a known good on which the agent keeps dying
// without outside cause, if there is an older one to try. It reports whether a
// deed was ordered.
func (m *machine) demote(o Outcome) bool {
	if _, out := outside(o.Causes); out || m.policy.Observe || m.Known.IsZero() || m.Known.Provisional || o.Live.Identity != m.Known.Identity ||
		m.now.Sub(m.Known.At) >= demotionTime || m.Incident.Counted {
		return false
	}
	m.Incident.Counted = true
	m.Known.Deaths++
	if m.Known.Deaths < demotionDeaths {
		return false
	}
	older := slices.IndexFunc(o.Shelf, func(t Target) bool {
		return t.Proven && t.Identity != m.Known.Identity && t.Valid != deadman.Unhealthy && !slices.Contains(m.Barred, t.Identity)
	})
	if older < 0 {
		return false
	}
	demoted := m.Known
	m.Known = Known{Config: o.Shelf[older].Config, Versions: o.Shelf[older].Versions, At: time.Time{}}
	m.Incident.Demoted = true
	m.do(Action{Kind: DoMark, Reason: deadman.KnownGoodDemoted, Snapshot: demoted.Snapshot, Standing: deadman.Suspect})
	return true
}
