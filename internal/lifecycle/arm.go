package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// Armed is the version that goes back at Until, unless a person confirms what has
// taken its place.
type Armed struct {
	Config Config `json:"config"`
	// Span is the full length: no more than that is waited after a reboot.
	Until time.Time     `json:"until"`
	Span  time.Duration `json:"span"`
	// Process ran when it was armed.
	Process deadman.Process `json:"process,omitzero"`
}

// IsZero reports whether nothing is armed.
func (a Armed) IsZero() bool { return a == Armed{} }

func (m *machine) arm(w Word) {
	until := w.Until.UTC().Round(0)
	m.Armed = Armed{Config: w.Config, Until: until, Span: max(0, until.Sub(m.now)), Process: m.Life.Process}
	m.noteArm(deadman.ArmedByPerson)
}

// disarm forgets what was armed, and says why.
func (m *machine) disarm(why deadman.Reason) {
	if m.Armed.IsZero() {
		return
	}
	m.noteArm(why)
	m.Armed = Armed{}
}

// disarmOver forgets it once the switch itself has put something in place: that
// leaves nothing to confirm.
func (m *machine) disarmOver(done Action) {
	if m.Incident.Person == "" || done.Snapshot == m.Armed.Config.Snapshot {
		m.disarm(deadman.ArmOver)
	}
}

func (m *machine) noteArm(why deadman.Reason) {
	m.actions = append(m.actions, Action{Kind: Note, Reason: why, Snapshot: m.Armed.Config.Snapshot})
}

// overdue: nobody has confirmed in time.
func (m *machine) overdue() bool { return !m.Armed.IsZero() && !m.now.Before(m.Armed.Until) }

// unconfirmed puts the armed version back when nobody has confirmed in time. It
// reports whether a deed was ordered. It is not asked while the agent is down by
// our hand, nor while a person keeps our hands off; an agent that was stopped through
// its supervisor is left so.
func (m *machine) unconfirmed(r Round) bool {
	if !m.overdue() || r.Live.Unreadable && r.Problem == "" || r.Presence == deadman.Gone && r.Stopped {
		return false
	}
	armed := m.Armed
	// The same files, and what runs is not what was started on others meanwhile.
	restarted := !m.Life.Process.IsZero() && m.Life.Process != armed.Process && m.Life.On.Identity != armed.Config.Identity
	switch {
	case !r.Live.Unreadable && r.Live.Identity == armed.Config.Identity && !restarted:
		m.disarm(deadman.ArmUnchanged)
		return false
	case m.policy.Observe:
		m.actions = append(m.actions, Action{
			Kind: Alert, Reason: deadman.WouldAct, Snapshot: armed.Config.Snapshot, Would: deadman.ArmExpired,
		})
		m.Armed = Armed{}
		return false
	}
	m.revertArmed()
	m.becomeStopping(deadman.ArmExpired)
	return true
}

// revertArmed opens the incident in which the armed version goes back.
func (m *machine) revertArmed() {
	m.open(Word{Verb: Arm, Config: m.Armed.Config}, deadman.ArmExpired)
	m.actions = append(m.actions, Action{Kind: Alert, Reason: deadman.ArmExpired, Snapshot: m.Armed.Config.Snapshot})
	m.Armed = Armed{}
}

// armedChoice is what an agent that dies while armed goes back to: the change that
// is not confirmed is what is suspected first.
func (m *machine) armedChoice(live Live) (Live, bool) {
	inc, armed := m.Incident, m.Armed.Config
	if m.Armed.IsZero() || live.Identity == armed.Identity || slices.Contains(inc.Tried, armed.Identity) || inc.failures(armed.Identity) > 0 {
		return Live{}, false
	}
	return Live{Config: armed}, true
}
