package lifecycle

import (
	"slices"

	"deadman"
)

// Trial is the config that was applied last, and how that goes. It outlives the
// incident that it is part of, so that whoever has applied it can be told.
type Trial struct {
	// Incident is the one that the word opened.
	Incident string `json:"incident,omitempty"`
	// Config is what was applied, and Brings the names of those of its members
	// that it brought; the others are those that were live.
	Config Config   `json:"config,omitzero"`
	Brings []string `json:"brings,omitempty"`
	// Was is what was live before, and goes back if the trial fails.
	Was Live `json:"was,omitzero"`
	// Reload: the process that runs is told to read its config anew; there is no
	// start. Force: that it is held does not count.
	Reload bool `json:"reload,omitempty"`
	Force  bool `json:"force,omitempty"`
	// Served and Well are what the agent did before: served at all, with every
	// check healthy.
	Served bool `json:"served,omitempty"`
	Well   bool `json:"well,omitempty"`
	// Idle: it was stopped on purpose, and is left so; Hold is the word that said
	// so, if a word did.
	Idle bool `json:"idle,omitempty"`
	Hold Verb `json:"hold,omitempty"`
	// Failed is why it has to go back, and Outcome how the trial ended; unset
	// while it goes on.
	Failed  deadman.Reason `json:"failed,omitempty"`
	Outcome deadman.Reason `json:"outcome,omitempty"`
}

// OnTrial reports whether an applied config has yet to show that it is good.
func (s State) OnTrial() bool {
	return s.Incident.Open() && s.Trial.Incident == s.Incident.ID && s.Trial.Outcome == deadman.ReasonUnset
}

// apply begins a trial. A config that is only reloaded is put in place under the
// living process.
func (m *machine) apply(w Word) {
	hold, trial := m.Hold, Trial{
		Config: w.Config, Brings: w.Brings, Force: w.Force,
		Served: !m.Life.AliveSince.IsZero(), Well: m.Phase == deadman.Up, Idle: m.Phase == deadman.Stopped,
	}
	trial.Reload = w.Reload && trial.Served
	if trial.Idle && hold.Verb == StopNow {
		trial.Hold = StopNow
	}
	m.open(w, deadman.AppliedByPerson)
	trial.Incident = m.Incident.ID
	m.Trial = trial
	if trial.Reload {
		m.becomeKeeping()
		return
	}
	m.becomeStopping(deadman.AppliedByPerson)
}

// endTrial says how it came out.
func (m *machine) endTrial(outcome deadman.Reason) {
	if !m.OnTrial() {
		return
	}
	m.Trial.Outcome = outcome
	kind := Alert
	if outcome == deadman.TrialPassed || outcome == deadman.TrialEnded || outcome == deadman.AppliedIdle {
		kind = Note
	}
	m.actions = append(m.actions, Action{Kind: kind, Reason: outcome, Cause: m.Incident.Cause, Snapshot: m.Trial.Config.Snapshot})
}

// failTrial notes that what was applied has to go back. What fails before it is
// in place says nothing about it.
func (m *machine) failTrial(why deadman.Reason) {
	if m.OnTrial() && m.Incident.Obeyed && m.Trial.Failed == deadman.ReasonUnset {
		m.Trial.Failed = why
	}
}

// recompose takes what an applied config comes to on the config that was kept:
// somebody, or the agent while it ended, may have written since the word. It
// reports whether the word can still be obeyed.
func (m *machine) recompose(o Outcome) bool {
	inc := &m.Incident
	if !m.OnTrial() || inc.Obeyed || !o.OK {
		return true
	}
	if m.Trial.Was.IsZero() || inc.Kept.Identity != m.Trial.Config.Identity {
		m.Trial.Was = inc.Kept // Else it is in place already: the machine went down over it.
	}
	if o.Composed == nil {
		return true
	}
	composed := *o.Composed
	if composed.Valid == deadman.Unhealthy || composed.Bad && !m.Trial.Force {
		m.endTrial(deadman.TrialRefused)
		inc.Obeyed = true
		return false
	}
	inc.Chose, m.Trial.Config = composed.Config, composed.Config
	return true
}

// judgeTrial ends a trial that has failed. What was applied is held from here on,
// and not only when the incident is over: the next deploy may come before that.
// It reports whether a deed was ordered.
func (m *machine) judgeTrial(live Live, hindered, fix bool) bool {
	trial := m.Trial
	if !m.OnTrial() || trial.Failed == deadman.ReasonUnset || m.Phase != deadman.Keeping {
		return false
	}
	m.endTrial(deadman.TrialFailed)
	if !m.Incident.Cause.Outside() {
		m.Incident.Cause = deadman.ConfigChanged
	}
	// Where something outside held it up, or somebody has written since, this start
	// says nothing against it.
	applied := trial.Config.Identity
	if hindered || m.Incident.Hindered || applied == m.Known.Identity ||
		(fix || live.Identity != applied) && m.Incident.failures(applied) == 0 {
		return false
	}
	m.do(Action{Kind: DoMark, Reason: deadman.TrialFailed, Snapshot: trial.Config.Snapshot, Standing: deadman.Bad})
	return true
}

// beforeTrial is the version to which a trial that failed goes back: what was live
// before, if the agent served on it.
func (m *machine) beforeTrial(live Live, fix bool) (Live, bool) {
	inc := m.Incident
	// A person may have vouched for what is live since: then it is no trial's.
	if m.Trial.Incident != inc.ID || inc.Person != Apply || m.Trial.Outcome != deadman.TrialFailed || !m.Trial.Served || fix {
		return Live{}, false
	}
	back := m.Trial.Was
	ok := back.Snapshot != "" && back.Valid != deadman.Unhealthy && back.Identity != live.Identity && back.Identity != m.Trial.Config.Identity &&
		!slices.Contains(inc.Tried, back.Identity) && inc.failures(back.Identity) < launchesPerConfig
	return back, ok
}

// unwell ends a trial under which the agent serves less well than it did. It
// reports whether a deed was ordered.
func (m *machine) unwell(r Round) bool {
	if !m.OnTrial() || m.Phase != deadman.Probation {
		return false
	}
	_, out := outside(r.Causes)
	switch {
	case m.Incident.WasReady && r.Ready == deadman.Unhealthy && m.Life.Unready >= m.policy.Threshold && !out:
		m.die(deadman.NotReady)
	case m.Seen.Valid == deadman.Unhealthy && m.Seen.Identity == m.Trial.Config.Identity:
		m.die(deadman.LiveInvalid) // A validator that judges what is in place could not be asked before.
	case m.Trial.Well && r.Partial && m.now.Sub(m.Life.AliveSince) >= m.policy.Probation:
		m.die(deadman.SomeChecksUnhealthy)
	default:
		return false
	}
	return true
}

// proving: what was applied served for long enough, and will have proven itself in
// a moment.
func (m *machine) proving(r Round) bool {
	return m.OnTrial() && r.full() && !m.Life.FullSince.IsZero() && m.now.Sub(m.Life.FullSince) < m.policy.Probation
}

// unlaunched carries out what stands in the place of a start on trial: of an agent
// that was stopped on purpose none, of one that reloads a word to the process. It
// reports whether it did. A start on anything else ends the trial.
func (m *machine) unlaunched(target Live, reason deadman.Reason) bool {
	inc := &m.Incident
	if m.Trial.Incident != inc.ID || !inc.Open() {
		return false
	}
	applied := m.OnTrial() && target.Identity == m.Trial.Config.Identity
	if !m.Trial.Idle && !m.Trial.Reload {
		switch {
		case applied:
		case reason == deadman.CannotKeep || reason == deadman.CannotRestore:
			m.endTrial(deadman.TrialRefused)
		default:
			m.endTrial(deadman.TrialEnded)
		}
		return false
	}
	if m.Trial.Reload && applied {
		target.Changed = inc.Target.Changed
		inc.Target, inc.Chosen = target, reason
		m.enter(deadman.Launching)
		m.do(Action{Kind: DoReload, Reason: reason, Snapshot: target.Snapshot})
		return true
	}
	outcome := deadman.TrialRefused
	if applied {
		outcome = deadman.AppliedIdle
	}
	m.endTrial(outcome)
	idle, hold := m.Trial.Idle, m.Trial.Hold
	m.forget()
	if !idle {
		m.enter(deadman.PhaseUnset) // Nothing was replaced, and it runs as it did.
		return true
	}
	if hold == StopNow {
		m.Hold = Hold{Verb: StopNow}
	}
	m.enter(deadman.Stopped)
	return true
}

// reloaded takes the outcome of a Reload. From here on the process has to show
// anew that it is well; what it started on stays what it was.
func (m *machine) reloaded(o Outcome) {
	if !o.OK {
		m.fail(deadman.ReloadFailed)
		return
	}
	m.endUp(m.now)
	m.Dying = 0
	m.becomeVerifying()
}
