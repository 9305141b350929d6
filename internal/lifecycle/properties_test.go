package lifecycle_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"deadman"
	"deadman/internal/lifecycle"
)

func drawPolicy(t *rapid.T) lifecycle.Policy {
	p := lifecycle.DefaultPolicy()
	p.First = rapid.SampledFrom([]lifecycle.First{lifecycle.FirstAuto, lifecycle.FirstRollback, lifecycle.FirstRestart}).Draw(t, "first")
	p.Threshold = rapid.IntRange(1, 4).Draw(t, "threshold")
	p.StartLimitBurst = rapid.IntRange(1, 5).Draw(t, "burst")
	p.AcrossVersions = rapid.Bool().Draw(t, "across")
	if rapid.Bool().Draw(t, "no grace") {
		p.GoneGrace = 0
	}
	return p
}

func drawVersions(t *rapid.T) []version {
	n := rapid.IntRange(2, 5).Draw(t, "versions")
	var list []version
	for i := range n {
		name := string(rune('A' + i))
		v := version{name: name, identity: name, starts: true, ready: true, valid: deadman.Healthy}
		if i > 0 {
			v.starts = rapid.Bool().Draw(t, name+" starts")
			v.crashes = rapid.Bool().Draw(t, name+" crashes")
			v.ready = rapid.Bool().Draw(t, name+" ready")
			v.valid = rapid.SampledFrom([]deadman.Result{deadman.Healthy, deadman.Healthy, deadman.Unhealthy, deadman.Unknown}).Draw(t, name+" valid")
			v.held = rapid.IntRange(0, 4).Draw(t, name+" held") == 4
			if rapid.IntRange(0, 4).Draw(t, name+" twin") == 4 {
				twin := list[i-1]
				twin.name = name
				v = twin // The same but for a preserved value.
			}
		}
		list = append(list, v)
	}
	return list
}

// history plays random events on w.
type history struct {
	*world
	t     *rapid.T
	tame  bool // no person but pause and resume
	noise bool
}

func (h *history) must(err error) {
	if err != nil {
		h.t.Fatalf("step %d at %s, %s: %v\nstate %s", h.steps, h.now.Format(time.TimeOnly), h.state.Phase, err, encode(h.state))
	}
}

func (h *history) look(change func(*lifecycle.Round)) {
	r := h.round()
	if change != nil {
		change(&r)
	}
	h.must(h.step(lifecycle.Event{Round: &r}))
	h.pass(10 * time.Millisecond)
	h.prev = h.now
	h.settle()
}

// settle carries out what is in hand, with whatever may come between.
func (h *history) settle() {
	for n := 0; h.state.Pending.Deed(); n++ {
		if n > 60 {
			h.t.Fatalf("60 deeds without a rest; the last %+v", h.state.Pending)
		}
		how := well
		if h.noise {
			how = manner(max(0, rapid.IntRange(-12, 2).Draw(h.t, "manner")))
			switch rapid.IntRange(0, 19).Draw(h.t, "between") {
			case 16:
				if saved := h.state; true {
					r := h.round()
					h.must(h.step(lifecycle.Event{Round: &r}))
					if !reflect.DeepEqual(saved, h.state) {
						h.t.Fatalf("a round while %s was in hand changed the state", saved.Pending.Kind)
					}
				}
			case 17:
				if h.state.Pending.Kind != lifecycle.DoStart { // see TestKeptThenWritten
					h.write(rapid.IntRange(0, len(h.versions)-1).Draw(h.t, "version"), false)
				}
			case 18:
				if h.proc == nil && h.state.Pending.Kind != lifecycle.DoRestore {
					h.begin()
				}
			case 19:
				h.rebootRandomly()
				h.resumed = true
			}
		}
		o := h.do(how)
		h.must(h.step(lifecycle.Event{Outcome: &o}))
	}
}

func (h *history) rebootRandomly() {
	jump := rapid.SampledFrom([]time.Duration{time.Minute, -time.Hour, 24 * time.Hour, -20 * time.Minute}).Draw(h.t, "jump")
	// An init that starts the agent before a restore in hand is taken up again
	// would have it live through that: `check --finish` is there to prevent it.
	init := rapid.Bool().Draw(h.t, "init") && h.state.Pending.Kind != lifecycle.DoRestore
	h.reboot(jump, init)
}

func (h *history) say(w lifecycle.Word) {
	h.must(h.step(lifecycle.Event{Word: &w}))
	h.settle()
}

func (h *history) stock() lifecycle.Config {
	v := rapid.IntRange(0, len(h.versions)-1).Draw(h.t, "stock")
	c := h.config(v)
	if h.stored[v] {
		c.Snapshot = snapshot(v)
	}
	return c
}

// rounds lets time pass as a guard does.
func (h *history) rounds(n int) {
	for range n {
		h.look(nil)
		h.pass(lifecycle.NextLook(h.policy, h.state, h.now))
	}
}

func (h *history) act() {
	t := h.t
	switch rapid.IntRange(0, 25).Draw(t, "what") {
	case 0, 1, 2, 3:
		h.rounds(rapid.IntRange(1, 8).Draw(t, "rounds"))
	case 4:
		h.pass(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, time.Hour}).Draw(t, "time"))
		h.look(nil)
	case 5, 6:
		h.write(rapid.IntRange(0, len(h.versions)-1).Draw(t, "version"), rapid.Bool().Draw(t, "aside"))
	case 7, 8:
		h.proc = nil
	case 9:
		if h.proc != nil {
			h.proc.hung = true
		}
	case 10:
		if h.proc == nil {
			h.begin()
		}
	case 11:
		for range rapid.IntRange(1, 7).Draw(t, "restarts") {
			h.begin()
			h.restarts++
			if rapid.Bool().Draw(t, "looked") {
				h.look(nil)
			}
		}
	case 12:
		h.proc, h.stopped = nil, true
	case 13:
		h.rebootRandomly()
	case 14:
		h.offset += rapid.SampledFrom([]time.Duration{-time.Hour, time.Hour, -time.Second}).Draw(t, "step")
		h.clockSet = true
	case 15:
		h.broken, h.seen = rapid.Bool().Draw(t, "broken"), rapid.Bool().Draw(t, "seen")
	case 16:
		h.warm = rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Minute, 4 * time.Minute}).Draw(t, "warm")
	case 17:
		h.agent = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "agent")
	case 18:
		for range rapid.IntRange(1, 12).Draw(t, "odd rounds") {
			h.look(h.odd())
			h.pass(time.Second)
		}
	case 19:
		h.say(lifecycle.Word{Verb: lifecycle.Pause, Until: h.now.Add(30 * time.Minute)})
	case 20:
		h.say(lifecycle.Word{Verb: lifecycle.Resume})
	case 21:
		h.must(h.step(lifecycle.Event{}))
		h.settle()
	default:
		if h.tame {
			h.rounds(4)
			return
		}
		verb := rapid.SampledFrom([]lifecycle.Verb{lifecycle.StopNow, lifecycle.StartNow, lifecycle.Accept, lifecycle.Restore, lifecycle.Rollback}).Draw(t, "verb")
		h.say(lifecycle.Word{Verb: verb, Config: h.stock()})
	}
}

// odd is a round in which something cannot be told, or is not quite well.
func (h *history) odd() func(*lifecycle.Round) {
	odd := rapid.IntRange(0, 6).Draw(h.t, "odd")
	return func(r *lifecycle.Round) {
		switch odd {
		case 0:
			r.Alive = deadman.Unknown
		case 1:
			r.Presence = deadman.Obscured
		case 2:
			r.Partial = r.Alive == deadman.Healthy
		case 3:
			r.Live = lifecycle.Live{Unreadable: true}
		case 4:
			r.Activating = true
		case 5:
			r.Presence, r.Process, r.StartedAt = deadman.Gone, deadman.Process{}, time.Time{} // A stale pid file.
		case 6:
			r.Causes = []deadman.Cause{deadman.DiskFull}
		}
	}
}

func newHistory(t *rapid.T) *history {
	w := newWorld(drawPolicy(t), drawVersions(t))
	w.counts = rapid.Bool().Draw(t, "counts")
	w.readies = rapid.Bool().Draw(t, "readies")
	h := &history{world: w, t: t, noise: true}
	if rapid.IntRange(0, 9).Draw(t, "begins") > 0 {
		w.begin()
		h.noise = false
		h.rounds(8) // Most histories begin with something proven.
		h.noise = true
	}
	return h
}

func (h *history) play(n int) {
	for range rapid.IntRange(0, n).Draw(h.t, "length") {
		h.act()
	}
}

// TestAnyHistory: whatever happens, no step breaks the rules, and the steps
// that were saved give the same state again.
func TestAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.policy.Observe = rapid.IntRange(0, 5).Draw(t, "observe") == 5
		h.tame = h.policy.Observe
		h.play(40)
		var s lifecycle.State
		for _, e := range h.trail {
			s, _ = lifecycle.Step(h.policy, s, e.now, e.ev)
		}
		if !reflect.DeepEqual(s, h.state) {
			t.Fatalf("replayed, the state is another:\n%s\n%s", encode(s), encode(h.state))
		}
	})
}
