package lifecycle

import (
	"time"

	"deadman"
)

// verify judges a round on the process that a start brought up.
func (m *machine) verify(r Round) {
	switch {
	case r.Presence == deadman.Gone && r.Alive != deadman.Healthy && !r.Activating:
		m.fail(deadman.DiedInVerify)
	case r.Presence == deadman.Running && r.Alive == deadman.Healthy:
		m.noteServing(r)
		if m.Life.Run < m.policy.Threshold {
			return
		}
		if m.Incident.WasReady && r.Ready != deadman.Healthy && r.Ready != deadman.ResultUnset {
			return // It has until the deadline to be ready as well.
		}
		m.becomeProbation(deadman.Verified)
	case r.Alive == deadman.Unhealthy:
		m.Life.Run = 0
	}
}

// fail: the start in hand did not verify.
func (m *machine) fail(reason deadman.Reason) {
	inc := &m.Incident
	m.note(reason)
	if m.Life.Answered && m.Seen.Identity != inc.Target.Identity && inc.RolledBack {
		// It came up on the target and then wrote another config: a relapse,
		// which says nothing against the target.
		inc.Verified = true
		m.becomeStopping(reason)
		return
	}
	m.count(inc.Target.Identity)
	if inc.RolledBack && !inc.Exhausted {
		inc.Tried = include(inc.Tried, inc.Target.Identity)
	}
	inc.Verified = false
	m.becomeStopping(reason)
}

// count one failed start on identity.
func (m *machine) count(identity string) {
	inc := &m.Incident
	for i := range inc.Failures {
		if inc.Failures[i].Identity == identity {
			inc.Failures[i].Count++
			return
		}
	}
	inc.Failures = append(inc.Failures, Failure{Identity: identity, Count: 1})
}

// appeared: a process is there although the agent is down by our hand.
func (m *machine) appeared(live Live) {
	if !m.Incident.NewBoot {
		m.foreign()
		if m.Phase == deadman.StoodDown {
			return
		}
	}
	live.Changed = time.Time{}
	m.Incident.Target, m.Incident.Due = live, false
	m.becomeVerifying()
}

// foreign counts a start that nobody explains.
func (m *machine) foreign() {
	m.Incident.Foreign++
	if m.Incident.Foreign >= foreignLimit {
		m.tell(deadman.RivalStarts)
		m.enter(deadman.StoodDown)
		return
	}
	m.tell(deadman.ForeignStart)
}

// close ends the incident: what was rolled back from is blamed, one version at
// a time, and then it is over.
func (m *machine) close() {
	inc := &m.Incident
	if inc.RolledBack && inc.Verified && !inc.Exhausted && len(inc.Blamed) > 0 {
		blamed := inc.Blamed[0]
		action := Action{Kind: DoMark, Snapshot: blamed.Snapshot, Standing: deadman.Suspect, Reason: deadman.Cured}
		switch {
		case blamed.Valid == deadman.Unhealthy || inc.failures(blamed.Identity) > 0:
			action.Standing = deadman.Bad
		case blamed.Cured+1 >= curedLimit:
			action.Standing, action.Reason = deadman.Bad, deadman.CuredThrice
		}
		m.do(action)
		return
	}
	m.note(deadman.ProbationPassed)
	m.Incident = Incident{}
	m.enter(deadman.Up)
}

// marked takes the outcome of a Mark: the demotion of a known good, or one
// blame of a closing incident.
func (m *machine) marked() {
	inc := &m.Incident
	if m.Phase == deadman.Keeping {
		m.becomeKeeping() // Decide again, without the demoted one.
		return
	}
	if len(inc.Blamed) > 0 {
		inc.Blamed = inc.Blamed[1:]
		if len(inc.Blamed) == 0 {
			inc.Blamed = nil
		}
	}
}

func include(list []string, item string) []string {
	return append(without(list, item), item)
}
