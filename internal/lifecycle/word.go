package lifecycle

import "deadman"

// hear takes a person's word.
func (m *machine) hear(w Word) {
	switch w.Verb {
	case Pause:
		m.Hold = Hold{Verb: Pause, Until: w.Until.UTC().Round(0)}
		m.note(deadman.PausedByPerson)
		if !m.down() && m.now.Before(m.Hold.Until) {
			m.enter(deadman.Paused)
		}
	case Resume:
		m.Hold = Hold{}
		m.Incident.Foreign = 0
		m.note(deadman.ResumedByPerson)
		if m.Phase == deadman.Paused || m.Phase == deadman.StoodDown || m.Phase == deadman.Stopped {
			m.Incident = Incident{}
			m.enter(deadman.PhaseUnset)
		}
	case StopNow:
		m.Hold = Hold{Verb: StopNow}
		m.Incident = Incident{}
		m.becomeStopping(deadman.StoppedByPerson)
	case StartNow:
		m.open(w, deadman.StartedByPerson)
		m.becomeKeeping()
	case Accept:
		m.do(Action{Kind: DoPromote, Reason: deadman.AcceptedByPerson, Snapshot: w.Config.Snapshot})
	case Restore:
		m.open(w, deadman.RestoredByPerson)
		m.becomeStopping(deadman.RestoredByPerson)
	case Rollback:
		m.open(w, deadman.RolledBackByPerson)
		m.becomeStopping(deadman.RolledBackByPerson)
	}
}

// open starts an incident by a person's word; what went before is over.
func (m *machine) open(w Word, why deadman.Reason) {
	half, target := m.Incident.Half, m.Incident.Target
	m.Hold = Hold{}
	m.openIncident(why)
	m.Incident.Person, m.Incident.Chose = w.Verb, w.Config
	if half {
		// A set that is only partly in place is finished first, whatever a
		// person wants next.
		m.Incident.Half, m.Incident.Target = true, target
	}
}
