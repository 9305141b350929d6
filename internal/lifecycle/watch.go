package lifecycle

import (
	"time"

	"deadman"
)

// look takes one round.
func (m *machine) look(r Round) {
	if m.Phase == deadman.Dead && !m.policy.Observe {
		// It was only observed until now; from here on we may act.
		m.enter(deadman.PhaseUnset)
		m.forget()
	}
	m.noteBoot(r.Boot, r.Previous)
	m.noteLoop(r)
	before := m.Life.Process
	unready := m.Seen.Unready || m.Life.Unready > 0 && (m.Life.ReadyHeld || !m.Known.IsZero() && m.Seen.Identity == m.Known.Identity)
	m.noteLife(r)
	m.noteConfig(r, unready)
	m.noteEnd(r)
	if m.handsOff(r) {
		return
	}
	switch m.Phase {
	case deadman.Waiting, deadman.Failed:
		switch {
		case r.Presence == deadman.Running && r.Process != before,
			r.Presence == deadman.Running && r.Process.IsZero() && !m.Incident.Stopped.IsZero():
			// Not what a Stop could not end: that is no news.
			m.appeared(r.Live)
		case (m.Phase == deadman.Failed || m.Incident.Due) && !m.Incident.Half &&
			r.Live.Settled && r.Live.Valid != deadman.Unhealthy && m.changedSinceStop(r.Live):
			m.becomeStopping(m.Incident.Why) // Somebody's fix need not wait for the gap.
		}
	case deadman.Verifying:
		m.verify(r)
	default:
		if !m.unconfirmed(r) {
			m.judge(r)
		}
	}
}

// noteBoot voids what a reboot voids: processes and latches. What was tried
// stays tried. It reports whether there was one.
func (m *machine) noteBoot(boot string, previous time.Time) bool {
	if boot == m.Boot || boot == "" {
		return false
	}
	first := m.Boot == ""
	m.Boot = boot
	if first {
		return false
	}
	m.endUp(previous)
	m.Life, m.Loop = Life{}, Loop{}
	m.Dying, m.Fog = 0, 0
	m.FreshBoot = true
	if m.Incident.Open() {
		m.Incident.NewBoot = true
	}
	// From here on an init, and not only we, may have started it, and what was
	// started may have written.
	m.Incident.Stopped, m.Incident.Kept = time.Time{}, Live{}
	if m.Phase == deadman.Verifying || m.Phase == deadman.Confirming {
		// The start did not fail, and the process did not die: the machine went
		// down.
		m.enter(deadman.PhaseUnset)
	}
	return true
}

// crashLimit is how often a supervisor may restart an agent that does not stay
// up before we step in.
const crashLimit = 3

// noteConfig notices a config that was not there before. unready: the agent was
// not ready when it came, on one on which it had been.
func (m *machine) noteConfig(r Round, unready bool) {
	live := r.Live
	if live.Unreadable {
		if r.Problem != "" {
			m.Problem = r.Problem
		}
		return
	}
	m.Problem = ""
	live.Changed = time.Time{}
	if live.Hash == m.Seen.Hash {
		live.Snapshot = m.Seen.Snapshot
	}
	if on := &m.Life.On; on.Hash == live.Hash {
		on.Valid, on.Held, on.Bad = live.Valid, live.Held, live.Bad // As judged now.
	}
	if live == m.Seen.Live {
		return
	}
	if live.Identity == m.Seen.Identity {
		m.Seen.Live = live
		return
	}
	if m.Known.Provisional && m.Seen.Identity == m.Known.Identity {
		m.Known.Held += m.Seen.HeldFor
		if !m.Seen.HealthySince.IsZero() {
			m.Known.Held += max(0, r.Previous.Sub(m.Seen.HealthySince))
		}
	}
	m.Seen = Seen{Live: live, Unready: unready}
	m.Life.ReadySince, m.Life.ReadyHeld, m.Life.Unready = time.Time{}, false, 0
}

// noteEnd notes that health, or the want of it, ended, in whatever phase: what
// comes after a pause, or after a rival's doings, must not be taken for
// uninterrupted.
func (m *machine) noteEnd(r Round) {
	if r.Presence != deadman.Gone && r.Alive == deadman.Healthy {
		m.Dying = 0
	}
	switch {
	case r.Presence == deadman.Gone && r.Alive != deadman.Healthy, r.Alive == deadman.Unhealthy, r.Activating && r.Alive != deadman.Healthy:
		m.endUp(r.Previous)
	case r.Partial || r.Ready == deadman.Unhealthy:
		m.Life.FullSince = time.Time{}
	}
}

// handsOff reports whether a person, or a rival, keeps us from acting.
func (m *machine) handsOff(r Round) bool {
	// A stop on purpose ends when somebody starts it again; that the stop
	// failed is no start.
	again := r.Presence == deadman.Running && r.Alive == deadman.Healthy &&
		(m.Life.Process.IsZero() || !m.Life.FirstAt.Before(m.Since))
	switch {
	case m.Hold.Verb == StopNow:
		if again && m.Phase == deadman.Stopped {
			m.Hold = Hold{}
			m.enter(deadman.PhaseUnset)
			return false
		}
		m.enter(deadman.Stopped)
		return true
	case m.Hold.Verb == Pause && m.now.Before(m.Hold.Until) && !m.down():
		if again {
			m.Hold.Stopped = false
		}
		m.enter(deadman.Paused)
		return true
	}
	return m.Phase == deadman.StoodDown
}

// down reports whether the agent is down, or on its way up, by our hand. A
// pause waits for the end of that.
func (m *machine) down() bool {
	switch m.Phase {
	case deadman.Stopping, deadman.Keeping, deadman.Restoring, deadman.Launching, deadman.Verifying, deadman.Waiting:
		return true
	}
	return false
}

// judge says what a round means for an agent that is not being recovered.
func (m *machine) judge(r Round) {
	switch {
	case r.Presence == deadman.Gone && r.Stopped:
		m.left(r)
	case m.looping() && m.Phase != deadman.Dead:
		// Whatever this one look sees: it is up and down all the time.
		m.die(deadman.RestartLimitPassed)
	case m.crashing(r) && m.Phase != deadman.Dead:
		m.die(deadman.CrashLoop)
	case r.Activating:
		m.enter(deadman.Starting)
	case r.Presence == deadman.Gone && r.Alive == deadman.Healthy:
		// A stale pid file, most likely. Nothing is started beside it.
		m.fog()
	case r.Presence == deadman.Gone:
		m.gone(r)
	case r.Alive == deadman.Healthy:
		m.up(r)
	case r.Presence == deadman.Obscured || r.Alive == deadman.Unknown || r.Presence == deadman.PresenceUnset:
		m.fog()
	case !m.Life.Answered && m.age(r) < m.startMax():
		m.Fog = 0
		m.enter(deadman.Starting)
	default:
		m.unhealthy()
	}
}

// left: it was stopped by somebody else, or ended as planned, and is left so.
func (m *machine) left(r Round) {
	m.Dying, m.Fog = 0, 0
	m.forget()
	if m.Phase != deadman.Stopped {
		cause, _ := outside(r.Causes)
		m.actions = append(m.actions, Action{Kind: Note, Reason: deadman.StoppedBySupervisor, Cause: cause})
	}
	m.enter(deadman.Stopped)
}

// fog: cannot tell. It neither counts nor resets.
func (m *machine) fog() {
	if m.Phase != deadman.Confirming && m.Phase != deadman.Probation && m.Phase != deadman.Dead {
		m.enter(deadman.Unclear)
	}
	if m.Fog < unknownLimit {
		m.Fog++
		if m.Fog == unknownLimit {
			m.actions = append(m.actions, Action{Kind: Alert, Reason: deadman.UnknownTooLong})
		}
	}
}

// gone: there is no process. It is believed when a second look, after the
// grace, finds none either.
func (m *machine) gone(r Round) {
	m.Fog = 0
	switch {
	case m.Phase == deadman.Dead:
	case m.policy.GoneGrace == 0, r.Live.Valid == deadman.Unhealthy && !r.Live.Unreadable:
		m.die(deadman.ProcessGone) // Nobody, or on that nothing, can bring it back.
	case m.Phase != deadman.Confirming || m.Deadline.IsZero():
		m.enter(deadman.Confirming)
		m.expect(m.policy.GoneGrace)
	case !m.now.Before(m.Deadline):
		m.die(deadman.ProcessGone)
	}
}

// unhealthy: it is there and does not serve.
func (m *machine) unhealthy() {
	if m.Phase == deadman.Dead {
		return
	}
	m.Dying++
	m.Fog = 0
	if m.Dying >= m.policy.Threshold {
		m.die(deadman.ChecksUnhealthy)
		return
	}
	m.enter(deadman.Confirming)
	m.Deadline, m.Span = time.Time{}, 0
}
