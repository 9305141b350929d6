package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"deadman"
	"deadman/internal/atomicfile"
)

// Retention is how much of the past is kept.
type Retention struct {
	Newest int // candidates and proven snapshots, after thinning
	Proven int // proven snapshots, the known good among them, whatever their age
}

// DefaultRetention holds for an agent that sets none.
var DefaultRetention = Retention{Newest: 20, Proven: 3}

const (
	// maxBlamed bounds the suspects, and apart from them the bad ones: enough to
	// recognise what came back and to show what happened, and no more, because
	// a broken writer makes a new one with every restart.
	maxBlamed = 10
	// thinning: of the candidates made within one such stretch of the clock only
	// the last is kept. The stretches are fixed, so that thinning twice is
	// thinning once.
	thinning = 10 * time.Minute
)

// Reason is why retention keeps or removes a snapshot.
type Reason string

// The closed list of reasons; of those that hold the first is given.
const (
	KeptKnownGood Reason = "known-good"
	KeptPinned    Reason = "pinned"
	KeptNeeded    Reason = "needed" // an open incident or the running process refers to it
	KeptProven    Reason = "proven"
	KeptLatest    Reason = "latest"   // the newest candidate
	KeptPrevious  Reason = "previous" // the candidate before the last change
	KeptNewest    Reason = "newest"
	KeptSuspect   Reason = "suspect"
	KeptBad       Reason = "bad"

	RemovedThinned   Reason = "thinned"   // another candidate of the same ten minutes is kept
	RemovedDuplicate Reason = "duplicate" // a newer suspect or bad one has the same identity
	RemovedSuspect   Reason = "too-many-suspects"
	RemovedBad       Reason = "too-many-bad"
	RemovedOld       Reason = "old"
)

// Verdict is what retention says of one snapshot, and why.
type Verdict struct {
	ID     string `json:"id"`
	Keep   bool   `json:"keep"`
	Reason Reason `json:"reason"`
}

// Plan decides which snapshots to keep, newest first; it removes nothing.
// Every manifest gets one verdict. Age is when the bytes were last saved (Seen).
//
// Always kept are the known good, the pinned, the needed, and the newest proven
// ones up to policy.Proven. Suspects, and likewise bad ones, are kept once per
// identity and up to ten. Of the rest, candidates are thinned to the last of
// every ten minutes, sparing the latest two, and then the newest policy.Newest
// are kept, counting what was always kept and is neither suspect nor bad.
//
// Plan of what a plan keeps removes nothing.
func Plan(manifests []Manifest, knownGood string, policy Retention, needed []string) []Verdict {
	sorted := slices.SortedFunc(slices.Values(manifests), func(a, b Manifest) int {
		return cmp.Or(b.onDisk().Compare(a.onDisk()), b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	reasons := always(sorted, knownGood, policy, needed)

	var (
		blamed     = map[deadman.Standing]int{}
		identities = map[deadman.Standing]map[string]bool{deadman.Suspect: {}, deadman.Bad: {}}
		stretches  = map[time.Time]bool{}
		candidates int
		newest     int
		plan       = make([]Verdict, 0, len(sorted))
	)
	keep := func(m Manifest, r Reason) { plan = append(plan, Verdict{m.ID, true, r}) }
	remove := func(m Manifest, r Reason) { plan = append(plan, Verdict{m.ID, false, r}) }
	for _, m := range sorted {
		forced := reasons[m.ID]
		if seen := identities[m.Standing]; seen != nil {
			kept, over := KeptSuspect, RemovedSuspect
			if m.Standing == deadman.Bad {
				kept, over = KeptBad, RemovedBad
			}
			duplicate := seen[m.Identity]
			seen[m.Identity] = true
			switch {
			case forced != "":
				keep(m, forced)
			case duplicate:
				remove(m, RemovedDuplicate)
				continue
			case blamed[m.Standing] >= maxBlamed:
				remove(m, over)
				continue
			default:
				keep(m, kept)
			}
			blamed[m.Standing]++
			continue
		}
		if m.Standing != deadman.Proven {
			stretch := m.onDisk().Truncate(thinning)
			crowded := stretches[stretch]
			stretches[stretch] = true
			candidates++
			switch {
			case forced != "":
			case candidates == 1:
				forced = KeptLatest
			case candidates == 2:
				forced = KeptPrevious
			case crowded:
				remove(m, RemovedThinned)
				continue
			}
		}
		switch {
		case forced != "":
			keep(m, forced)
		case newest < policy.Newest:
			keep(m, KeptNewest)
		default:
			remove(m, RemovedOld)
			continue
		}
		newest++
	}
	return plan
}

// always returns the reasons of those that no limit touches.
func always(sorted []Manifest, knownGood string, policy Retention, needed []string) map[string]Reason {
	reasons := map[string]Reason{}
	proven := 0
	for _, m := range sorted {
		if m.ID == knownGood && m.Standing == deadman.Proven {
			proven++ // it is one of them, however old
		}
	}
	for _, m := range sorted {
		switch {
		case m.ID == knownGood:
			reasons[m.ID] = KeptKnownGood
		case m.Pinned:
			reasons[m.ID] = KeptPinned
		case slices.Contains(needed, m.ID):
			reasons[m.ID] = KeptNeeded
		case m.Standing == deadman.Proven && proven < policy.Proven:
			proven++
			reasons[m.ID] = KeptProven
		}
	}
	return reasons
}

// Retain returns the plan for what is stored now; it removes nothing. Without
// a readable link nobody knows what must not be removed, so an unreadable one
// is an error; snapshots whose manifest is broken are in no plan.
func (s *Store) Retain(policy Retention, needed []string) ([]Verdict, error) {
	known, err := s.knownGoodID()
	if err != nil {
		return nil, err
	}
	list, _ := s.List() // the broken ones stay, and the callers of List report them
	return Plan(list, known, policy, needed), nil
}

// Remove carries out a plan. A snapshot that has become the known good, or was
// pinned, since the plan was made stays. Each goes by one rename before its
// files do, so that a crash leaves none in halves; doing it again is harmless.
func (s *Store) Remove(plan []Verdict) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, err := s.knownGoodID()
	if err != nil {
		return err
	}
	moved := false
	for _, v := range plan {
		if v.Keep || v.ID == known || !validID(v.ID) || !s.exists(v.ID) {
			continue
		}
		if m, err := s.manifest(v.ID); err == nil && m.Pinned {
			continue
		}
		if err := s.root.Rename(dirOf(v.ID), snapshots+"/"+unfinished+v.ID); err != nil {
			return fmt.Errorf("cannot remove snapshot %s of %s: %w", v.ID, s.agent, err)
		}
		moved = true
	}
	if moved {
		err = atomicfile.SyncDir(s.root, snapshots)
	}
	return errors.Join(err, s.sweep())
}
