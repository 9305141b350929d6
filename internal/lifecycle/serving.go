package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// up: it serves.
func (m *machine) up(r Round) {
	m.noteServing(r)
	if m.Phase == deadman.Dead {
		m.note(deadman.RecoveryEnded) // It came back without us.
		m.forget()
	}
	if m.Life.Evidence.Proves() && m.Life.On.Identity == m.Seen.Identity {
		m.Incident.Half = false // It serves on what is there.
	}
	if inc := &m.Incident; !inc.Open() {
		m.forget()
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
	if m.standIn() || m.unready(r) || m.unwell(r) {
		return
	}
	if r.full() && m.prove(r) {
		return
	}
	if m.Incident.Open() && !m.proving(r) && m.Life.Run >= m.policy.Threshold && m.now.Sub(m.Life.AliveSince) >= m.policy.Probation {
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
