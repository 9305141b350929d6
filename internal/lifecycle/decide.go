package lifecycle

import (
	"slices"

	"deadman"
)

// choice is what Decide came to: restore target, start on what is there, or
// give up the ladder.
type choice struct {
	restore   bool
	exhausted bool
	target    Live
	// rung is where target is from.
	rung   Origin
	reason deadman.Reason
	// considered are the rules asked before, which did not hold.
	considered []deadman.Reason
}

// curedLimit: so many cured rollbacks away from one version make it bad.
const curedLimit = 3

// choose decides, in DESIGN's order (section 4, "Decide").
func (m *machine) choose(o Outcome, live Live, fix bool) choice {
	inc := m.Incident
	var considered []deadman.Reason
	// holds asks one rule, and remembers that it was asked.
	holds := func(reason deadman.Reason, cond bool) bool {
		if !cond {
			considered = append(considered, reason)
		}
		return cond
	}
	restart := func(reason deadman.Reason) choice {
		return choice{target: live, reason: reason, considered: considered}
	}
	next, haveTarget := m.nextTarget(o.Shelf, live)
	stored := haveTarget && next.Origin == FromStore
	// Of a target that is none of the store's, the rung is the reason.
	restore := func(reason deadman.Reason) choice {
		switch next.Origin {
		case FromCanonical:
			reason = deadman.Canonical
		case FromSafe:
			reason = deadman.SafeConfig
		}
		return choice{restore: true, target: next.live(), rung: next.Origin, reason: reason, considered: considered}
	}
	failures := inc.failures(live.Identity)
	loads := live.Valid != deadman.Unhealthy && !live.Unreadable
	isKnown := !m.Known.IsZero() && live.Identity == m.Known.Identity
	// ours: the switch itself put there what is live.
	ours := inc.RolledBack && live.Identity == inc.Target.Identity

	if holds(deadman.CannotKeep, !o.OK) {
		return restart(deadman.CannotKeep)
	}
	if inc.Exhausted {
		rest := m.lastResort(o.Shelf)
		// What lies there although it should not: a target of ours, because
		// nothing could be staged or it has had its turn, or what the agent has
		// broken once more.
		stray := slices.Contains(inc.Tried, live.Identity) || !loads && rest.Valid != deadman.Unhealthy || live.Identity == inc.Failed
		if rest.Snapshot != "" && live.Identity != rest.Identity && stray {
			return choice{exhausted: true, reason: deadman.Exhausted, considered: considered}
		}
		return restart(deadman.Exhausted)
	}
	if c, ok := m.personsChoice(live, restart); ok {
		c.considered = considered
		return c
	}
	if back, ok := m.beforeTrial(live, fix); ok {
		return choice{restore: true, target: back, reason: deadman.TrialFailed, considered: considered}
	}
	if armed, ok := m.armedChoice(live); ok {
		return choice{restore: true, target: armed, reason: deadman.DiedArmed, considered: considered}
	}
	if relapsed := inc.RolledBack && inc.Verified && live.Identity != inc.Target.Identity && !fix; holds(deadman.Relapse, relapsed) {
		return choice{restore: true, target: inc.Target, reason: deadman.Relapse, considered: considered}
	}
	repair, repairable := m.repair(o, live, fix)
	if holds(deadman.PermissionDiffers, repairable) {
		return choice{restore: true, target: repair, reason: deadman.PermissionDiffers, considered: considered}
	}
	if holds(deadman.LiveIsKnownGood, isKnown && !slices.Contains(inc.Tried, live.Identity) && failures < launchesPerConfig) {
		return restart(deadman.LiveIsKnownGood)
	}
	if holds(deadman.LiveInvalid, !loads && !live.Unreadable && haveTarget) {
		return restore(deadman.LiveInvalid)
	}
	// A start that failed while the cause held says nothing against the config:
	// it gets one without. A start limit goes with the first start, and what its
	// supervisor's starts had failed of may well be the config.
	out := hindering(o.Causes, false) || failures == 0 && slices.Contains(o.Causes, deadman.StartLimit)
	if holds(deadman.OutsideCause, out || inc.Chosen == deadman.OutsideCause && inc.Hindered && live.Identity == inc.Target.Identity) {
		return restart(deadman.OutsideCause)
	}
	if ours && !slices.Contains(inc.Tried, live.Identity) && failures < launchesPerConfig {
		return restart(inc.Chosen) // It has not failed; something else ended it.
	}
	if holds(deadman.VersionAndConfigChanged, m.versionToo(o.Version) && !isKnown && !ours && !m.policy.AcrossVersions) {
		return restart(deadman.VersionAndConfigChanged)
	}
	if holds(deadman.LiveIsBad, live.Bad && haveTarget) {
		return restore(deadman.LiveIsBad)
	}
	if holds(deadman.ChangedAfterDeath, fix && loads && failures == 0) {
		return restart(deadman.ChangedAfterDeath)
	}
	if holds(deadman.NothingStored, !stored && len(inc.Tried) == 0 && failures < launchesPerConfig) {
		return restart(deadman.NothingStored)
	}
	if !haveTarget {
		return choice{exhausted: true, reason: deadman.Exhausted, considered: considered}
	}
	if !stored {
		return restore(deadman.NextOlder)
	}
	if inc.Demoted && len(inc.Tried) == 0 && failures == 0 {
		return restore(deadman.KnownGoodDemoted)
	}
	if len(inc.Tried) > 0 || isKnown {
		return restore(deadman.NextOlder)
	}
	if holds(deadman.RollbackFirst, m.policy.First == FirstRollback) {
		return restore(deadman.RollbackFirst)
	}
	fresh := loads && failures == 0
	if holds(deadman.LiveFirst, m.policy.First == FirstRestart && failures == 0) {
		return restart(deadman.LiveFirst)
	}
	if holds(deadman.NeverReady, inc.Why == deadman.NotReady) {
		return restore(deadman.NeverReady)
	}
	if holds(deadman.NewBoot, inc.NewBoot && fresh) {
		return restart(deadman.NewBoot)
	}
	held := fresh && !live.Held && inc.HeldOn == live.Identity && inc.HeldFor >= m.policy.Probation
	if holds(deadman.LiveHeldUnderHealth, held) {
		return restart(deadman.LiveHeldUnderHealth)
	}
	if failures > 0 {
		return restore(deadman.LiveFailed)
	}
	return restore(deadman.LiveUnproven)
}

// personsChoice carries out what a person chose, as the first attempt of the
// incident that the word opened.
func (m *machine) personsChoice(live Live, restart func(deadman.Reason) choice) (choice, bool) {
	inc := m.Incident
	if inc.Person == "" || inc.Obeyed {
		return choice{}, false
	}
	reason := deadman.RestoredByPerson
	switch inc.Person {
	case StartNow:
		return restart(deadman.StartedByPerson), true
	case Rollback:
		reason = deadman.RolledBackByPerson
	case Apply:
		reason = deadman.AppliedByPerson
	case Arm:
		reason = deadman.ArmExpired
	}
	if live.Hash == inc.Chose.Hash {
		return restart(reason), true
	}
	return choice{restore: true, target: Live{Config: inc.Chose}, reason: reason}, true
}

// nextTarget is the best version that has not failed: the known good first, then
// older proven ones, what is in source control, the minimal config, and last those
// that merely could not be put in place. Never nothing, never what is already there.
func (m *machine) nextTarget(shelf []Target, live Live) (Target, bool) {
	var unstaged Target
	for _, t := range shelf {
		switch {
		case t.unfit() || m.spent(t, live):
		case !slices.Contains(m.Incident.Tried, t.Identity):
			return t, true
		case unstaged.Snapshot == "":
			unstaged = t
		}
	}
	return unstaged, unstaged.Snapshot != ""
}

func (t Target) live() Live { return Live{Config: t.Config, Valid: t.Valid} }

// unfit reports whether t is nothing to be put in place, whatever was tried.
func (t Target) unfit() bool { return t.Snapshot == "" || t.Valid == deadman.Unhealthy || t.Held }

// spent reports whether t has had its turn, or is there already.
func (m *machine) spent(t Target, live Live) bool {
	inc := m.Incident
	failures := inc.failures(t.Identity)
	other := t.Origin != FromStore && slices.ContainsFunc(inc.Rungs, func(r Rung) bool { return r.Origin == t.Origin && r.Identity != t.Identity })
	return t.Identity == live.Identity || slices.Contains(m.Barred, t.Identity) || other ||
		failures > 0 && slices.Contains(inc.Tried, t.Identity) || failures >= launchesPerConfig
}

// Spent reports whether, with what the store has, the decision on this outcome of a
// Keep would be that nothing is left to try, or a start on what cannot be loaded: so
// it is time to look elsewhere. Where causes are still being looked for it may say
// so in vain, never too late.
func Spent(p Policy, s State, o Outcome) bool {
	m := &machine{State: s.clone(), policy: p}
	if m.Incident.Exhausted || !o.OK {
		return false // What was found elsewhere is remembered.
	}
	m.judgeFailure(false)
	if _, ok := m.nextTarget(o.Shelf, o.Live); ok {
		return false
	}
	return o.Live.Bad || o.Live.Valid == deadman.Unhealthy || m.choose(o, o.Live, m.changedSinceStop(o.Live)).exhausted
}

// passBy records, once an incident, why a target that is none of the store's is not
// what was chosen. What is wrong with it is told; that it had failed, or is in
// place, is not worth a message.
func (m *machine) passBy(shelf []Target, live Live) {
	for _, t := range shelf {
		reason := deadman.CanonicalSkipped
		switch t.Origin {
		case FromStore:
			continue
		case FromSafe:
			reason = deadman.SafeSkipped
		}
		tried := slices.ContainsFunc(m.Incident.Rungs, func(r Rung) bool { return r.Origin == t.Origin })
		if tried || !t.unfit() && !m.spent(t, live) || slices.Contains(m.Incident.Told, reason) {
			continue
		}
		m.Incident.Told = append(m.Incident.Told, reason)
		kind, detail := Alert, t.Detail
		if !t.unfit() {
			kind, detail = Note, "it is in place, or has failed before"
		}
		m.actions = append(m.actions, Action{Kind: kind, Reason: reason, Cause: m.Incident.Cause, Snapshot: t.Snapshot, Detail: detail})
	}
}

// repair is the known good, if what is live are its bytes and only modes or
// owners differ: to put it back touches nothing else. What somebody has set after
// the death is left, and an agent that breaks them at each start is not followed
// for ever.
func (m *machine) repair(o Outcome, live Live, fix bool) (Live, bool) {
	inc := m.Incident
	if !o.OK || fix || inc.Unrepaired || m.Known.IsZero() || !slices.Contains(o.Causes, deadman.Permission) ||
		slices.Contains(inc.Tried, m.Known.Identity) || inc.failures(m.Known.Identity) >= launchesPerConfig {
		return Live{}, false
	}
	i := slices.IndexFunc(o.Shelf, func(t Target) bool { return t.Snapshot == m.Known.Snapshot && t.Identity != live.Identity })
	if i < 0 {
		return Live{}, false
	}
	return Live{Config: o.Shelf[i].Config, Valid: o.Shelf[i].Valid}, true
}

// versionToo reports whether this version of the agent is one that the known
// good was never started with. Where versions are not known it cannot tell: false.
func (m *machine) versionToo(version string) bool {
	return version != "" && len(m.Known.Versions) > 0 && !slices.Contains(m.Known.Versions, version)
}
