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
	reason    deadman.Reason
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
	target, haveTarget := m.nextTarget(o.Shelf, live)
	restore := func(reason deadman.Reason) choice {
		return choice{restore: true, target: target, reason: reason, considered: considered}
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
	if !haveTarget {
		if len(inc.Tried) == 0 && failures < launchesPerConfig {
			return restart(deadman.NothingStored)
		}
		return choice{exhausted: true, reason: deadman.Exhausted, considered: considered}
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

// nextTarget is the best snapshot that has not failed: the known good first,
// then older proven ones, and last those that merely could not be put in place.
// Never nothing, never what is already there.
func (m *machine) nextTarget(shelf []Target, live Live) (Live, bool) {
	inc := m.Incident
	var unstaged Live
	for _, t := range shelf {
		tried := slices.Contains(inc.Tried, t.Identity)
		if t.Identity == live.Identity || t.Snapshot == "" || t.Valid == deadman.Unhealthy || slices.Contains(m.Barred, t.Identity) ||
			tried && inc.failures(t.Identity) > 0 || inc.failures(t.Identity) >= launchesPerConfig {
			continue
		}
		target := Live{Config: t.Config, Valid: t.Valid}
		if !tried {
			return target, true
		}
		if unstaged.IsZero() {
			unstaged = target
		}
	}
	return unstaged, !unstaged.IsZero()
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
