package lifecycle

import "deadman"

// hear takes a person's word.
func (m *machine) hear(w Word) {
	switch w.Verb {
	case Pause:
		stopped := m.Hold.Verb == StopNow || m.Hold.Stopped
		until := w.Until.UTC().Round(0)
		m.Hold = Hold{Verb: Pause, Until: until, Span: max(0, until.Sub(m.now)), Stopped: stopped}
		m.note(deadman.PausedByPerson)
		if !m.down() && m.now.Before(m.Hold.Until) {
			m.enter(deadman.Paused)
		}
	case Resume:
		m.note(deadman.ResumedByPerson)
		rival := m.Incident.Foreign >= foreignLimit
		m.Incident.Foreign = 0
		if m.Hold.Verb == Pause {
			m.release()
		} else {
			m.Hold = Hold{}
		}
		if rival {
			m.forget()
		}
		if m.Phase == deadman.StoodDown || m.Phase == deadman.Stopped && m.Hold.Verb == "" {
			m.enter(deadman.PhaseUnset)
		}
	case StopNow:
		m.Hold = Hold{Verb: StopNow}
		m.forget()
		m.becomeStopping(deadman.StoppedByPerson)
	case StartNow:
		if m.overdue() {
			m.revertArmed() // Not for a moment on what would go back at once.
		} else {
			m.open(w, deadman.StartedByPerson)
		}
		m.becomeKeeping()
	case Accept:
		if w.Config.Snapshot == "" {
			return
		}
		m.do(Action{Kind: DoPromote, Reason: deadman.AcceptedByPerson, Snapshot: w.Config.Snapshot})
	case Restore:
		if w.Config.Snapshot == "" {
			return
		}
		m.open(w, deadman.RestoredByPerson)
		m.becomeStopping(deadman.RestoredByPerson)
	case Rollback:
		if w.Config.Snapshot == "" {
			return
		}
		m.open(w, deadman.RolledBackByPerson)
		m.becomeStopping(deadman.RolledBackByPerson)
	case Apply:
		if w.Config.Snapshot == "" {
			return
		}
		m.apply(w)
	case Arm:
		if w.Config.Snapshot == "" {
			return
		}
		m.arm(w)
	case Confirm:
		m.disarm(deadman.ConfirmedByPerson)
	}
}

// open starts an incident by a person's word; what went before is over.
func (m *machine) open(w Word, why deadman.Reason) {
	m.Hold = Hold{}
	m.openIncident(why)
	m.Incident.Person, m.Incident.Chose = w.Verb, w.Config
}
