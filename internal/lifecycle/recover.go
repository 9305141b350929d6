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
	} else if !m.Life.Process.IsZero() {
		m.note(deadman.DiedInProbation)
		if m.Seen.Identity == inc.Target.Identity {
			// The same bytes as were verified: that counts against them.
			inc.Failed, inc.Unjudged = inc.Target.Identity, true
		}
	}
	if inc.Verified {
		inc.Again = m.now
	}
	inc.Why = why
	m.failTrial(why)
	if m.policy.Observe {
		m.enter(deadman.Dead)
		m.do(Action{Kind: DoKeep, Reason: why})
		return
	}
	m.becomeStopping(why)
}

func (m *machine) openIncident(why deadman.Reason) {
	m.endUp(m.now)
	m.forget()
	inc := &m.Incident
	inc.ID = m.now.Format("20060102T150405.000Z")
	inc.Since, inc.Why, inc.NewBoot = m.now, why, m.FreshBoot
	inc.HeldOn, inc.HeldFor = m.Seen.Identity, m.Seen.HeldFor
	inc.WasReady = why == deadman.NotReady || !m.LastReady.IsZero() && m.now.Sub(m.LastReady) < readyMemory
}

// forget ends the incident. Only a set that is partly in place is not
// forgotten: it is finished before anything is started, whatever a person or a
// supervisor did in between.
func (m *machine) forget() {
	m.endTrial(deadman.TrialEnded)
	inc := m.Incident
	m.Incident = Incident{}
	if inc.Half {
		m.Incident = Incident{Half: true, Target: inc.Target, Chosen: inc.Chosen, RolledBack: inc.RolledBack, Original: inc.Original}
	}
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
		m.forget()
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
	_, repairable := m.repair(o, live, fix)
	hindered := hindering(o.Causes, repairable)
	m.judgeFailure(hindered)
	live.Changed = time.Time{}
	inc.Kept, inc.Version = live, o.Version
	if m.Phase == deadman.Keeping && !o.Appeared.IsZero() && !(m.OnTrial() && m.Trial.Reload) {
		m.appeared(live) // Nothing is replaced under a living process.
		return
	}
	if inc.Exhausted && fix && !inc.Half {
		m.afresh()
	}
	if inc.Original.Snapshot == "" && !live.Unreadable {
		inc.Original = live // Until that is stored, nothing of ours is there.
	}
	// The cause is that of the death; later looks within the incident see what
	// we have put there. An outside cause is news at any time, and so is another
	// config where nothing was found before: the first look may have been at a
	// person's word, and at no death.
	news := inc.Cause == deadman.NoCause && !fix && !inc.Target.IsZero() && live.Identity != inc.Target.Identity
	if cause := m.causeOf(live, o.Causes); inc.Cause == deadman.CauseUnset || cause.Outside() || news {
		inc.Cause = cause
	}
	if m.demote(o) || m.judgeTrial(live, hindered, fix) {
		return
	}
	if inc.Half && m.Phase != deadman.Dead {
		if !o.OK {
			m.tell(deadman.CannotKeep)
			m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.RestoreIncomplete)
			inc.Gaps++
			return
		}
		// Files before the one that somebody changed have been put back
		// already: the set on disk is no version that anybody wrote.
		m.becomeRestoring(inc.Target, inc.Chosen)
		return
	}
	if !m.recompose(o) {
		m.launch(live, deadman.TrialRefused, false)
		return
	}
	choice := m.choose(o, live, fix)
	m.considered = choice.considered
	m.passBy(o.Shelf, live)
	if m.Phase == deadman.Dead {
		m.wouldAct(choice)
		return
	}
	inc.Hindered = hindered
	due := inc.Due && live.Identity == inc.Target.Identity
	forced := inc.Chosen == deadman.CannotKeep || inc.Chosen == deadman.CannotRestore
	if due && (!forced || choice.reason == inc.Chosen) {
		// What was decided before the wait stands, with the cause looked at
		// anew. What was only forced on us is decided anew.
		m.launch(inc.Target, inc.Chosen, false)
		return
	}
	inc.Due = due && forced && (choice.restore || choice.exhausted) // If that fails again, the gap has been waited for.
	again := choice.target.Identity == inc.Failed || inc.failures(choice.target.Identity) > 0 ||
		choice.reason == deadman.OutsideCause && inc.Gaps > 0
	switch {
	case choice.exhausted:
		m.exhaust(live, o.Shelf)
	case choice.restore:
		if choice.reason == deadman.Relapse {
			m.tell(choice.reason)
		}
		// What the switch itself had put there is not to blame.
		ours := inc.RolledBack && live.Identity == inc.Target.Identity
		inc.RolledBack = choice.reason != deadman.RestoredByPerson && choice.reason != deadman.AppliedByPerson && choice.reason != deadman.PermissionDiffers
		if !ours && inc.RolledBack && choice.reason != deadman.RolledBackByPerson && choice.reason != deadman.ArmExpired && choice.reason != deadman.TrialFailed {
			m.blame(live)
		}
		if t := choice.target; choice.rung != FromStore && !slices.ContainsFunc(inc.Rungs, func(r Rung) bool { return r.Origin == choice.rung }) {
			inc.Rungs = append(inc.Rungs, Rung{Config: t.Config, Origin: choice.rung, Valid: t.Valid})
		}
		m.becomeRestoring(choice.target, choice.reason)
	default:
		if live.Identity != inc.Target.Identity {
			inc.RolledBack, inc.Verified = false, false
		}
		if choice.reason.Alarming() {
			m.tell(choice.reason)
		} else if hindered {
			m.tell(deadman.OutsideCause)
		}
		inc.Obeyed = inc.Person != ""
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
	before := inc.Kept.Identity
	if inc.Kept.IsZero() {
		before = m.Seen.Identity
	}
	// A member was written, or one was added or taken away.
	written := live.Written.After(inc.Stopped) || live.Changed.After(inc.Stopped) && live.Identity != before
	if !written {
		return false
	}
	// Our own restore is not somebody's fix.
	return inc.Target.IsZero() || live.Identity != inc.Target.Identity
}

// wouldAct records, in observe mode, what the decision was.
func (m *machine) wouldAct(c choice) {
	m.actions = append(m.actions, Action{
		Kind: Alert, Reason: deadman.WouldAct, Snapshot: c.target.Snapshot,
		Cause: m.Incident.Cause, Would: c.reason, Considered: c.considered,
	})
}

// blame remembers a version that is rolled back from.
func (m *machine) blame(live Live) {
	inc := &m.Incident
	known := slices.ContainsFunc(inc.Blamed, func(b Live) bool { return b.Identity == live.Identity })
	if live.Snapshot == "" || known || slices.Contains(inc.Tried, live.Identity) || live.Identity == m.Known.Identity {
		return
	}
	inc.Blamed = append(inc.Blamed, live)
	if len(inc.Blamed) > saidMax {
		inc.Blamed = slices.Clone(inc.Blamed[1:])
	}
}

// exhaust: nothing verified, so it was not the config.
func (m *machine) exhaust(live Live, shelf []Target) {
	inc := &m.Incident
	inc.Exhausted = true
	inc.Blamed = nil
	for _, identity := range inc.Tried {
		if inc.failures(identity) > 0 { // Not what merely could not be staged.
			m.Barred = include(m.Barred, identity)
		}
	}
	if len(m.Barred) > saidMax {
		m.Barred = slices.Clone(m.Barred[len(m.Barred)-saidMax:])
	}
	m.tell(deadman.Exhausted)
	rest := m.lastResort(shelf)
	inc.RolledBack = rest.Identity != inc.Original.Identity
	if rest.Snapshot != "" && rest.Hash != live.Hash && rest.Identity != live.Identity {
		m.becomeRestoring(rest, deadman.Exhausted)
		return
	}
	m.launch(live, deadman.Exhausted, true)
}

// lastResort is what the starts go on with when nothing has verified: the
// original. One that does not validate can never start, though the known good
// may as soon as whatever ended it is over (a VPN drop and an invalid config at
// once, incident 57). Nor may one that does: at the longest gap it takes turns
// with everything that was proven. Under a version that never started on those
// none can be expected to, and the original is what somebody will want to mend
// (incident 9).
func (m *machine) lastResort(shelf []Target) Live {
	inc := m.Incident
	var turns []Live
	if inc.Original.Valid != deadman.Unhealthy {
		turns = append(turns, inc.Original)
	}
	for _, t := range shelf {
		across := !m.versionToo(inc.Version) || slices.Contains(t.Versions, inc.Version)
		if across && t.Origin == FromStore && t.Snapshot != "" && t.Valid != deadman.Unhealthy && t.Identity != inc.Original.Identity {
			turns = append(turns, Live{Config: t.Config, Valid: t.Valid})
		}
	}
	for _, r := range inc.Rungs {
		if r.Identity != inc.Original.Identity {
			turns = append(turns, Live{Config: r.Config, Valid: r.Valid})
		}
	}
	switch {
	case len(turns) == 0:
		return inc.Original
	case m.policy.gap(inc.Gaps) < m.policy.BackoffLimit:
		return turns[0]
	}
	return turns[inc.Gaps%len(turns)]
}

// afresh forgets what this incident tried; failed targets stay barred.
func (m *machine) afresh() {
	inc := m.Incident
	m.Incident = Incident{
		ID: inc.ID, Since: inc.Since, Why: inc.Why, Stopped: inc.Stopped, WasReady: inc.WasReady,
		Foreign: inc.Foreign, Cause: inc.Cause,
	}
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
		inc.Half, inc.Replaced = false, true
		if o.Live.Hash != "" {
			// With preserved values spliced in, the bytes are not the
			// snapshot's; the identity is.
			inc.Target.Hash = o.Live.Hash
		}
		m.disarmOver(done)
		if inc.Person != "" && !inc.Obeyed {
			if done.Snapshot != inc.Chose.Snapshot {
				m.becomeKeeping() // That was a half set; now what the person wants.
				return
			}
			inc.Obeyed = true
		}
		again := done.Reason == deadman.Relapse || done.Reason == deadman.Exhausted ||
			done.Reason == deadman.PermissionDiffers && inc.failures(inc.Target.Identity) > 0
		m.launch(inc.Target, inc.Chosen, again)
	case o.Changed:
		inc.Half = inc.Half || o.Partly
		if inc.Raced++; inc.Raced >= racedMax {
			// A writer that never rests: give it a gap, and try anew then.
			inc.Raced = 0
			m.tell(deadman.RestoreIncomplete)
			m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.RestoreIncomplete)
			inc.Gaps++
			return
		}
		m.becomeKeeping() // Somebody wrote just now: that is kept first, and decided on.
	case o.Partly || inc.Half:
		// A later attempt that replaced nothing leaves the half set of the
		// first one.
		inc.Half = true
		m.tell(deadman.RestoreIncomplete)
		m.becomeWaiting(m.policy.gap(inc.Gaps), deadman.RestoreIncomplete)
		inc.Gaps++
	default:
		// Nothing was replaced. The target is out of reach for this incident,
		// and the live config is all there is.
		m.tell(deadman.CannotRestore)
		inc.RolledBack = false
		inc.Obeyed = inc.Person != ""
		switch {
		case done.Reason == deadman.PermissionDiffers:
			inc.Unrepaired = true // Its bytes are there all the same.
		case !inc.Exhausted:
			inc.Tried = include(inc.Tried, inc.Target.Identity)
		}
		live := inc.Kept
		if o.Live.Hash != "" && o.Live.Hash != live.Hash {
			live = o.Live
		}
		m.launch(live, deadman.CannotRestore, inc.failures(live.Identity) > 0 || live.Identity == inc.Failed)
	}
}

// started takes the outcome of a Start.
func (m *machine) started(o Outcome) {
	if !o.Appeared.IsZero() {
		// Something of the agent was there before us: nothing was started beside it.
		m.appeared(m.Incident.Target)
		return
	}
	if o.Changed {
		m.becomeKeeping() // A crash of ours came between, and then somebody: it is decided anew.
		return
	}
	if !o.OK {
		m.fail(deadman.StartFailed)
		return
	}
	m.Life = Life{Process: o.Process, FirstAt: m.now, Restarts: -1, Ours: true, On: m.Incident.Target, Evidence: StartedByUs}
	if o.Resumed {
		m.Life.On, m.Life.Evidence = Live{}, "" // The first look at it tells.
	}
	m.becomeVerifying()
}

// demote takes the standing of a known good on which the agent keeps dying
// without outside cause, if there is an older one to try. A reboot is such a
// cause, and so is one that held when the start was decided on. The look before
// a start that was waited for is at no death. It reports whether a deed was
// ordered.
func (m *machine) demote(o Outcome) bool {
	if _, out := outside(o.Causes); out || m.Incident.Hindered || m.Incident.Due || m.Incident.NewBoot || m.Phase == deadman.Dead || m.Incident.Person != "" || m.Known.IsZero() || m.Known.Provisional || o.Live.Identity != m.Known.Identity ||
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
