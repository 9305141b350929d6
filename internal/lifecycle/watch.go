package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// look takes one round.
func (m *machine) look(r Round) {
	if m.Phase == deadman.Dead && !m.policy.Observe {
		// It was only observed until now; from here on we may act.
		m.enter(deadman.PhaseUnset)
		m.Incident = Incident{}
	}
	m.noteBoot(r)
	m.noteLife(r)
	m.noteConfig(r)
	if m.handsOff(r) {
		return
	}
	switch m.Phase {
	case deadman.Waiting, deadman.Failed:
		if r.Presence == deadman.Running {
			m.appeared(r.Live)
		}
	case deadman.Verifying:
		m.verify(r)
	default:
		m.judge(r)
	}
}

// noteBoot voids what a reboot voids: processes and latches. What was tried
// stays tried.
func (m *machine) noteBoot(r Round) {
	if r.Boot == m.Boot {
		return
	}
	if m.Boot != "" {
		m.Life = Life{}
		m.Dying, m.Fog = 0, 0
		m.FreshBoot = true
		if m.Incident.Open() {
			m.Incident.NewBoot = true
		}
		if m.Phase == deadman.Verifying {
			// The start did not fail, the machine went down.
			m.enter(deadman.PhaseUnset)
		}
	}
	m.Boot = r.Boot
}

// noteLife notices a process that was not there before.
func (m *machine) noteLife(r Round) {
	if r.Presence != deadman.Running || r.Process.IsZero() {
		return
	}
	if r.Process == m.Life.Process {
		m.Life.Restarts = r.Restarts
		return
	}
	if m.Life.Ours && m.Life.Process.IsZero() {
		m.Life.Process = r.Process // The Start could not tell which; nothing else ran.
		return
	}
	explained := r.Restarts > m.Life.Restarts && m.Life.Restarts >= 0 || m.Life.Process.IsZero()
	if m.Incident.Open() && !m.Incident.NewBoot && !explained &&
		(m.Phase == deadman.Verifying || m.Phase == deadman.Probation) {
		m.foreign()
	}
	m.Life = Life{Process: r.Process, FirstAt: m.now, Restarts: r.Restarts,
		On: r.Live, Evidence: onDiskAtStart(m.Seen, r)}
	m.Life.On.Changed = time.Time{}
	if m.Seen.Hash == r.Live.Hash {
		m.Life.On.Snapshot = m.Seen.Snapshot
	}
	m.Dying = 0
}

// noteConfig notices a config that was not there before.
func (m *machine) noteConfig(r Round) {
	live := r.Live
	if live.Unreadable {
		return
	}
	live.Changed = time.Time{}
	if live.Hash == m.Seen.Hash {
		live.Snapshot = m.Seen.Snapshot
	}
	if live == m.Seen.Live {
		return
	}
	if live.Identity == m.Seen.Identity {
		m.Seen.Live = live
		return
	}
	if m.Known.Provisional && m.Seen.Identity == m.Known.Identity && !m.Seen.HealthySince.IsZero() {
		m.Known.Held += max(0, r.Previous.Sub(m.Seen.HealthySince))
	}
	m.Seen = Seen{Live: live}
	m.Life.ReadySince, m.Life.ReadyHeld, m.Life.Unready = time.Time{}, false, 0
}

// handsOff reports whether a person, or a rival, keeps us from acting.
func (m *machine) handsOff(r Round) bool {
	switch {
	case m.Hold.Verb == StopNow:
		if r.Presence == deadman.Running && r.Alive == deadman.Healthy {
			// Somebody started it again: it is no longer stopped on purpose.
			m.Hold = Hold{}
			m.enter(deadman.PhaseUnset)
			return false
		}
		m.enter(deadman.Stopped)
		return true
	case m.Hold.Verb == Pause && m.now.Before(m.Hold.Until) && !m.down():
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
	case r.Activating:
		m.enter(deadman.Starting)
	case r.Presence == deadman.Gone && r.Stopped:
		m.endUp(r)
		m.Dying, m.Fog, m.Incident = 0, 0, Incident{}
		if m.Phase != deadman.Stopped {
			m.note(deadman.StoppedBySupervisor)
		}
		m.enter(deadman.Stopped)
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
		m.enter(deadman.Starting)
	default:
		m.unhealthy(r)
	}
}

// age of the process of r.
func (m *machine) age(r Round) time.Duration {
	seen := m.now.Sub(m.Life.FirstAt)
	if r.StartedAt.IsZero() || r.ClockSet {
		return seen
	}
	return max(seen, m.now.Sub(r.StartedAt))
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

// gone: there is no process.
func (m *machine) gone(r Round) {
	m.endUp(r)
	if m.Phase == deadman.Dead {
		return
	}
	if r.Live.Valid == deadman.Unhealthy && !r.Live.Unreadable {
		m.die(deadman.ProcessGone) // Nothing can come back on that.
		return
	}
	if m.Phase != deadman.Confirming || m.Deadline.IsZero() {
		m.enter(deadman.Confirming)
		m.expect(m.policy.GoneGrace)
	}
}

// unhealthy: it is there and does not serve.
func (m *machine) unhealthy(r Round) {
	m.endUp(r)
	if m.Phase == deadman.Dead {
		return
	}
	m.Dying++
	if m.Dying >= m.policy.Threshold {
		m.die(deadman.ChecksUnhealthy)
		return
	}
	m.enter(deadman.Confirming)
	m.Deadline, m.Span = time.Time{}, 0
}

// endUp notes when health ended: the round before this one was the last.
func (m *machine) endUp(r Round) {
	if !m.Life.AliveSince.IsZero() {
		m.LastUp = later(m.Life.AliveSince, r.Previous)
	}
	if !m.Life.ReadySince.IsZero() {
		m.LastReady = later(m.Life.ReadySince, r.Previous)
	}
	m.Life.Run = 0
	m.Life.AliveSince, m.Life.FullSince, m.Life.ReadySince = time.Time{}, time.Time{}, time.Time{}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// up: it serves.
func (m *machine) up(r Round) {
	m.noteServing(r)
	if m.Phase == deadman.Dead {
		m.note(deadman.RecoveryEnded) // It came back without us.
		m.Incident = Incident{}
	}
	if !m.Incident.Open() {
		if m.Life.Unready >= m.policy.Threshold || r.Partial || r.Ready == deadman.Unhealthy {
			m.enter(deadman.Degraded)
		} else {
			m.enter(deadman.Up)
		}
	} else {
		m.enter(deadman.Probation)
	}
	if !r.Live.Unreadable && m.Seen.Snapshot == "" {
		m.do(Action{Kind: DoCapture, Reason: deadman.NewBytes})
		return
	}
	m.sayFindings(r)
	if m.standIn() || m.unready(r) {
		return
	}
	if r.full() && m.prove(r) {
		return
	}
	if m.Incident.Open() && m.now.Sub(m.Life.AliveSince) >= m.policy.Probation {
		m.close()
	}
}

// noteServing keeps the books of a round that serves.
func (m *machine) noteServing(r Round) {
	m.Dying, m.Fog, m.FreshBoot = 0, 0, false
	life := &m.Life
	if !life.Answered {
		life.Answered = true
		if life.Ours {
			m.learnStart(r.Version)
		}
	}
	life.Run = min(life.Run+1, m.policy.Threshold)
	start := func(at *time.Time) {
		if at.IsZero() {
			*at = m.now
		}
	}
	start(&life.AliveSince)
	if !r.Live.Unreadable {
		start(&m.Seen.HealthySince)
	}
	switch {
	case r.full() && !life.Process.IsZero():
		start(&life.FullSince)
	case r.Partial || r.Ready == deadman.Unhealthy:
		life.FullSince = time.Time{}
	}
	switch r.Ready {
	case deadman.Healthy:
		life.Unready = 0
		start(&life.ReadySince)
		if m.now.Sub(life.ReadySince) >= m.policy.Probation {
			life.ReadyHeld, m.EverReady = true, true
		}
	case deadman.Unhealthy:
		if !life.ReadySince.IsZero() {
			m.LastReady = later(life.ReadySince, r.Previous)
			life.ReadySince = time.Time{}
		}
		life.Unready = min(life.Unready+1, m.policy.Threshold)
	}
}

// sayFindings tells once what needs no act.
func (m *machine) sayFindings(r Round) {
	seen := m.Seen
	switch {
	case seen.Valid == deadman.Unhealthy:
		m.say(deadman.BrokenUnderGreen, seen.Identity)
	case seen.Bad:
		m.say(deadman.HeldVersionBack, seen.Identity)
	case seen.Held && seen.Identity != m.Known.Identity:
		m.say(deadman.CandidateHeld, seen.Identity)
	}
	if r.Partial && m.Phase == deadman.Degraded {
		m.say(deadman.SomeChecksUnhealthy, m.Since.Format(time.RFC3339))
	}
}

// unready: it serves but cannot do its work. The config is blamed only if it
// has never been ready on it, and was on another (incidents 3 and 33); a
// provider's outage hits a config that was ready before. It reports whether a
// deed was ordered.
func (m *machine) unready(r Round) bool {
	if r.Ready != deadman.Unhealthy || m.Life.Unready < m.policy.Threshold || m.Phase == deadman.Probation {
		return false
	}
	_, out := outside(r.Causes)
	blame := !out && !m.Life.ReadyHeld && m.EverReady && !m.Known.IsZero() && m.Seen.Identity != m.Known.Identity &&
		m.age(r) >= m.policy.HealthyDeadline && !slices.Contains(m.ReadyEnded, m.Seen.Identity)
	if !blame {
		if m.age(r) >= m.policy.HealthyDeadline {
			m.say(deadman.ReadyLost, m.LastReady.Format(time.RFC3339))
		}
		return false
	}
	m.ReadyEnded = append(m.ReadyEnded, m.Seen.Identity)
	if len(m.ReadyEnded) > saidMax {
		m.ReadyEnded = slices.Clone(m.ReadyEnded[1:])
	}
	m.die(deadman.NotReady)
	return true
}
