package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// verify judges a round on the process that a start brought up.
func (m *machine) verify(r Round) {
	late := !m.now.Before(m.Deadline)
	switch {
	case r.Presence == deadman.Gone && r.Stopped:
		m.left(r)
	case m.looping(), m.crashing(r):
		m.fail(deadman.DiedInVerify)
	case r.Presence == deadman.Gone && r.Alive == deadman.Healthy:
		m.unclear(late)
	case r.Presence == deadman.Gone && !r.Activating:
		if m.Life.Process.IsZero() && m.now.Sub(m.Since) < m.policy.GoneGrace {
			return // It has not been seen yet: a pid file may come late.
		}
		m.fail(deadman.DiedInVerify)
	case r.Alive == deadman.Healthy:
		m.noteServing(r)
		if m.Life.Run < m.policy.Threshold {
			return // Not even past the deadline: it is healthy now.
		}
		if m.Incident.WasReady && r.Ready != deadman.Healthy && r.Ready != deadman.ResultUnset {
			_, out := outside(r.Causes)
			switch {
			case late && m.OnTrial() && !out:
				m.fail(deadman.DeadlinePassed)
			case late:
				m.becomeProbation(deadman.VerifiedNotReady)
			}
			return // It has until the deadline to be ready as well.
		}
		m.becomeProbation(deadman.Verified)
	case r.Alive == deadman.Unhealthy:
		m.Dying = 1
		if late {
			m.fail(deadman.DeadlinePassed)
		}
	default:
		m.unclear(late)
	}
}

// unclear: it cannot be told whether the start was good. If that is so to the
// end, and no probe ever found it bad, then the start has not failed.
func (m *machine) unclear(late bool) {
	switch {
	case !late:
		m.Fog = min(m.Fog+1, unknownLimit-1) // The alert is fog's.
	case m.Dying > 0:
		m.fail(deadman.DeadlinePassed)
	default:
		m.fog()
	}
}

// fail: the start in hand did not verify.
func (m *machine) fail(reason deadman.Reason) {
	inc := &m.Incident
	m.note(reason)
	m.failTrial(reason)
	if m.Life.Answered && m.Seen.Identity != inc.Target.Identity && inc.RolledBack {
		// It came up on the target and then wrote another config: a relapse,
		// which says nothing against the target.
		inc.Verified = true
		m.becomeStopping(reason)
		return
	}
	inc.Failed, inc.Unjudged = inc.Target.Identity, true
	inc.Verified = false
	m.becomeStopping(reason)
}

// judgeFailure counts the start that failed last, unless an outside cause held
// when it was decided on, or holds now: then it says nothing against what was
// started on.
func (m *machine) judgeFailure(hindered bool) {
	inc := &m.Incident
	if !inc.Unjudged {
		return
	}
	inc.Unjudged = false
	if hindered || inc.Hindered {
		return
	}
	m.count(inc.Failed)
	if inc.RolledBack && !inc.Verified && !inc.Exhausted {
		inc.Tried = include(inc.Tried, inc.Failed)
	}
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
	if len(inc.Failures) > saidMax {
		inc.Failures = slices.Clone(inc.Failures[1:])
	}
}

// appeared: a process is there although the agent is down by our hand.
func (m *machine) appeared(live Live) {
	inc := &m.Incident
	if !inc.NewBoot {
		m.foreign()
		if m.Phase == deadman.StoodDown {
			return
		}
	}
	if inc.Half || inc.Person != "" && inc.Person != StartNow && !inc.Obeyed {
		// It runs on half a set, or on what a person wants replaced.
		m.becomeStopping(inc.Why)
		return
	}
	if !live.Unreadable && live.Identity != inc.Target.Identity {
		m.judgeFailure(false) // The next failure would take its place.
		live.Changed = time.Time{}
		if live.Hash == m.Seen.Hash {
			live.Snapshot = m.Seen.Snapshot
		}
		inc.Target, inc.RolledBack, inc.Verified = live, false, false
	}
	inc.Due = false
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
	// A rollback that left it as unready as it was has cured nothing.
	uncured := inc.Why == deadman.NotReady && slices.Contains(inc.Told, deadman.VerifiedNotReady)
	if inc.RolledBack && inc.Verified && !inc.Exhausted && !uncured && len(inc.Blamed) > 0 {
		blamed := inc.Blamed[0]
		action := Action{Kind: DoMark, Snapshot: blamed.Snapshot, Standing: deadman.Suspect, Reason: deadman.Cured}
		switch {
		case blamed.Bad || blamed.Valid == deadman.Unhealthy || inc.failures(blamed.Identity) > 0:
			action.Standing = deadman.Bad
		case blamed.Cured+1 >= curedLimit:
			action.Standing, action.Reason = deadman.Bad, deadman.CuredThrice
		}
		m.do(action)
		return
	}
	m.note(deadman.ProbationPassed)
	if inc.Target.Identity == m.Trial.Config.Identity {
		m.endTrial(deadman.TrialPassed)
	}
	m.forget()
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
