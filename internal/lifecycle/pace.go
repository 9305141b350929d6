package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// gap is the n-th backoff gap of an incident, n from 0.
func (p Policy) gap(n int) time.Duration {
	gap := p.BackoffDelay
	for range n {
		if gap >= p.BackoffLimit {
			break
		}
		gap = time.Duration(float64(gap) * p.BackoffFactor)
	}
	return min(gap, p.BackoffLimit)
}

// windowOpens is the earliest time, not before now, at which another start
// keeps within the start limit. starts are in order, none after now.
func (p Policy) windowOpens(starts []time.Time, now time.Time) time.Time {
	if len(starts) < p.StartLimitBurst {
		return now
	}
	// The burst-th start from the end must have left the window.
	opens := starts[len(starts)-p.StartLimitBurst].Add(p.StartLimitInterval)
	if opens.Before(now) {
		return now
	}
	return opens
}

// pruneStarts forgets starts that have left the window. Starts in the future
// (the clock was set back over a reboot) count as of now: only time empties
// the window.
func (m *machine) pruneStarts() {
	kept := m.Starts[:0:0]
	for _, at := range m.Starts {
		if at.After(m.now) {
			at = m.now
		}
		if m.now.Sub(at) < m.policy.StartLimitInterval {
			kept = append(kept, at)
		}
	}
	if slices.EqualFunc(kept, m.Starts, time.Time.Equal) {
		return
	}
	m.Starts = kept
	if len(kept) == 0 {
		m.Starts = nil
	}
}

// launch starts the agent on target, now or as soon as pace allows. again says
// that the same was tried before in this incident, so that a gap is due.
func (m *machine) launch(target Live, reason deadman.Reason, again bool) {
	if m.unlaunched(target, reason) {
		return
	}
	inc := &m.Incident
	m.pruneStarts()
	at, why := m.now, deadman.Backoff
	if again && !inc.Due {
		at = m.now.Add(m.policy.gap(inc.Gaps))
		inc.Gaps++
	}
	if opens := m.policy.windowOpens(m.Starts, m.now); opens.After(at) {
		at, why = opens, deadman.StartWindowFull
	}
	target.Changed = time.Time{}
	if target.Snapshot == "" && target.Identity == inc.Target.Identity {
		target.Snapshot = inc.Target.Snapshot // A Keep that failed does not make it unknown where it is stored.
	}
	inc.Target, inc.Chosen = target, reason
	if at.After(m.now) {
		inc.Due = true
		m.becomeWaiting(at.Sub(m.now), why)
		return
	}
	m.becomeLaunching(reason)
}

// startMax is how long a process that has never answered is starting, not
// dead (incident 64).
func (m *machine) startMax() time.Duration {
	return max(m.policy.StartMax, slowFactor*m.Slowest)
}

// verifyTime is how long a new process has to become healthy. An agent known
// to start slowly gets the time it needs; so does one of another version than
// that was learned on, or an upgrade that made it slow would be killed at every
// start (incident 64).
func (m *machine) verifyTime() time.Duration {
	if m.SlowestVersion != "" && m.Incident.Version != "" && m.Incident.Version != m.SlowestVersion {
		return m.startMax()
	}
	return max(m.policy.HealthyDeadline, slowFactor*m.Slowest)
}

// learnStart remembers the slowest start of this version.
func (m *machine) learnStart(r Round) {
	took := m.now.Sub(m.Life.FirstAt)
	if !m.Life.Ours {
		took = m.age(r)
	}
	if took > m.policy.StartMax {
		return // Nobody looked: one that was seen not to answer for so long is dead.
	}
	if r.Version != m.SlowestVersion {
		m.SlowestVersion, m.Slowest = r.Version, 0
	}
	m.Slowest = max(m.Slowest, took.Round(time.Second))
}

// NextLook is how long after a round that led to no deed the next one is due.
func NextLook(p Policy, s State, now time.Time) time.Duration {
	next := p.Period
	soonest := func(at time.Time) {
		if left := at.Sub(now); left > 0 {
			next = min(next, left)
		}
	}
	switch s.Phase {
	case deadman.Confirming, deadman.Verifying:
		next = min(next, p.Retry)
	case deadman.Up, deadman.Probation:
		// The end of probation, if that is what is waited for.
		if !s.Life.Proven && !s.Life.FullSince.IsZero() {
			soonest(s.Life.FullSince.Add(p.Probation))
		}
		if s.Incident.Open() && !s.Life.AliveSince.IsZero() {
			soonest(s.Life.AliveSince.Add(p.Probation))
		}
	}
	if !s.Deadline.IsZero() {
		soonest(s.Deadline)
	}
	if !s.Armed.IsZero() {
		soonest(s.Armed.Until)
	}
	return max(next, time.Millisecond)
}

// Resting reports whether a one-shot may end here: nothing is in hand that a
// deadline within the present rung would decide. A backoff gap is not waited for.
func Resting(s State) bool {
	if s.Pending.Deed() {
		return false
	}
	switch s.Phase {
	case deadman.PhaseUnset, deadman.Confirming, deadman.Stopping, deadman.Keeping,
		deadman.Restoring, deadman.Launching, deadman.Verifying:
		return false
	}
	return true
}
