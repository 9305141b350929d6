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
		m.judge(r)
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

// noteLoop counts the restarts by the agent's supervisor. Where that keeps no
// count, a process that never answered and was followed by another is one.
func (m *machine) noteLoop(r Round) {
	loop := &m.Loop
	var more int64
	switch {
	case r.Restarts >= 0:
		if loop.Known {
			more = r.Restarts - loop.Count
		}
		loop.Known, loop.Count = true, r.Restarts
	case r.Presence == deadman.Running && !r.Process.IsZero() && !m.Life.Process.IsZero() && r.Process != m.Life.Process && !m.Life.Answered:
		more = 1
	}
	if more <= 0 {
		return
	}
	m.endUp(r.Previous)
	if r.Restarts >= 0 && !m.Incident.Open() {
		m.note(deadman.RestartedBySupervisor)
	}
	loop.At = slices.DeleteFunc(loop.At, func(at time.Time) bool { return m.now.Sub(at) >= m.policy.StartLimitInterval })
	for range min(more, int64(m.policy.StartLimitBurst)+1) {
		loop.At = append(loop.At, m.now)
	}
	if most := m.policy.StartLimitBurst + 1; len(loop.At) > most {
		loop.At = slices.Clone(loop.At[len(loop.At)-most:])
	}
}

// looping reports whether its supervisor has passed the start limit.
func (m *machine) looping() bool { return m.restarted() > m.policy.StartLimitBurst }

// crashLimit is how often a supervisor may restart an agent that does not stay
// up before we step in.
const crashLimit = 3

// crashing reports whether its supervisor, which counts, is at it for the third
// time, and this look too finds it down, or up and never having answered.
func (m *machine) crashing(r Round) bool {
	return r.Restarts >= 0 && m.restarted() >= crashLimit && r.Alive != deadman.Healthy &&
		(r.Presence == deadman.Gone || !m.Life.Answered)
}

// restarted counts the restarts within the start limit's interval.
func (m *machine) restarted() int {
	n := 0
	for _, at := range m.Loop.At {
		if m.now.Sub(at) < m.policy.StartLimitInterval {
			n++
		}
	}
	return n
}

// noteLife notices a process that was not there before.
func (m *machine) noteLife(r Round) {
	if r.Presence != deadman.Running || r.Process.IsZero() {
		return
	}
	if r.Process == m.Life.Process {
		if r.Restarts != m.Life.Restarts {
			if m.Life.Restarts >= 0 {
				m.Life.FullSince = time.Time{}
			}
			m.Life.Restarts = r.Restarts
		}
		return
	}
	if m.Life.Ours && m.Life.Process.IsZero() {
		m.Life.Process = r.Process // The Start could not tell which; nothing else ran.
		return
	}
	// Without a count from before there is nothing to tell by.
	explained := m.Life.Process.IsZero() || r.Restarts >= 0 && (m.Life.Restarts < 0 || r.Restarts > m.Life.Restarts)
	if m.Incident.Open() && !m.Incident.NewBoot && !explained &&
		(m.Phase == deadman.Verifying || m.Phase == deadman.Probation) {
		m.foreign()
	}
	if !m.Incident.Open() && !explained {
		m.bounced()
	}
	m.endUp(r.Previous)
	m.Life = Life{
		Process: r.Process, FirstAt: m.now, Restarts: r.Restarts,
		On: r.Live, Evidence: onDiskAtStart(m.Seen, r),
	}
	m.Life.On.Changed = time.Time{}
	if m.Seen.Hash == r.Live.Hash {
		m.Life.On.Snapshot = m.Seen.Snapshot
	}
	m.Dying = 0
}

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

// noteEnd notes that health ended, in whatever phase: what comes after a pause,
// or after a rival's doings, must not be taken for uninterrupted.
func (m *machine) noteEnd(r Round) {
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

// bounced counts a process that took the place of another while all was well, and
// that nobody explains. Once may be a person; again and again is another watchdog
// (incident 65), which no round sees at work.
func (m *machine) bounced() {
	m.Bounces = slices.DeleteFunc(append(m.Bounces, m.now), func(at time.Time) bool {
		return m.now.Sub(at) >= m.policy.StartLimitInterval
	})
	if len(m.Bounces) == bouncesMax {
		m.actions = append(m.actions, Action{Kind: Alert, Reason: deadman.RivalStarts, Snapshot: m.Seen.Snapshot})
	}
	if len(m.Bounces) > bouncesMax {
		m.Bounces = slices.Clone(m.Bounces[1:])
	}
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

// endUp notes that health ended; at is when it was last seen.
func (m *machine) endUp(at time.Time) {
	if at.After(m.now) {
		at = m.now
	}
	if life := m.Life; !life.AliveSince.IsZero() {
		m.LastUp = later(life.AliveSince, at)
		if at.Sub(life.AliveSince) >= m.policy.Probation {
			m.Loop.At = nil // What ended was no part of a loop.
		}
	}
	if life := m.Life; !life.ReadySince.IsZero() {
		m.LastReady = later(life.ReadySince, at)
	}
	if since := m.Seen.HealthySince; !since.IsZero() {
		m.Seen.HeldFor += max(0, at.Sub(since))
		m.Seen.HealthySince = time.Time{}
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
		m.forget()
	}
	m.Incident.Half = false // It serves on what is there.
	if inc := &m.Incident; !inc.Open() {
		m.Incident = Incident{}
		if m.Life.Unready >= m.policy.Threshold || r.Partial || r.Ready == deadman.Unhealthy {
			m.enter(deadman.Degraded)
		} else {
			m.enter(deadman.Up)
		}
	} else {
		if !inc.Verified && m.Life.Run >= m.policy.Threshold && m.Seen.Identity == inc.Target.Identity {
			m.becomeProbation(deadman.Verified) // A reboot, or a fog, came between.
		}
		m.enter(deadman.Probation)
	}
	m.lose(r)
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
	if m.Incident.Open() && m.Life.Run >= m.policy.Threshold && m.now.Sub(m.Life.AliveSince) >= m.policy.Probation {
		m.close()
	}
}

// lose notices that the store has lost what the state relies on. What is live is
// captured anew, which mends a damaged copy of it. A known good that this cannot
// bring back is none: another one has to be found by the rule of proof, and not
// at the next death. Within an incident that waits: the target is chosen.
func (m *machine) lose(r Round) {
	if m.Incident.Open() || len(r.Lost) == 0 {
		return
	}
	if slices.Contains(r.Lost, m.Known.Snapshot) {
		m.say(deadman.KnownGoodLost, m.Known.Snapshot)
		if r.Live.Hash != m.Known.Hash {
			m.unknow()
		}
	}
	for _, at := range []*string{&m.Life.On.Snapshot, &m.Seen.Snapshot} {
		if slices.Contains(r.Lost, *at) {
			*at = ""
		}
	}
}

// unknow forgets a known good that is lost. This life may prove again what it
// has proven.
func (m *machine) unknow() { m.Known, m.Life.Proven = Known{}, false }

// noteServing keeps the books of a round that serves.
func (m *machine) noteServing(r Round) {
	m.Dying, m.Fog, m.FreshBoot = 0, 0, false
	life := &m.Life
	if !life.Answered {
		life.Answered = true
		if m.Incident.failures(life.On.Identity) > 0 && m.Seen.Identity != life.On.Identity {
			// It was mended between our look and the agent's own: what it failed on
			// before is not what it came up on.
			life.Evidence = ChangedSince
		}
		// Of a process that was first seen when it served, or serves unseen, it is
		// not known how long that took.
		if life.Ours || !life.Process.IsZero() && life.FirstAt.Before(m.now) {
			m.learnStart(r)
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
		life.Unready, m.Seen.Unready = 0, false
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
	if m.Problem != "" && m.say(deadman.NotCaptured, m.Problem) {
		m.actions[len(m.actions)-1].Detail = m.Problem
	}
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
	cause, out := outside(r.Causes)
	if !out && m.Seen.Unready {
		// Whatever it is that it waits for, it did so before the change.
		cause, out = deadman.NotReadyBefore, true
	}
	blame := !out && !m.Life.ReadyHeld && m.EverReady && !m.Known.IsZero() && m.Seen.Identity != m.Known.Identity &&
		m.age(r) >= m.policy.HealthyDeadline && !slices.Contains(m.ReadyEnded, m.Seen.Identity)
	if !blame {
		if m.age(r) >= m.policy.HealthyDeadline {
			m.sayOf(cause, deadman.ReadyLost, m.LastReady.Format(time.RFC3339))
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
