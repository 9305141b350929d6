package sim

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"deadman"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
)

// Failure is a broken rule.
type Failure struct {
	Err error
	// State is the machine's when it happened.
	State string
}

func (f *Failure) Error() string { return f.Err.Error() + "\nstate " + f.State }

// errCrash is deadman's own death; errFull a disk that takes no record.
var (
	errCrash = errors.New("killed")
	errFull  = errors.New("no space")
)

// must ends the history if a rule is broken.
func (w *World) must(err error) {
	if err != nil {
		panic(&Failure{fmt.Errorf("step %d at %s, %s: %w", w.Steps, w.now.Format(time.TimeOnly), w.state.Phase, err), encode(w.state)})
	}
}

// Play plays one history of at most n acts and returns its world. The error is a
// *Failure.
func Play(source Source, n int, deep bool) (w *World, err error) {
	defer func() {
		if r := recover(); r != nil {
			failure, ok := r.(*Failure)
			if !ok {
				panic(r)
			}
			err = failure
		}
	}()
	w = newWorld(drawPolicy(source), drawVersions(source))
	w.source, w.Deep, w.Covered = source, deep, map[Pair]int{}
	w.counts, w.readies = flip(source), flip(source)
	w.policy.Observe = source.Int(0, 9) == 9
	w.canonical, w.safe = source.Int(-1, len(w.versions)-1), source.Int(-1, len(w.versions)-1)
	if source.Int(0, 9) > 0 {
		w.begin()
		w.rounds(8) // Most histories begin with something proven.
	}
	w.noise = true
	for range source.Int(0, n) {
		w.act()
	}
	w.noise = false
	w.replayed()
	w.calm()
	return w, nil
}

func drawPolicy(s Source) lifecycle.Policy {
	p := lifecycle.DefaultPolicy()
	p.First = pick(s, lifecycle.FirstAuto, lifecycle.FirstRollback, lifecycle.FirstRestart)
	p.Threshold = s.Int(1, 4)
	p.StartLimitBurst = s.Int(1, 5)
	p.AcrossVersions = flip(s)
	if flip(s) {
		p.GoneGrace = 0
	}
	return p
}

func drawVersions(s Source) []version {
	var list []version
	for i := range s.Int(2, 5) {
		name := string(rune('A' + i))
		v := version{name: name, identity: name, starts: true, ready: true, valid: deadman.Healthy}
		if i > 0 {
			v.starts, v.crashes, v.ready = flip(s), flip(s), flip(s)
			v.valid = pick(s, deadman.Healthy, deadman.Healthy, deadman.Unhealthy, deadman.Unknown)
			v.held = s.Int(0, 4) == 4
			if s.Int(0, 4) == 4 {
				twin := list[i-1]
				twin.name = name
				v = twin // The same but for a preserved value.
			}
		}
		list = append(list, v)
	}
	return list
}

// guarded has a guard that knows what was saved do something, and reports whether
// that was done. It may die of it; the next one takes over.
func (w *World) guarded(do func(context.Context, *guard.Guard) error) (done bool) {
	defer func() {
		if r := recover(); r != nil && r != errCrash {
			panic(r)
		} else if r != nil {
			w.forget()
		}
	}()
	w.deeds, w.ledger.unsaved = 0, nil
	g := &guard.Guard{Policy: w.policy, World: w, Journal: w, Now: func() time.Time { return w.now }, State: w.state}
	err := do(context.Background(), g)
	if errors.Is(err, errFull) {
		w.forget()
	} else {
		w.must(err)
	}
	if w.Deep && !reflect.DeepEqual(g.State, w.state) {
		w.must(errors.New("the guard works on a state that was not saved"))
	}
	return err == nil
}

// forget forgets a round that was not saved: nobody knows of it any more.
func (w *World) forget() {
	if before := w.ledger.unsaved; before != nil {
		w.ledger.looks = *before
	}
}

// crashPoint is a place where deadman may die, or find no space to write.
func (w *World) crashPoint() error {
	if !w.noise {
		return nil
	}
	switch w.source.Int(0, 79) {
	case 78:
		return errFull
	case 79:
		panic(errCrash)
	}
	return nil
}

// Observe is a round of the guard.
func (w *World) Observe(_ context.Context, s lifecycle.State) (lifecycle.Round, error) {
	r := w.round()
	if w.odd != nil {
		w.odd(&r)
	}
	w.ledger.round(r, w)
	w.pass(10 * time.Millisecond)
	w.prev = w.now
	return r, nil
}

// Do is a deed of the guard, with whatever may come between.
func (w *World) Do(_ context.Context, s lifecycle.State, resumed bool) (lifecycle.Outcome, error) {
	if s.Attempts != w.state.Attempts || s.Phase != w.state.Phase || w.Deep && !reflect.DeepEqual(s, w.state) {
		w.must(fmt.Errorf("%s is done and was not recorded before", s.Pending.Kind))
	}
	if w.deeds++; w.deeds > 60 {
		w.must(fmt.Errorf("60 deeds without a rest; the last %+v", s.Pending))
	}
	how := well
	if w.noise {
		how = manner(max(0, w.source.Int(-12, 2)))
		w.interfere(s)
	}
	o := w.do(how, resumed)
	if w.noise && w.source.Int(0, 39) == 39 {
		panic(errCrash) // It is done, and nobody will say so.
	}
	return o, nil
}

// interfere lets something happen while a deed is in hand.
func (w *World) interfere(s lifecycle.State) {
	switch w.source.Int(0, 24) {
	case 20:
		r := w.round()
		if after, actions := lifecycle.Step(w.policy, s, w.now, lifecycle.Event{Round: &r}); len(actions) > 0 || !reflect.DeepEqual(after, s) {
			w.must(fmt.Errorf("a round while %s was in hand changed the state", s.Pending.Kind))
		}
	case 21:
		if s.Pending.Kind != lifecycle.DoStart { // One that comes right before a start cannot be told.
			w.write(w.source.Int(0, len(w.versions)-1), false)
		}
	case 22:
		if w.proc == nil && s.Pending.Kind != lifecycle.DoRestore {
			w.begin()
		}
	case 23:
		w.rebootRandomly()
		w.meanwhile(s.Pending.Kind)
		panic(errCrash)
	case 24:
		w.meanwhile(s.Pending.Kind)
		panic(errCrash) // Nothing of it is done.
	}
}

// meanwhile has somebody do by hand what a deadman that is no more has left undone.
func (w *World) meanwhile(kind lifecycle.ActionKind) {
	if kind != lifecycle.DoStart && kind != lifecycle.DoRestore || w.proc != nil || flip(w.source) {
		return
	}
	if kind == lifecycle.DoStart {
		w.write(w.source.Int(0, len(w.versions)-1), false)
	}
	w.begin()
}

func (w *World) rebootRandomly() {
	jump := pick(w.source, time.Minute, -time.Hour, 24*time.Hour, -20*time.Minute)
	// An init that starts the agent before a restore in hand is taken up again
	// would have it live through that: `check --finish` is there to prevent it.
	w.reboot(jump, flip(w.source) && w.state.Pending.Kind != lifecycle.DoRestore)
}

func (w *World) look() bool {
	return w.guarded(func(ctx context.Context, g *guard.Guard) error { return g.Round(ctx) })
}

func (w *World) say(word lifecycle.Word) {
	w.guarded(func(ctx context.Context, g *guard.Guard) error { return g.Hear(ctx, word) })
}

// rounds lets time pass as a guard does.
func (w *World) rounds(n int) {
	for range n {
		w.look()
		w.pass(lifecycle.NextLook(w.policy, w.state, w.now))
	}
}

// act is one thing that happens.
func (w *World) act() {
	s := w.source
	switch s.Int(0, 26) {
	case 0, 1, 2, 3:
		w.rounds(s.Int(1, 8))
	case 4:
		w.pass(pick(s, time.Second, 30*time.Second, time.Minute, 5*time.Minute, time.Hour)) // or it slept
		w.look()
	case 5, 6:
		w.write(s.Int(0, len(w.versions)-1), flip(s))
	case 7, 8:
		w.proc = nil
	case 9:
		if w.proc != nil {
			w.proc.hung = true
		}
	case 10:
		if w.proc == nil {
			w.begin()
		}
	case 11:
		for range s.Int(1, 7) {
			w.begin()
			w.restarts++
			if flip(s) {
				w.look()
			}
		}
	case 12:
		w.proc, w.stopped = nil, true
	case 13:
		w.rebootRandomly()
	case 14:
		w.offset += pick(s, -time.Hour, time.Hour, -time.Second)
		w.clockSet = true
	case 15:
		w.broken, w.seen = flip(s), flip(s)
	case 16:
		w.warm = pick(s, 0, 5*time.Second, time.Minute, 4*time.Minute)
	case 17:
		w.agent = pick(s, "", "1", "2")
	case 18:
		w.odd = odd(s.Int(0, 6))
		for range s.Int(1, 12) {
			w.look()
			w.pass(time.Second)
		}
		w.odd = nil
	case 19:
		w.say(lifecycle.Word{Verb: lifecycle.Pause, Until: w.now.Add(30 * time.Minute)})
	case 20:
		w.say(lifecycle.Word{Verb: lifecycle.Resume})
	case 21:
		w.guarded(func(ctx context.Context, g *guard.Guard) error { return g.Resume(ctx) })
	case 22:
		w.canonical = s.Int(-1, len(w.versions)-1)
	default:
		if w.policy.Observe {
			w.rounds(4)
			return
		}
		verb := pick(s, lifecycle.StopNow, lifecycle.StartNow, lifecycle.Accept, lifecycle.Restore, lifecycle.Rollback,
			lifecycle.Apply, lifecycle.Apply, lifecycle.Arm, lifecycle.Arm, lifecycle.Confirm)
		switch verb {
		case lifecycle.Apply:
			w.apply()
		case lifecycle.Arm:
			w.arm()
		default:
			w.say(lifecycle.Word{Verb: verb, Config: w.stock()})
		}
	}
}

// fits: a guard obeys it as the agent stands.
func (w *World) fits(verb lifecycle.Verb) bool {
	s := w.state
	busy := s.Incident.Open() && (verb == lifecycle.Arm || s.OnTrial() || s.Phase != deadman.Failed && s.Phase != deadman.Waiting)
	return s.Phase != deadman.StoodDown && s.Hold.Verb != lifecycle.Pause && !busy && (verb == lifecycle.Arm || s.Armed.IsZero())
}

// apply has a config deployed that may be put in place: it is not what is live, is
// stored, validates and is not held.
func (w *World) apply() {
	s := w.source
	v := s.Int(0, len(w.versions)-1)
	word := lifecycle.Word{Verb: lifecycle.Apply, Reload: flip(s), Force: s.Int(0, 3) == 3}
	held := w.bad[w.versions[v].identity] && !word.Force
	if !w.look() || !w.fits(lifecycle.Apply) || w.disk == v || w.versions[v].valid == deadman.Unhealthy || held || w.half > 0 {
		return
	}
	w.stored[v] = true
	word.Config = w.config(v)
	word.Config.Snapshot = snapshot(v)
	w.say(word)
	if flip(s) {
		w.rounds(s.Int(1, 8))
	}
}

// arm has a person change the config by hand, to be confirmed. A guard refuses
// that of what does not validate.
func (w *World) arm() {
	s := w.source
	span := pick(s, time.Minute, 10*time.Minute, time.Hour)
	if !w.look() || !w.fits(lifecycle.Arm) || w.half > 0 || w.versions[w.disk].valid == deadman.Unhealthy {
		return
	}
	w.stored[w.disk] = true
	word := lifecycle.Word{Verb: lifecycle.Arm, Config: w.config(w.disk), Until: w.now.Add(span)}
	word.Config.Snapshot = snapshot(w.disk)
	w.say(word)
	if flip(s) {
		w.write(s.Int(0, len(w.versions)-1), flip(s))
	}
	if flip(s) {
		w.rounds(s.Int(1, 8))
	}
}

// stock is a config that a person names; only one that is stored has a snapshot.
func (w *World) stock() lifecycle.Config {
	v := w.source.Int(0, len(w.versions)-1)
	c := w.config(v)
	if w.stored[v] {
		c.Snapshot = snapshot(v)
	}
	return c
}

// odd changes a round so that something cannot be told, or is not quite well.
func odd(what int) func(*lifecycle.Round) {
	return func(r *lifecycle.Round) {
		switch what {
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

// replayed: the saved steps lead to the saved state, in another process too.
func (w *World) replayed() {
	if !w.Deep {
		return
	}
	var s lifecycle.State
	for _, step := range w.trail {
		s, _ = lifecycle.Step(step.Policy, s, step.Now, step.Event)
	}
	if !reflect.DeepEqual(s, w.state) {
		w.must(fmt.Errorf("replayed, the state is another: %s", encode(s)))
	}
}

// Pair is a phase and what came in it.
type Pair struct {
	Phase deadman.Phase
	Event string
}

func (p Pair) String() string { return p.Phase.String() + " × " + p.Event }

// covered notes what was met.
func (w *World) covered(step guard.Step) {
	event := "time"
	switch ev := step.Event; {
	case ev.Round != nil:
		event = strings.TrimSpace(fmt.Sprintf("round %s %s", ev.Round.Presence, ev.Round.Alive))
	case ev.Outcome != nil && ev.Outcome.OK:
		event = string(ev.Outcome.Kind) + " ok"
	case ev.Outcome != nil:
		event = string(ev.Outcome.Kind) + " failed"
	case ev.Word != nil:
		event = string(ev.Word.Verb)
	case ev.Found != nil:
		event = "found"
	}
	w.Covered[Pair{step.Before.Phase, event}]++
}

// calm ends a history: nothing more goes wrong, nobody says a word, and the agent
// must be well if what is live, or anything that deadman may put there, starts.
func (w *World) calm() {
	w.odd, w.broken, w.warm = nil, false, 0
	if w.policy.Observe {
		return
	}
	w.say(lifecycle.Word{Verb: lifecycle.Resume})
	for range 300 {
		w.look()
		if w.stopped || w.state.Hold.Verb == lifecycle.StopNow {
			return // by a person, who is left alone
		}
		if w.serves() && (w.state.Phase == deadman.Up || w.state.Phase == deadman.Degraded) {
			w.unconfirmed()
			return
		}
		w.pass(max(lifecycle.NextLook(w.policy, w.state, w.now), w.state.Deadline.Sub(w.now)))
	}
	if w.half == 0 && w.versions[w.disk].starts {
		w.must(fmt.Errorf("what is live starts, and the agent is not well in the end"))
	}
	targets := w.targets()
	// What was never live has one turn in an incident, before all that has failed is
	// tried again; after that nobody looks for it.
	if v := w.canonical; v >= 0 && len(targets) == 0 && (v == w.asked || !w.state.Incident.Exhausted) {
		is := w.versions[v]
		other := slices.ContainsFunc(w.state.Incident.Rungs, func(r lifecycle.Rung) bool { return r.Origin == lifecycle.FromCanonical && r.Identity != is.identity })
		failed := slices.ContainsFunc(w.state.Incident.Failures, func(f lifecycle.Failure) bool { return f.Identity == is.identity })
		if is.starts && is.valid != deadman.Unhealthy && !is.held && !w.bad[is.identity] && !other && !failed && !slices.Contains(w.state.Barred, is.identity) {
			w.must(fmt.Errorf("%s starts and is in source control, and the agent is not well in the end", is.name))
		}
	}
	for _, target := range targets {
		// Not across versions of the agent: that is an outside cause that holds on.
		if !slices.Contains(targets[0].Versions, w.agent) {
			return
		}
		v := w.versions[w.stockOf(target.Snapshot)]
		if v.starts && target.Valid != deadman.Unhealthy && slices.Contains(target.Versions, w.agent) {
			w.must(fmt.Errorf("%s starts and is stored, and the agent is not well in the end", v.name))
		}
	}
}

// unconfirmed: nobody confirms any more, so what is armed is what is live in the
// end, if the agent starts on it.
func (w *World) unconfirmed() {
	armed := w.ledger.armed
	if armed.v < 0 {
		return
	}
	if left := armed.until.Sub(w.now); left > 0 {
		w.pass(min(left, armed.span))
	}
	if v := w.versions[armed.v]; !v.starts || v.valid == deadman.Unhealthy || w.readies && !v.ready {
		return
	}
	for range 60 {
		w.look()
		w.pass(max(lifecycle.NextLook(w.policy, w.state, w.now), w.state.Deadline.Sub(w.now)))
		there := w.half == 0 && w.live().Identity == w.versions[armed.v].identity && w.serves()
		if there || w.ledger.armed.v < 0 && !w.ledger.armed.expired {
			return
		}
	}
	w.must(fmt.Errorf("%s was armed and not confirmed, and is not live in the end", w.versions[armed.v].name))
}

// Story tells the steps of a history, a line each.
func (w *World) Story() string {
	var b strings.Builder
	for _, step := range w.trail {
		fmt.Fprintf(&b, "%s %s", step.Now.Format(time.DateTime), step.Before.Phase)
		switch ev := step.Event; {
		case ev.Round != nil:
			fmt.Fprintf(&b, ": %s, alive %s, live %s", ev.Round.Presence, ev.Round.Alive, ev.Round.Live.Hash)
		case ev.Outcome != nil:
			fmt.Fprintf(&b, ": %s %v, live %s", ev.Outcome.Kind, ev.Outcome.OK, ev.Outcome.Live.Hash)
		case ev.Word != nil:
			fmt.Fprintf(&b, ": %s %s", ev.Word.Verb, ev.Word.Config.Hash)
		}
		fmt.Fprintf(&b, " → %s", step.After.Phase)
		for _, a := range step.Actions {
			fmt.Fprintf(&b, "; %s %s %s", a.Kind, a.Snapshot, a.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}
