package daemon

import (
	"fmt"
	"os"
	"path/filepath"

	"deadman/internal/config"
	"deadman/internal/supervisor"
)

// newOwner is the program that owns the agent's process, nil where that is
// deadman itself or nobody. dir is the agent's in the state directory.
func newOwner(s config.Supervisor, dir string) supervisor.Owner {
	switch {
	case s.Docker != nil:
		return &supervisor.Docker{Container: s.Docker.Container, Socket: s.Docker.Socket}
	case s.Launchd != nil:
		return &supervisor.Launchd{Label: s.Launchd.Label, Domain: launchdDomain(s.Launchd.Domain), Record: filepath.Join(dir, "plist")}
	case s.Runit != nil:
		return &supervisor.Runit{Service: s.Runit.Service}
	case s.Supervisord != nil:
		return &supervisor.Supervisord{Program: s.Supervisord.Program, Socket: s.Supervisord.Socket}
	case s.Tmux != nil:
		return &supervisor.Tmux{Session: s.Tmux.Session, Window: s.Tmux.Window, Argv: s.Tmux.Command, Socket: s.Tmux.Socket}
	}
	return nil
}

// launchdDomain is the domain of launchd that is meant when none is given.
func launchdDomain(domain string) string {
	switch {
	case domain != "":
		return domain
	case os.Geteuid() == 0:
		return "system"
	}
	return fmt.Sprintf("gui/%d", os.Geteuid())
}

// tally writes down the restarts that were seen of an agent whose owner keeps no
// count, when there are more: the count must not begin anew in every check.
func (w *world) tally() {
	if was := w.memo.Known; was.Restarts != w.known.Restarts || was.Life != w.known.Life {
		w.saveMemo()
	}
}
