package powerloss_test

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	. "deadman/internal/simtest/powerloss"
)

// floor is what was so at a moment, and may not be less in any loss after it.
type floor struct {
	at int
	facts
}

// judge knows what a run of a world has promised, and when.
type judge struct {
	w       *world
	history History
	ex      *examiner
	// floors are at the marks and wherever the log grew: what is recorded as done
	// is done.
	floors []floor
	// known and live are every value that processes saw, and from when on.
	known, live []value
	planned     string // the plan that was seen last, "" for none
	machine     *Disk  // that of a machine with rivals, as it was
	// removed are snapshots that were taken away on purpose, and from when on.
	removed map[string]int
}

type value struct {
	at int
	is string
}

func newJudge(w *world) *judge {
	j := &judge{w: w, history: w.fs.History(), ex: &examiner{w: w}, removed: map[string]int{}}
	d := j.history.Begin.Clone()
	ops := j.history.Ops
	marks := w.marks
	note := func(at int) {
		f := j.ex.examine(d)
		for _, wrong := range f.wrong {
			if !f.corrupt {
				w.t.Fatalf("without a loss, after %d operations: %s", at, wrong)
			}
		}
		if n := len(j.floors); n > 0 {
			for id := range j.floors[n-1].stored {
				if _, there := f.stored[id]; !there {
					j.removed[id] = j.floors[n-1].at
				}
			}
		}
		if f.plan { // It is still to be finished.
			if done := j.ex.finish(d); !done.changed {
				f.live = done.live
			}
		}
		j.floors = append(j.floors, floor{at, f})
	}
	if before := j.history.After(marks[0].at); before.At(machineDir) != nil {
		j.machine = before
	}
	// With the tail of a history the first mark may lie before it.
	for k := 0; ; k++ {
		for len(marks) > 0 && marks[0].at <= k {
			note(k)
			marks = marks[1:]
		}
		if k == len(ops) {
			break
		}
		op := &ops[k]
		d.Apply(op)
		// A commit, to the database or to the spool.
		if op.Kind == OpSync && (strings.HasSuffix(op.Text, "deadman.db-wal") || strings.HasSuffix(op.Text, "spool.jsonl")) {
			note(k + 1)
		}
		if op.Kind != OpSync && op.Kind != OpSyncAll {
			j.see(k+1, d)
		}
	}
	return j
}

// see notes which known good and which set processes could see.
func (j *judge) see(at int, d *Disk) {
	known := ""
	if n := d.At(agentDir + "/last-known-good"); n != nil {
		known = strings.TrimSuffix(strings.TrimPrefix(n.Target, "snapshots/"), "/files")
	}
	if n := len(j.known); n == 0 || j.known[n-1].is != known {
		j.known = append(j.known, value{at, known})
	}
	live, _ := liveSet(d)
	before := j.planned
	j.planned = ""
	if plan := d.At(agentDir + "/plan.json"); plan != nil {
		if j.planned = string(plan.Data); j.planned == before {
			return // A set in the middle of being put back is none.
		}
		// From now on what the plan leads to can be, even if it is given up.
		done := j.ex.finish(d)
		if done.err != nil {
			j.w.t.Fatalf("without a loss, after %d operations: %v", at, done.err)
		}
		live = done.live
	}
	if n := len(j.live); n == 0 || j.live[n-1].is != live || j.planned != "" {
		j.live = append(j.live, value{at, live})
	}
}

// between are the values from the floor on, to the end of what was done then.
func between(values []value, from string, after, until int) []string {
	list := []string{from}
	for _, v := range values {
		if v.at > after && v.at <= until {
			list = append(list, v.is)
		}
	}
	return list
}

// span returns the mark before a point, and where the next one is.
func (j *judge) span(point int) (before mark, until int) {
	until = len(j.history.Ops)
	for _, m := range j.w.marks {
		if m.at > point {
			return before, m.at
		}
		before = m
	}
	return before, until
}

// edited reports whether a point is in the middle of what a person does.
func (j *judge) edited(point int) bool {
	from := 0
	for _, m := range j.w.marks {
		if m.at > point {
			return m.edited && point > from
		}
		from = m.at
	}
	return false
}

// violations says what a loss has undone or broken.
func (j *judge) violations(l Loss) []string {
	f := j.ex.examine(l.Disk)
	before, until := j.span(l.Point)

	// What holds: as of the last mark, and as of what the log of this very disk
	// tells, which may be further.
	var hold floor
	for _, fl := range j.floors {
		if fl.at <= before.at || fl.at <= l.Point && len(fl.log) <= len(f.log) {
			hold = fl
		}
	}
	var found []string
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	for _, text := range f.wrong {
		if !(f.corrupt && hold.corrupt) {
			wrong("%s", text)
		}
	}
	if f.corrupt && hold.corrupt {
		return found
	}
	if hold.corrupt && len(f.aside) == 0 {
		wrong("the damaged database is neither in its place nor set aside")
	}

	// The log.
	for i, e := range hold.log {
		if i >= len(f.log) {
			wrong("the log has %d entries, and had %d", len(f.log), len(hold.log))
			break
		}
		if f.log[i].Hash != e.Hash {
			wrong("entry %d of the log is another one", e.ID)
			break
		}
	}
	if f.revision < hold.revision {
		wrong("the state is revision %d, and was %d", f.revision, hold.revision)
	}
	for _, name := range hold.aside {
		if !slices.Contains(f.aside, name) {
			wrong("%s is gone", name)
		}
	}

	// The snapshots.
	gone := func(id string) bool { at, ok := j.removed[id]; return ok && at <= l.Point }
	for id := range hold.stored {
		if _, there := f.stored[id]; !there && !gone(id) {
			wrong("snapshot %s was stored, and is gone", id)
		}
	}
	for _, e := range f.log {
		if _, there := f.stored[e.Snapshot]; e.Snapshot != "" && !there && !gone(e.Snapshot) {
			wrong("the log tells of snapshot %s, which is not there", e.Snapshot)
		}
	}
	if can := between(j.known, hold.known, hold.at, l.Point); !slices.Contains(can, f.known) {
		wrong("the known good is %q, and can be %q", f.known, can)
	}

	// The live config.
	can := between(j.live, hold.live, hold.at, until)
	done := finished{live: f.live, temps: f.temps, files: liveFiles(l.Disk)}
	if f.plan {
		if done = j.ex.finish(l.Disk); done.err != nil {
			wrong("%v", done.err)
		}
	}
	if done.changed && len(j.w.written) == 0 {
		wrong("what nobody has written is taken for somebody's")
	}
	if !done.changed && !slices.Contains(can, done.live) {
		wrong("the live set is %s, and can be %q", done.live, can)
	}
	if !done.changed && len(done.temps) > 0 {
		wrong("left among the agent's files: %q", done.temps)
	}
	for _, wr := range j.w.written {
		if wr.at <= l.Point && !slices.Contains(done.files, wr.sum) && !stored(l.Disk, f, wr.sum) {
			wrong("what somebody wrote to %s is lost", wr.path)
		}
	}

	// What other programs read.
	for _, row := range hold.rows {
		if !slices.Contains(f.rows, row) {
			wrong("request_log had a row for record %d", row)
		}
	}
	for _, fl := range j.floors {
		for _, row := range fl.rows {
			if row <= f.cursor && !slices.Contains(f.rows, row) {
				wrong("request_log is said to have record %d, and has not", row)
			}
		}
	}
	for path, is := range hold.files {
		if is != "absent" && f.files[path] != is {
			wrong("%s is %s, and was %s", path, f.files[path], is)
		}
	}
	if e := j.w.engine; e != nil && e.told.Load() > 0 && int64(l.Point) >= e.told.Load() {
		// The agent is still stopped after the loss, and it must be known by whom.
		if n := l.Disk.At(agentDir + "/owner.json"); n == nil || !strings.Contains(string(n.Data), `"down":true`) {
			wrong("that the agent was stopped by us is lost: it would stay so for a person's")
		}
	}
	if j.machine != nil {
		found = append(found, j.rivals(l)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// stored reports whether a snapshot that is whole has a file with these bytes.
func stored(d *Disk, f facts, sum [sha256.Size]byte) (found bool) {
	for id, wrong := range f.stored {
		d.Walk(agentDir+"/snapshots/"+id, func(_ string, n *Node) {
			found = found || wrong == "" && !n.IsDir() && sha256.Sum256(n.Data) == sum
		})
	}
	return found
}

// verdict is what came of judging many losses.
type verdict struct {
	points, losses int
	violation      *Loss
	found          []string
}

// all judges losses, each disk once after each floor, and stops at the first
// violation. choose is that of [History.Losses], and may be nil.
func (j *judge) all(choose func(k int, op *Op) bool) verdict {
	var v verdict
	var mu sync.Mutex
	var stop atomic.Bool
	type key struct {
		disk   [sha256.Size]byte
		floors int // that are beneath it
	}
	seen := map[key]bool{}
	work := make(chan Loss)
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for l := range work {
				if stop.Load() {
					continue
				}
				if found := j.violations(l); len(found) > 0 {
					mu.Lock()
					if v.violation == nil || l.Point < v.violation.Point {
						v.violation, v.found = &l, found
					}
					mu.Unlock()
					stop.Store(true)
				}
			}
		})
	}
	v.points = j.history.Losses(func(k int, op *Op) bool {
		return k >= j.w.marks[0].at && !j.edited(k) && (choose == nil || choose(k, op))
	}, func(l Loss) bool {
		k := key{l.Disk.Digest(nil, ""), 0}
		for k.floors < len(j.floors) && j.floors[k.floors].at <= l.Point {
			k.floors++
		}
		if !seen[k] {
			seen[k] = true
			v.losses++
			work <- l
		}
		return !stop.Load()
	})
	close(work)
	wait.Wait()
	if len(j.w.broken) > 0 {
		at := len(j.history.Ops)
		v.violation, v.found = &Loss{Point: at, What: "none", Disk: j.history.After(at)}, j.w.broken
	}
	return v
}

// sampled chooses the points before something is synced, where most is lost, those
// of the marks, one in four of the others, and one in n of the operations there:
// always the same ones.
func (j *judge) sampled(n uint) func(k int, op *Op) bool {
	ops := j.history.Ops
	return func(k int, op *Op) bool {
		if op == nil {
			return n <= 1 || k%4 == 0 || k == len(ops) || ops[k].Kind == OpSync || slices.ContainsFunc(j.w.marks, func(m mark) bool { return m.at == k })
		}
		h := fnv.New32()
		fmt.Fprint(h, k, op.Text)
		return uint(h.Sum32())%n == 0
	}
}

// tries chooses what a deed is about.
func (c config) tries(_ int, op *Op) bool { return op == nil || strings.Contains(op.Text, "/"+c.About) }

// ours leaves SQLite's files to the deeds themselves: it is not in them that a
// sync of ours is missed. That a damaged one is set aside is ours.
func ours(_ int, op *Op) bool {
	return op == nil || !strings.Contains(op.Text, ".db") || strings.Contains(op.Text, ".corrupt")
}

// both chooses what all of these do.
func both(choices ...func(k int, op *Op) bool) func(k int, op *Op) bool {
	return func(k int, op *Op) bool {
		return !slices.ContainsFunc(choices, func(c func(k int, op *Op) bool) bool { return !c(k, op) })
	}
}

// String tells of a violation.
func (v verdict) String() string {
	if v.violation == nil {
		return fmt.Sprintf("%d points, %d losses, no violation", v.points, v.losses)
	}
	return fmt.Sprintf("a loss after %d operations (%s):\n  %s", v.violation.Point, v.violation.What, strings.Join(v.found, "\n  "))
}
