package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// Step is the whole machine: what state an event leads to, and what is to be
// done. It reads nothing else and changes nothing; see the package comment for
// what the driver owes it.
func Step(p Policy, s State, now time.Time, ev Event) (State, []Action) {
	m := &machine{State: s.clone(), policy: p, now: now.UTC().Round(0)}
	// After a reboot, or with a clock set back, no deadline waits longer than
	// its full length.
	if !m.Deadline.IsZero() && m.Deadline.Sub(m.now) > m.Span {
		m.Deadline = m.now.Add(m.Span)
	}
	if m.Hold.Verb == Pause && m.Hold.Until.Sub(m.now) > m.Hold.Span {
		m.Hold.Until = m.now.Add(m.Hold.Span)
	}
	if m.Armed.Until.Sub(m.now) > m.Armed.Span {
		m.Armed.Until = m.now.Add(m.Armed.Span)
	}
	if !m.Pending.Deed() {
		m.endPause()
	}
	switch {
	case ev.Outcome != nil:
		m.finish(*ev.Outcome)
	case m.Pending.Deed():
		// One deed at a time: nothing else is heard until its outcome is.
		return s, nil
	case ev.Found != nil:
		if m.Known.IsZero() {
			m.Known = *ev.Found
		}
	case ev.Word != nil:
		m.hear(*ev.Word)
	case ev.Round != nil:
		m.look(*ev.Round)
	}
	if !m.Pending.Deed() {
		m.expire()
	}
	return m.State, m.actions
}

// machine is one Step in progress.
type machine struct {
	State
	policy  Policy
	now     time.Time
	actions []Action
	// considered are the rules that choose asked before the one that decided.
	considered []deadman.Reason
}

// clone copies what a Step may change in place.
func (s State) clone() State {
	s.Barred = slices.Clone(s.Barred)
	s.ReadyEnded = slices.Clone(s.ReadyEnded)
	s.Starts = slices.Clone(s.Starts)
	s.Loop.At = slices.Clone(s.Loop.At)
	s.Said = slices.Clone(s.Said)
	s.Bounces = slices.Clone(s.Bounces)
	s.Known.Versions = slices.Clone(s.Known.Versions)
	s.Incident.Tried = slices.Clone(s.Incident.Tried)
	s.Incident.Failures = slices.Clone(s.Incident.Failures)
	s.Incident.Blamed = slices.Clone(s.Incident.Blamed)
	s.Incident.Told = slices.Clone(s.Incident.Told)
	s.Incident.Rungs = slices.Clone(s.Incident.Rungs)
	return s
}

// do orders a deed.
func (m *machine) do(a Action) {
	m.Attempts++
	a.Attempt = m.Attempts
	a.Cause = m.Incident.Cause
	a.Considered = m.considered
	m.Pending = a
	m.actions = append(m.actions, a)
}

// tell alerts once an incident.
func (m *machine) tell(reason deadman.Reason) {
	if slices.Contains(m.Incident.Told, reason) {
		return
	}
	m.Incident.Told = append(m.Incident.Told, reason)
	m.actions = append(m.actions, Action{Kind: Alert, Reason: reason, Cause: m.Incident.Cause, Snapshot: m.Incident.Target.Snapshot})
}

// note records how something came out.
func (m *machine) note(reason deadman.Reason) {
	m.actions = append(m.actions, Action{Kind: Note, Reason: reason, Cause: m.Incident.Cause, Snapshot: m.Incident.Target.Snapshot})
}

// saidMax bounds the memory of findings.
const saidMax = 32

// say alerts once for each subject, outside an incident. It reports whether it
// did.
func (m *machine) say(reason deadman.Reason, subject string) bool {
	return m.sayOf(deadman.CauseUnset, reason, subject)
}

func (m *machine) sayOf(cause deadman.Cause, reason deadman.Reason, subject string) bool {
	key := reason.String() + " " + subject
	if slices.Contains(m.Said, key) {
		return false
	}
	m.Said = append(m.Said, key)
	if len(m.Said) > saidMax {
		m.Said = slices.Clone(m.Said[len(m.Said)-saidMax:])
	}
	m.actions = append(m.actions, Action{Kind: Alert, Reason: reason, Cause: cause, Snapshot: m.Seen.Snapshot})
	return true
}

// enter is the only place where the phase changes. A deadline belongs to a
// phase, so it ends with it.
func (m *machine) enter(phase deadman.Phase) {
	if phase == m.Phase {
		return
	}
	m.Phase, m.Since = phase, m.now
	m.Deadline, m.Span = time.Time{}, 0
}

// expect gives the present phase its deadline.
func (m *machine) expect(span time.Duration) {
	m.Deadline, m.Span = m.now.Add(span), span
}

// expire acts on what has run out. The deadlines of Confirming and Verifying
// are not among it: those are judged by a round, for a gap in the schedule says
// nothing about the agent.
func (m *machine) expire() {
	if m.Deadline.IsZero() || m.now.Before(m.Deadline) {
		return
	}
	switch m.Phase {
	case deadman.Waiting, deadman.Failed:
		if m.Phase == deadman.Failed && m.Hold.Verb == Pause {
			m.enter(deadman.Paused)
			return
		}
		// Whatever happened meanwhile: nothing may run, and all is looked at
		// anew before the attempt.
		m.becomeStopping(m.Incident.Why)
	}
}

// endPause ends a pause that has run out.
func (m *machine) endPause() {
	if m.Hold.Verb == Pause && !m.now.Before(m.Hold.Until) {
		m.release()
		m.note(deadman.PauseEnded)
	}
}

// release ends a pause. What a pause does not end is a stop on purpose, and
// the standing down before a rival.
func (m *machine) release() {
	stopped := m.Hold.Stopped
	m.Hold = Hold{}
	if stopped {
		m.Hold.Verb = StopNow
	}
	if m.Phase != deadman.Paused {
		return
	}
	switch {
	case stopped:
		m.enter(deadman.Stopped)
	case m.Incident.Foreign >= foreignLimit:
		m.enter(deadman.StoodDown)
	default:
		m.enter(deadman.PhaseUnset)
	}
}

// The transitions of an incident, in the order in which they follow each other.

func (m *machine) becomeStopping(reason deadman.Reason) {
	if m.OnTrial() {
		m.Trial.Reload = false // From here on it takes a start.
	}
	m.enter(deadman.Stopping)
	m.endUp(m.now)
	m.Dying, m.Fog, m.Loop = 0, 0, Loop{}
	m.do(Action{Kind: DoStop, Reason: reason})
}

func (m *machine) becomeKeeping() {
	m.enter(deadman.Keeping)
	m.do(Action{Kind: DoKeep, Reason: m.Incident.Why})
}

func (m *machine) becomeRestoring(target Live, reason deadman.Reason) {
	m.enter(deadman.Restoring)
	m.Incident.Target, m.Incident.Chosen = target, reason
	m.do(Action{Kind: DoRestore, Reason: reason, Snapshot: target.Snapshot})
}

// becomeWaiting sets a time before which nothing is started.
func (m *machine) becomeWaiting(gap time.Duration, why deadman.Reason) {
	phase := deadman.Waiting
	if m.Incident.Exhausted {
		phase = deadman.Failed
	}
	m.enter(phase)
	m.Since = m.now
	m.expect(gap)
	if why == deadman.StartWindowFull {
		m.tell(why)
	}
}

func (m *machine) becomeLaunching(reason deadman.Reason) {
	m.enter(deadman.Launching)
	m.Incident.Due = false
	m.Starts = append(m.Starts, m.now)
	m.do(Action{Kind: DoStart, Reason: reason, Snapshot: m.Incident.Target.Snapshot})
}

func (m *machine) becomeVerifying() {
	m.enter(deadman.Verifying)
	m.expect(m.verifyTime())
}

func (m *machine) becomeProbation(outcome deadman.Reason) {
	m.enter(deadman.Probation)
	m.Incident.Verified, m.Incident.Replaced = true, false
	m.Incident.NewBoot = false
	if outcome == deadman.VerifiedNotReady {
		m.tell(outcome)
	} else {
		m.note(outcome)
	}
}

// finish takes the outcome of the deed in hand.
func (m *machine) finish(o Outcome) {
	done := m.Pending
	if !done.Deed() || o.Kind != done.Kind || o.Attempt != done.Attempt {
		return // An answer to something else; the deed in hand stays in hand.
	}
	m.Pending = Action{}
	if done.Kind == DoStart && !o.Changed {
		// From now on it may have been the agent that wrote.
		m.Incident.Stopped, m.Incident.Kept = time.Time{}, Live{}
	}
	if m.noteBoot(o.Boot, time.Time{}) && m.down() {
		// The machine went down over it, and an init may have started the agent
		// since: it is looked at first.
		if done.Kind == DoRestore {
			m.Incident.Half = o.Partly || m.Incident.Half && !o.OK
			if o.OK {
				m.disarmOver(done)
			}
		}
		m.enter(deadman.PhaseUnset)
		return
	}
	switch done.Kind {
	case DoCapture:
		m.captured(o)
	case DoPromote:
		m.promoted(done, o)
	case DoMark:
		m.marked()
	case DoStop:
		m.stopped(done, o)
	case DoKeep:
		m.kept(o)
	case DoRestore:
		m.restored(done, o)
	case DoStart:
		m.started(o)
	case DoReload:
		m.reloaded(o)
	}
}

// captured takes the outcome of a Capture. One that failed is tried again at
// the next round.
func (m *machine) captured(o Outcome) {
	if !o.OK {
		return
	}
	if o.Live.Hash != m.Seen.Hash {
		return // It changed under our hands; the next round sees that.
	}
	if m.Known.Hash == m.Seen.Hash && m.Known.Snapshot != o.Snapshot {
		m.unknow() // Its bytes, but it is gone with its proofs.
	}
	m.Seen.Snapshot = o.Snapshot
	if m.Life.On.Hash == m.Seen.Hash {
		m.Life.On.Snapshot = o.Snapshot
	}
}
