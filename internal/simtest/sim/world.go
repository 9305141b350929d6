package sim

import (
	"fmt"
	"slices"
	"time"

	"deadman"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
)

// epoch is when histories begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// version is one config that the model's agent may be given, with the truth
// about it, which the machine does not see.
type version struct {
	name, identity string
	starts         bool // an agent started on it comes to serve
	crashes        bool // one that does not start ends at once; otherwise it hangs
	ready          bool
	valid          deadman.Result
	held           bool
}

// run is one process of the model's agent.
type run struct {
	id     deadman.Process
	began  time.Time // by the machine's clock
	loaded int       // the version on disk when it started; half is -1
	runs   int       // the version that it runs on: another one when it was told to reload
	hung   bool
}

// World is a small world in memory: an agent, its disk, a store and a
// supervisor. It tells the machine what a real guard would tell, and keeps its
// own books of what is true.
type World struct {
	policy lifecycle.Policy
	state  lifecycle.State

	now      time.Time // the machine's clock: jumps only at a reboot
	offset   time.Duration
	clockSet bool
	boot     int
	booted   time.Time
	prev     time.Time // end of the round before

	versions         []version
	disk             int
	half             int // above zero: the set on disk is no version; its number
	halves           int
	written, changed time.Time // by the wall clock
	inode            int

	stored map[int]bool
	shelf  []int // proven or accepted, the newest first
	stands int   // provisional known good, or -1
	// canonical and safe are the versions that source control and the minimal
	// config make: -1 if they cannot be had.
	canonical, safe int
	asked           int // what was canonical when it was looked for last
	bad             map[string]bool
	cured           map[string]int
	proofs          map[int][]string

	proc     *run
	pids     int
	counts   bool // its supervisor counts restarts
	restarts int64
	stopped  bool // by its supervisor
	broken   bool // an outside cause holds
	seen     bool // and evidence finds it
	warm     time.Duration
	agent    string // the agent's version
	readies  bool   // a ready check is configured

	kept     string // hash of what the last Keep took
	ledger   ledger
	unstored error

	// Deep: each step is also made twice, replayed and stored, which costs ten
	// times as much.
	Deep bool
	// Steps counts those that were saved.
	Steps int
	// Covered are the pairs of phase and event that were met.
	Covered map[Pair]int

	trail  []guard.Step
	source Source
	noise  bool                   // deeds fail, others interfere, deadman dies
	odd    func(*lifecycle.Round) // what cannot be told now
	deeds  int                    // since the guard was last asked for something
}

func newWorld(p lifecycle.Policy, versions []version) *World {
	w := &World{
		policy: p, versions: versions, now: epoch, booted: epoch.Add(-time.Hour), stored: map[int]bool{}, stands: -1, canonical: -1, safe: -1,
		bad: map[string]bool{}, cured: map[string]int{}, proofs: map[int][]string{}, seen: true, agent: "1",
	}
	w.ledger.begin()
	w.write(0, false)
	w.now = w.now.Add(time.Minute)
	return w
}

func (w *World) wall() time.Time  { return w.now.Add(w.offset) }
func (w *World) bootName() string { return fmt.Sprintf("boot-%d", w.boot) }

// pass lets time pass, and lets a process that cannot start end.
func (w *World) pass(d time.Duration) {
	w.now = w.now.Add(d)
	if p := w.proc; p != nil && (p.runs < 0 || !w.versions[p.runs].starts && w.versions[p.runs].crashes) && w.now.Sub(p.began) >= 500*time.Millisecond {
		w.proc = nil
	}
}

// write puts a version on disk; aside keeps its file's own change time, as a
// renamed directory does.
func (w *World) write(v int, aside bool) {
	w.pass(50 * time.Millisecond)
	w.disk, w.half = v, 0
	w.inode++
	w.changed = w.wall()
	if !aside {
		w.written = w.changed
	}
	w.pass(50 * time.Millisecond)
}

func (w *World) begin() *run {
	w.pass(50 * time.Millisecond)
	w.pids++
	w.proc = &run{began: w.now, loaded: w.disk, id: deadman.Process{PID: w.pids, Start: w.now.Sub(w.booted), Boot: w.bootName()}}
	if w.half > 0 {
		w.proc.loaded = -1
	}
	w.proc.runs = w.proc.loaded
	w.stopped, w.ledger.trial.idle = false, false
	w.pass(50 * time.Millisecond)
	return w.proc
}

func (w *World) serves() bool {
	p := w.proc
	return p != nil && p.runs >= 0 && !p.hung && !w.broken && w.versions[p.runs].starts && w.now.Sub(p.began) >= w.warm
}

func (w *World) reboot(jump time.Duration, init bool) {
	w.proc, w.clockSet, w.stopped, w.prev = nil, false, false, time.Time{}
	w.boot++
	w.restarts = 0
	// The machine's clock begins anew with what the wall clock says then.
	w.now, w.offset = w.wall().Add(jump), 0
	w.booted = w.now
	w.ledger.starts = nil
	w.ledger.kept, w.ledger.trial.idle = false, false
	w.ledger.onTarget = "" // The machine went down over it, and that ended it.
	w.pass(time.Second)
	if init {
		w.begin()
	}
}

func (w *World) config(v int) lifecycle.Config {
	return lifecycle.Config{Hash: w.versions[v].name, Identity: w.versions[v].identity}
}

func snapshot(v int) string { return fmt.Sprintf("s%d", v) }

func (w *World) stockOf(id string) int {
	for v := range w.versions {
		if snapshot(v) == id {
			return v
		}
	}
	return -1
}

func (w *World) live() lifecycle.Live {
	l := lifecycle.Live{
		Inodes: fmt.Sprint(w.inode), Written: w.written.UTC(), Changed: w.changed.UTC(),
		Settled: w.wall().Sub(w.changed) >= 5*time.Second || w.wall().Before(w.changed),
	}
	if w.half > 0 {
		l.Hash = fmt.Sprintf("half-%d", w.half)
		l.Identity, l.Valid = l.Hash, deadman.Unhealthy
		return l
	}
	v := w.versions[w.disk]
	l.Config, l.Valid, l.Held = w.config(w.disk), v.valid, v.held
	l.Bad, l.Cured = w.bad[v.identity], w.cured[v.identity]
	return l
}

func (w *World) causes() []deadman.Cause {
	if w.broken && w.seen {
		return []deadman.Cause{deadman.NetworkDown}
	}
	return nil
}

// round is what a guard would see now.
func (w *World) round() lifecycle.Round {
	r := lifecycle.Round{
		Presence: deadman.Gone, Boot: w.bootName(), Restarts: -1, Alive: deadman.Unhealthy, Stopped: w.stopped,
		Live: w.live(), Version: w.agent, ClockSet: w.clockSet, Previous: w.prev,
	}
	if w.counts {
		r.Restarts = w.restarts
	}
	if p := w.proc; p != nil {
		r.Presence, r.Process = deadman.Running, p.id
		r.StartedAt = p.began.Add(w.offset).UTC()
	}
	if w.serves() {
		r.Alive = deadman.Healthy
	}
	if w.readies {
		r.Ready = deadman.Unhealthy
		if w.serves() && w.versions[w.proc.runs].ready {
			r.Ready = deadman.Healthy
		}
	}
	if r.Alive != deadman.Healthy || r.Ready == deadman.Unhealthy {
		r.Causes = w.causes()
	}
	return r
}

// How a deed comes out.
type manner int

const (
	well manner = iota
	badly
	partly // Of Restore; badly for others.
)

// do carries out the pending deed, as a real one would be. resumed: an earlier
// deadman may have done it already.
func (w *World) do(how manner, resumed bool) lifecycle.Outcome {
	p := w.state.Pending
	o := lifecycle.Outcome{Kind: p.Kind, Attempt: p.Attempt, OK: how == well, Boot: w.bootName(), Version: w.agent}
	w.pass(100 * time.Millisecond)
	switch p.Kind {
	case lifecycle.DoCapture, lifecycle.DoKeep:
		o.Live = w.live()
		if p.Kind == lifecycle.DoKeep {
			o.Causes, o.Shelf = w.causes(), w.targets()
			if lifecycle.Spent(w.policy, w.state, o) {
				if w.noise && flip(w.source) {
					w.canonical = w.source.Int(-1, len(w.versions)-1) // Somebody pushes meanwhile.
				}
				w.asked = w.canonical
				o.Shelf = append(o.Shelf, w.elsewhere(lifecycle.FromCanonical, w.canonical), w.elsewhere(lifecycle.FromSafe, w.safe))
			}
			w.ledger.shelf = o.Shelf
			if o.OK {
				w.kept = o.Live.Hash
			}
			if w.proc != nil {
				o.Appeared = w.proc.id
			}
			if v := w.stockOf(w.state.Incident.Chose.Snapshot); v >= 0 && w.state.OnTrial() && !w.state.Incident.Obeyed {
				o.Composed = &lifecycle.Live{Config: w.config(v), Valid: w.versions[v].valid, Bad: w.bad[w.versions[v].identity]}
				o.Composed.Snapshot = snapshot(v)
				if w.noise && w.source.Int(0, 9) == 9 {
					o.Composed.Valid = deadman.Unhealthy // They do not go together.
				}
			}
		}
		if o.OK && w.half == 0 {
			w.stored[w.disk] = true
			o.Snapshot = snapshot(w.disk)
		} else if o.OK {
			o.Snapshot = o.Live.Hash
		}
	case lifecycle.DoPromote:
		v := w.stockOf(p.Snapshot)
		o.Live.Config = w.config(v)
		o.Live.Snapshot = p.Snapshot
		o.Versions = slices.Clone(w.proofs[v])
		if o.OK && p.Provisional {
			w.stands = v
		} else if o.OK {
			w.stands = -1
			w.shelf = slices.Insert(slices.DeleteFunc(w.shelf, func(s int) bool { return s == v }), 0, v)
			if p.Reason != deadman.AcceptedByPerson { // who has seen no start
				w.proofs[v] = append(w.proofs[v], w.agent)
			}
			delete(w.bad, w.versions[v].identity)
		}
	case lifecycle.DoMark:
		v := w.stockOf(p.Snapshot)
		switch {
		case !o.OK || v < 0:
		case p.Reason == deadman.KnownGoodDemoted:
			w.shelf = slices.DeleteFunc(w.shelf, func(s int) bool { return s == v })
		default:
			w.cured[w.versions[v].identity]++
			if p.Standing == deadman.Bad {
				w.bad[w.versions[v].identity] = true
			}
		}
	case lifecycle.DoStop:
		if o.OK || w.proc == nil {
			w.proc, o.OK = nil, true
		}
	case lifecycle.DoRestore:
		w.restore(p, how, &o)
	case lifecycle.DoReload:
		if o.OK = o.OK && w.proc != nil; o.OK {
			w.proc.runs = w.disk
			if w.half > 0 {
				w.proc.runs = -1
			}
		}
	case lifecycle.DoStart:
		switch {
		case w.proc != nil && !resumed:
			o.Appeared, o.OK = w.proc.id, false
		case w.proc != nil: // Not every supervisor can tell whose start it was.
			o.Process, o.Resumed = w.proc.id, true
		case resumed && w.live().Identity != w.state.Incident.Target.Identity:
			o.OK, o.Changed, o.Live = false, true, w.live()
		case o.OK:
			o.Process = w.begin().id
		}
	}
	w.pass(100 * time.Millisecond)
	o.Wall = w.wall().UTC()
	return o
}

func (w *World) restore(p lifecycle.Action, how manner, o *lifecycle.Outcome) {
	v := w.stockOf(p.Snapshot)
	here := w.live().Hash
	switch {
	case v < 0 || how == badly:
		// Half of it may be there from an earlier attempt, and a real one looks.
		o.OK, o.Partly = false, w.half > 0
	case here != w.kept && w.half == 0 && here != w.versions[v].name:
		o.OK, o.Changed = false, true
	default:
		if w.half == 0 && !w.stored[w.disk] && w.disk != v {
			w.unstored = fmt.Errorf("%s was overwritten and is nowhere stored", w.versions[w.disk].name)
		}
		w.write(v, false)
		if how == partly {
			w.halves++
			w.half = w.halves
			o.OK, o.Partly = false, true
		}
	}
	o.Live = w.live()
}

func (w *World) targets() []lifecycle.Target {
	var list []lifecycle.Target
	add := func(v int, proven bool) {
		c := w.config(v)
		c.Snapshot = snapshot(v)
		list = append(list, lifecycle.Target{Config: c, Proven: proven, Valid: w.versions[v].valid, Versions: slices.Clone(w.proofs[v])})
	}
	if w.stands >= 0 {
		add(w.stands, false)
	}
	for _, v := range w.shelf {
		add(v, true)
	}
	return list
}

// elsewhere is what a version that was never live makes, composed and stored.
func (w *World) elsewhere(from lifecycle.Origin, v int) lifecycle.Target {
	if v < 0 {
		return lifecycle.Target{Origin: from, Detail: "cannot be had"}
	}
	is := w.versions[v]
	t := lifecycle.Target{Origin: from, Config: w.config(v), Valid: is.valid, Held: is.held || w.bad[is.identity]}
	t.Snapshot = snapshot(v)
	w.stored[v] = true
	return t
}
