package powerloss

import (
	"fmt"
	"slices"
)

// Kind is what an operation does.
type Kind string

const (
	// OpNames changes names: create, mkdir, symlink, link, unlink, rmdir, rename.
	OpNames    Kind = "names"
	OpWrite    Kind = "write"
	OpTruncate Kind = "truncate" // also makes longer
	OpAttr     Kind = "attributes"
	OpXattr    Kind = "xattr"
	// OpSync is fsync or fdatasync of a file, or of a directory.
	OpSync Kind = "sync"
	// OpSyncAll is what no program does: for whoever is not under test.
	OpSyncAll Kind = "sync all"
)

// Name is that a directory has, or has no longer, a name for something.
type Name struct {
	Dir   Inode
	Name  string
	Inode Inode // 0: no longer
}

// Op is one operation, as what it wrote.
type Op struct {
	Kind Kind
	// Text is for a person: what it was, and to which path.
	Text string
	// Inode is what is changed or synced, or, with Born, made.
	Inode Inode
	Born  *Node
	Names []Name // all at once
	// Offset and Data are those of OpWrite; Data is the value of OpXattr, nil for
	// none.
	Offset int64
	Data   []byte
	Size   int64 // of OpTruncate
	Mode   uint32
	UID    uint32
	GID    uint32
	Xattr  string
	// Memory marks the bytes of what is a file only so that processes can share
	// them: SQLite makes its -shm anew. They go with the power.
	Memory bool
}

// syncs reports what must be synced before op is on the platter: one file, or
// every directory that it changes.
func (op *Op) needs() []Inode {
	if op.Kind != OpNames {
		return []Inode{op.Inode}
	}
	var dirs []Inode
	for _, n := range op.Names {
		if !slices.Contains(dirs, n.Dir) {
			dirs = append(dirs, n.Dir)
		}
	}
	return dirs
}

// History is what was on a disk, all of it durable, and what was done to it
// since.
type History struct {
	Begin *Disk
	Ops   []Op
}

// After is what processes saw after the first k operations.
func (h *History) After(k int) *Disk {
	d := h.Begin.Clone()
	for i := range h.Ops[:k] {
		d.Apply(&h.Ops[i])
	}
	return d
}

// platter is what is durable, and what is not yet.
type platter struct {
	h       *History
	durable *Disk
	done    []int // applied to durable, ascending
	pending []pending
}

type pending struct {
	op    int
	needs []Inode // still
}

// advance takes note of operation i.
func (p *platter) advance(i int) {
	op := &p.h.Ops[i]
	if op.Kind != OpSync && op.Kind != OpSyncAll {
		if op.Born != nil {
			p.durable.nodes[op.Inode] = op.Born // without a name nobody finds it
		}
		if op.Memory && op.Kind != OpNames {
			return
		}
		p.pending = append(p.pending, pending{i, op.needs()})
		return
	}
	var now []int
	rest := p.pending[:0]
	for _, q := range p.pending {
		if op.Kind == OpSyncAll {
			q.needs = nil
		} else if at := slices.Index(q.needs, op.Inode); at >= 0 {
			q.needs = slices.Delete(slices.Clone(q.needs), at, at+1)
		}
		if len(q.needs) == 0 {
			now = append(now, q.op)
		} else {
			rest = append(rest, q)
		}
	}
	p.pending = rest
	if len(now) == 0 {
		return
	}
	late := len(p.done) > 0 && now[0] < p.done[len(p.done)-1]
	p.done = append(p.done, now...)
	if !late {
		p.apply(p.durable, now)
		return
	}
	// Something older has become durable. Nearly always it concerns nothing that
	// was applied since, but to begin anew is simple and never wrong.
	slices.Sort(p.done)
	p.durable = p.h.Begin.Clone()
	for k := range i {
		if op := &p.h.Ops[k]; op.Born != nil {
			p.durable.nodes[op.Inode] = op.Born
		}
	}
	p.apply(p.durable, p.done)
}

func (p *platter) apply(d *Disk, ops []int) {
	for _, i := range ops {
		d.Apply(&p.h.Ops[i])
	}
}

// Loss is one disk that a loss of power could leave.
type Loss struct {
	Point int    // after so many operations
	What  string // became of those that were not synced
	Disk  *Disk
}

// Losses calls yield for the disks that a loss of power could leave, until that
// returns false. choose, if not nil, chooses among them: whether the point after
// k operations is one of those that count (with no op), and whether what may have
// become of one operation there is to be tried. Losses returns how many points
// there were.
//
// At each point, of what was not synced: nothing is there; all of it; the names
// without the bytes; the bytes without the names; one operation alone, the
// earlier ones lost; all but one; and one write torn, with and without the
// others: only its beginning, or its length with zeros in place of the data.
func (h *History) Losses(choose func(k int, op *Op) bool, yield func(Loss) bool) int {
	p := &platter{h: h, durable: h.Begin.Clone()}
	if choose == nil {
		choose = func(int, *Op) bool { return true }
	}
	n := 0
	for k := 0; ; k++ {
		if choose(k, nil) {
			n++
			if !p.losses(k, choose, yield) {
				return n
			}
		}
		if k == len(h.Ops) {
			return n
		}
		p.advance(k)
	}
}

// losses does so for the point that p is at.
func (p *platter) losses(k int, choose func(k int, op *Op) bool, yield func(Loss) bool) bool {
	if !yield(Loss{k, "all that was not synced is lost", p.durable.Clone()}) {
		return false
	}
	// loss has what put gives of each pending operation: it, a part of it, nothing.
	loss := func(what string, put func(i int, op *Op) *Op) bool {
		d := p.durable.Clone()
		for i, q := range p.pending {
			if op := put(i, &p.h.Ops[q.op]); op != nil {
				d.Apply(op)
			}
		}
		return yield(Loss{k, what, d})
	}
	// one has this in place of one operation, and the others or none of them.
	one := func(at int, this *Op, others bool) func(int, *Op) *Op {
		return func(i int, op *Op) *Op {
			switch {
			case i == at:
				return this
			case others:
				return op
			}
			return nil
		}
	}
	of := func(want func(op *Op) bool) func(int, *Op) *Op {
		return func(_ int, op *Op) *Op {
			if want(op) {
				return op
			}
			return nil
		}
	}
	if len(p.pending) == 0 {
		return true
	}
	if !loss("nothing is lost", of(func(*Op) bool { return true })) ||
		!loss("the names without the bytes", of(func(op *Op) bool { return op.Kind == OpNames })) ||
		!loss("the bytes without the names", of(func(op *Op) bool { return op.Kind != OpNames })) {
		return false
	}
	for at, q := range p.pending {
		it := &p.h.Ops[q.op]
		if !choose(k, it) {
			continue
		}
		if !loss("only: "+it.Text, one(at, it, false)) || !loss("all but: "+it.Text, one(at, nil, true)) {
			return false
		}
		var was []byte
		if n := p.durable.nodes[it.Inode]; n != nil {
			was = n.Data
		}
		for _, t := range tears(it, was) {
			what := fmt.Sprintf("%s of: %s", t.what, it.Text)
			if !loss("only "+what, one(at, &t.op, false)) || !loss("all, but only "+what, one(at, &t.op, true)) {
				return false
			}
		}
	}
	return true
}

type tear struct {
	what string
	op   Op
}

// sector is what a disk writes whole.
const sector = 512

// tears are what can be left of a write to a file that was so. Where a write does not
// arrive there is what was there, and zeros beyond the end of that.
func tears(op *Op, was []byte) []tear {
	if op.Kind != OpWrite || len(op.Data) == 0 {
		return nil
	}
	missing := make([]byte, len(op.Data))
	copy(missing, was[min(int(op.Offset), len(was)):])
	part := func(what string, n int, data []byte) tear {
		t := *op
		t.Data = data[:n]
		return tear{what, t}
	}
	list := []tear{part("the length", len(op.Data), missing)}
	if len(op.Data) > 1 {
		list = append(list, part("the first half", len(op.Data)/2, op.Data))
	}
	if len(op.Data) > 2*sector {
		list = append(list, part("the first sector", sector, op.Data))
		// All but the end, with a length as if it were there.
		holes := slices.Clone(op.Data)
		end := len(holes) - sector
		copy(holes[end:], missing[end:])
		list = append(list, part("all but the last sector", len(holes), holes))
	}
	return list
}
