package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// noteLife notices a process that was not there before.
func (m *machine) noteLife(r Round) {
	if r.Presence != deadman.Running || r.Process.IsZero() {
		return
	}
	if r.Process == m.Life.Process {
		m.noteStart(r)
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
		m.noteStart(r)
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
	m.Life = Life{Process: r.Process, FirstAt: m.now, Restarts: r.Restarts}
	m.noteStart(r)
	m.Dying = 0
}

// noteStart judges what a process started on, at the first look at it, unless
// that is known.
func (m *machine) noteStart(r Round) {
	if m.Life.Evidence != "" {
		return
	}
	m.Life.On, m.Life.Evidence = r.Live, onDiskAtStart(m.Seen, r)
	m.Life.On.Changed = time.Time{}
	if m.Seen.Hash == r.Live.Hash {
		m.Life.On.Snapshot = m.Seen.Snapshot
	}
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

// age of the process of r.
func (m *machine) age(r Round) time.Duration {
	seen := m.now.Sub(m.Life.FirstAt)
	if r.StartedAt.IsZero() || r.ClockSet {
		return seen
	}
	return max(seen, m.now.Sub(r.StartedAt))
}
