package supervisor

import (
	"os"
	"slices"

	"deadman"
	"deadman/internal/proc"
)

// family gathers the processes of one agent, by the rules of the package comment.
// It remembers everybody it has seen: when a parent dies, its orphans are still
// known.
type family struct {
	// heads are processes known to be the agent's.
	heads []deadman.Process
	// mark is what the environment of all that we started holds, or "".
	mark string
	// cgroup is the control group of all that its supervisor started, or "".
	cgroup string
}

func newFamily(known Known, main ...deadman.Process) *family {
	f := &family{heads: slices.Concat(main, []deadman.Process{known.Process}, known.Members)}
	if known.Attempt != "" {
		f.mark = mark(known.Attempt)
	}
	return f
}

// look returns those of the family that live, oldest first.
//
// Deadman itself is never among them, even where the agent started it, nor is
// what descends from it, unless it is the agent's in its own right.
//
// Processes are read one after the other: one that goes on in a child and ends
// before it is read is missed, and so is the child. That a daemon does twice at
// most, so that nobody is left is believed at the third look.
func (f *family) look() (members []proc.Stat, err error) {
	for range 3 {
		if members, err = f.lookOnce(); err != nil || len(members) > 0 {
			break
		}
	}
	return members, err
}

func (f *family) lookOnce() ([]proc.Stat, error) {
	table, err := proc.Scan()
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	in := make(map[int]bool)
	for _, h := range f.heads {
		s, _ := table.Get(h.PID)
		if s.Process != h || h.IsZero() {
			continue
		}
		in[h.PID] = true
		// A leader's session and group are its own. A session that the agent merely
		// lives in may be a person's login.
		for _, o := range table.Where(func(o proc.Stat) bool {
			return o.Session == h.PID || o.Group == h.PID
		}) {
			in[o.PID] = true
		}
	}
	if f.mark != "" {
		for _, s := range table.Where(func(proc.Stat) bool { return true }) {
			if carries, _ := proc.Carries(s.PID, f.mark); carries {
				in[s.PID] = true
			}
		}
	}
	if f.cgroup != "" {
		for _, s := range table.Where(func(proc.Stat) bool { return true }) {
			if member, _ := proc.InCgroup(s.PID, f.cgroup); member {
				in[s.PID] = true
			}
		}
	}
	delete(in, self)
	// One generation a round.
	for added := true; added; {
		added = false
		for _, s := range table.Where(func(s proc.Stat) bool { return !in[s.PID] && in[s.Parent] && s.PID != self }) {
			in[s.PID], added = true, true
		}
	}
	members := table.Where(func(s proc.Stat) bool { return in[s.PID] })
	for _, s := range members {
		if !slices.Contains(f.heads, s.Process) {
			f.heads = append(f.heads, s.Process)
		}
	}
	return members, nil
}

// lookAt is look, and finds also who shares a listening socket of port with one of
// the family: a socket is inherited, or given away on purpose. So is an orphan told
// that a child of the agent left in a session and with an environment of its own.
func (f *family) lookAt(port int) ([]proc.Stat, error) {
	members, err := f.look()
	if err != nil || len(members) == 0 {
		return members, err
	}
	sockets, _ := listening(port)
	found := false
	for _, socket := range sockets {
		holders, _ := proc.Holders([]proc.Socket{socket})
		has := func(some []proc.Stat, p deadman.Process) bool {
			return slices.ContainsFunc(some, func(s proc.Stat) bool { return s.Process == p })
		}
		if !slices.ContainsFunc(holders, func(h proc.Stat) bool { return has(members, h.Process) }) {
			continue
		}
		for _, h := range holders {
			// Who is above the agent may have opened the socket for it: an init, or
			// a manager.
			if !has(members, h.Process) && h.PID != 1 && h.PID != os.Getpid() && !above(h, members) {
				f.heads, found = append(f.heads, h.Process), true
			}
		}
	}
	if !found {
		return members, nil
	}
	return f.look()
}

// above reports whether one of members descends from s.
func above(s proc.Stat, members []proc.Stat) bool {
	table, err := proc.Scan()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(table.Descendants(s.PID), func(d proc.Stat) bool {
		return slices.ContainsFunc(members, func(m proc.Stat) bool { return m.Process == d.Process })
	})
}

func processes(some []proc.Stat) []deadman.Process {
	var out []deadman.Process
	for _, s := range some {
		out = append(out, s.Process)
	}
	return out
}
