package lifecycle

import (
	"slices"

	"deadman"
)

// Evidence says how it is known what was on disk when a process started, or
// why it is not.
type Evidence string

const (
	// StartedByUs: we read the set back and then started the process.
	StartedByUs Evidence = "started-by-us"
	// CaptureBefore: a look before the start saw the same bytes with the same
	// change times, all of them before the start.
	CaptureBefore Evidence = "capture-before-start"
	// CTimeBefore: every change time is before the start.
	CTimeBefore Evidence = "ctime-before-start"
	// CTimeTick: as CTimeBefore, within the grain of the start time.
	CTimeTick Evidence = "ctime-within-tick"

	// ChangedSince: something changed after the start.
	ChangedSince Evidence = "changed-since-start"
	// ClockWasSet: change times and start times cannot be compared.
	ClockWasSet Evidence = "clock-was-set"
	// StartUnknown: the start time is not known.
	StartUnknown Evidence = "start-time-unknown"
	// NotReadable: the set could not be read when the process was first seen.
	NotReadable Evidence = "config-not-readable"
)

// Proves reports whether e is knowledge of what was on disk.
func (e Evidence) Proves() bool {
	switch e {
	case StartedByUs, CaptureBefore, CTimeBefore, CTimeTick:
		return true
	}
	return false
}

// onDiskAtStart judges what was on disk when the process of r, seen for the
// first time, had started. before is the live config as it was last seen.
//
// An observation of other bytes on the same process refutes any later claim;
// that holds because the question is asked once a process, at first sight.
func onDiskAtStart(before Seen, r Round) Evidence {
	switch {
	case r.Live.Unreadable:
		return NotReadable
	case r.ClockSet:
		return ClockWasSet
	case r.StartedAt.IsZero() || r.Live.Changed.IsZero():
		return StartUnknown
	}
	// A look before the start that saw the very same inodes, unwritten since,
	// makes it irrelevant that a directory has changed: some other name in it
	// has. Without such a look the directory may have been given another file
	// under the member's name, and its ctime counts too.
	// A process that could not be seen then may have been there already.
	looked := r.Previous.IsZero() || !r.Previous.After(r.StartedAt)
	sameInodes := looked && before.Hash == r.Live.Hash && before.Inodes == r.Live.Inodes && before.Written.Equal(r.Live.Written)
	changed := r.Live.Changed
	if sameInodes {
		changed = r.Live.Written
	}
	switch late := changed.Sub(r.StartedAt); {
	case late >= tick:
		return ChangedSince
	case late > -tick:
		return CTimeTick
	case sameInodes:
		return CaptureBefore
	}
	return CTimeBefore
}

// prove promotes what this life started on, if all conditions of the rule of
// proof hold. It reports whether a deed was ordered.
func (m *machine) prove(r Round) bool {
	life := &m.Life
	if life.Proven || life.FullSince.IsZero() || m.now.Sub(life.FullSince) < m.policy.Probation {
		return false
	}
	on := life.On
	// Whoever forced it in has overridden the guards.
	held := on.Held && !(m.OnTrial() && m.Trial.Force && on.Identity == m.Trial.Config.Identity)
	if !life.Evidence.Proves() || on.Snapshot == "" || on.Valid != deadman.Healthy || held {
		return false
	}
	if on.Identity == m.Seen.Identity && !m.Seen.Settled {
		return false
	}
	if on.Identity == m.Known.Identity && !m.Known.Provisional {
		if r.Version == "" || slices.Contains(m.Known.Versions, r.Version) {
			life.Proven = true
			m.Barred = without(m.Barred, on.Identity)
			return false
		}
		m.do(Action{Kind: DoPromote, Reason: deadman.VersionProven, Snapshot: m.Known.Snapshot, Evidence: life.Evidence})
		return true
	}
	m.do(Action{Kind: DoPromote, Reason: deadman.StartProven, Snapshot: on.Snapshot, Evidence: life.Evidence})
	return true
}

// standIn makes the live config the provisional known good while nothing is
// proven. It reports whether a deed was ordered.
func (m *machine) standIn() bool {
	seen := m.Seen
	if seen.Snapshot == "" || seen.Valid == deadman.Unhealthy || seen.Held || seen.Bad || !m.Known.IsZero() && !m.Known.Provisional ||
		seen.Identity == m.Known.Identity {
		return false
	}
	if m.Known.IsZero() {
		m.do(Action{Kind: DoPromote, Reason: deadman.FirstCapture, Snapshot: seen.Snapshot, Provisional: true})
		return true
	}
	if seen.HealthySince.IsZero() || seen.HeldFor+m.now.Sub(seen.HealthySince) <= m.Known.Held {
		return false
	}
	m.do(Action{Kind: DoPromote, Reason: deadman.LongestHeld, Snapshot: seen.Snapshot, Provisional: true})
	return true
}

// promoted takes the outcome of a Promote.
func (m *machine) promoted(done Action, o Outcome) {
	if !o.OK {
		return // The same round's conditions hold at the next one, which tries again.
	}
	switch {
	case done.Reason == deadman.VersionProven:
		if o.Version != "" {
			m.Known.Versions = include(m.Known.Versions, o.Version)
		}
		m.Life.Proven = true
		m.Barred = without(m.Barred, m.Known.Identity)
		return
	case done.Provisional:
		m.Known = Known{Config: m.Seen.Config, Provisional: true, At: m.now}
		return
	case done.Reason == deadman.AcceptedByPerson:
		m.Known = Known{Config: o.Live.Config, At: m.now}
		// An older start may not take that back; the next one speaks again.
		m.Life.Proven = true
	default:
		m.Known = Known{Config: m.Life.On.Config, At: m.now}
		m.Life.Proven = true
		if m.Life.On.Snapshot != done.Snapshot {
			// A reboot over the deed took the life that had proven it.
			m.Known.Config, m.Life.Proven = o.Live.Config, false
		}
	}
	m.Known.Versions = slices.Clone(o.Versions)
	if o.Version != "" {
		m.Known.Versions = include(m.Known.Versions, o.Version)
	}
	m.Barred = without(m.Barred, m.Known.Identity)
	if done.Reason == deadman.AcceptedByPerson {
		m.Seen.Held = m.Seen.Held && m.Seen.Identity != m.Known.Identity
		m.Seen.Bad = m.Seen.Bad && m.Seen.Identity != m.Known.Identity
		if (m.Phase == deadman.Waiting || m.Phase == deadman.Failed) && !m.Incident.Half {
			m.startAfresh()
		}
	}
}

// without returns list less every item, nil when nothing is left, so that a
// State equals itself after a trip through JSON.
func without(list []string, item string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == item })
	if len(list) == 0 {
		return nil
	}
	return list
}
