package proc

import (
	"cmp"
	"slices"

	"deadman"
)

// Table is one look at all living processes, a little smeared over time: it holds
// no zombies, and a process that was forked during the look may be missing.
type Table struct {
	stats map[int]Stat
	// Partial: there are, or may be, processes that we are not allowed to see.
	Partial bool
}

// Get returns the entry of a pid.
func (t Table) Get(pid int) (Stat, bool) {
	s, ok := t.stats[pid]
	return s, ok
}

// Has reports whether the table holds this very process.
func (t Table) Has(p deadman.Process) bool {
	s, ok := t.stats[p.PID]
	return ok && s.Process == p
}

// Where returns the processes for which keep holds, oldest first.
func (t Table) Where(keep func(Stat) bool) []Stat {
	var out []Stat
	for _, s := range t.stats {
		if keep(s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Stat) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	return out
}

// Descendants returns the children of pid, their children and so on, oldest
// first, without pid itself.
func (t Table) Descendants(pid int) []Stat {
	return t.Where(func(s Stat) bool { return s.PID != pid && t.under(s, pid) })
}

// under reports whether s is pid or descends from it. A table is read over time,
// so a loop in it is possible, if only just: the walk is bounded.
func (t Table) under(s Stat, pid int) bool {
	for range len(t.stats) {
		if s.PID == pid {
			return true
		}
		parent, ok := t.stats[s.Parent]
		if !ok {
			return false
		}
		s = parent
	}
	return false
}

// Roots returns those of some processes whose parent is not among them: of a
// master and its workers, the master.
func Roots(some []Stat) []Stat {
	return slices.DeleteFunc(slices.Clone(some), func(s Stat) bool {
		return slices.ContainsFunc(some, func(o Stat) bool { return o.PID == s.Parent })
	})
}

// Descendants returns the processes that descend from p. When p is gone its
// orphans can no longer be told, and the error is ErrGone.
func Descendants(p deadman.Process) ([]deadman.Process, error) {
	t, err := Scan()
	if err != nil {
		return nil, err
	}
	if !t.Has(p) {
		return nil, ErrGone
	}
	var out []deadman.Process
	for _, s := range t.Descendants(p.PID) {
		out = append(out, s.Process)
	}
	return out, nil
}
