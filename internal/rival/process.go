package rival

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"deadman/internal/proc"
)

// processes looks through what runs, for loops that act on agents. What runs once
// and ends is none: whoever starts it again is.
func (x *scan) processes() error {
	table, err := proc.Scan()
	if errors.Is(err, proc.ErrUnseen) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at processes: %w", err)
	}
	above := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !above[pid]; {
		above[pid] = true
		s, ok := table.Get(pid)
		if !ok {
			break
		}
		pid = s.Parent
	}
	for _, p := range table.Where(func(s proc.Stat) bool { return !above[s.PID] }) {
		argv, err := proc.Argv(p.PID)
		if err != nil || len(argv) == 0 || proc.Contained(p.PID) {
			continue
		}
		_, uid, err := proc.UIDs(p.PID)
		if err != nil {
			continue
		}
		s := x.scope(strconv.Itoa(uid))
		for _, u := range x.homes() {
			if u.uid == strconv.Itoa(uid) {
				s.user = u.name
			}
		}
		if dir, err := proc.Dir(p.PID); err == nil {
			s.dir = dir
		}
		for _, name := range []string{"HOME", "HERMES_HOME", "OPENCLAW_STATE_DIR"} {
			if v, err := proc.Variable(p.PID, name); err == nil && v != "" {
				s.vars[name] = []string{v}
				if name == "HOME" {
					s.home = v
				}
			}
		}
		if slices.ContainsFunc(x.agents, func(a *Agent) bool { return a.starts(argv, s.vars) }) {
			continue // the agent
		}
		v := x.judged(s, func(j *judge) { j.command(argv, s) })
		v.acts = slices.DeleteFunc(v.acts, func(a Act) bool { return !a.loop })
		pane, _ := proc.Variable(p.PID, "TMUX_PANE")
		x.found(v, Rival{Form: Process, Process: p.Process, Pane: pane})
	}
	return nil
}
