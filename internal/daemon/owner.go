package daemon

import (
	"deadman/internal/config"
	"deadman/internal/supervisor"
)

// newOwner is the program that owns the agent's process, nil where that is
// deadman itself or nobody.
func newOwner(s config.Supervisor) supervisor.Owner {
	switch {
	case s.Docker != nil:
		return &supervisor.Docker{Container: s.Docker.Container, Socket: s.Docker.Socket}
	case s.Runit != nil:
		return &supervisor.Runit{Service: s.Runit.Service}
	case s.Supervisord != nil:
		return &supervisor.Supervisord{Program: s.Supervisord.Program, Socket: s.Supervisord.Socket}
	case s.Tmux != nil:
		return &supervisor.Tmux{Session: s.Tmux.Session, Window: s.Tmux.Window, Argv: s.Tmux.Command, Socket: s.Tmux.Socket}
	}
	return nil
}

// tally writes down the restarts that were seen of an agent whose owner keeps no
// count, when there are more: the count must not begin anew in every check.
func (w *world) tally() {
	if was := w.memo.Known; was.Restarts != w.known.Restarts || was.Life != w.known.Life {
		w.saveMemo()
	}
}
