package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"deadman"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
)

// ledger is what the model keeps books of to judge the machine by. None of it
// is taken from the machine's state.
type ledger struct {
	starts []time.Time // ordered in this boot

	looks
	unsaved          *looks // what they were before a round that is not saved yet
	kept             bool   // a Keep went well since the last start or reboot
	keptLive         lifecycle.Live
	beside           bool               // the last Keep has found a process
	shelf            []lifecycle.Target // of the last Keep, in the order in which they are to be tried
	rungs            map[lifecycle.Origin]string
	hindered         bool // a cause was seen by the Keep before the start in hand
	incident         string
	opens            bool   // this step opens one
	put              string // identity that a rollback put there
	onTarget         string // the same, if the start in hand is on it
	startedOn        string // what was live when the start was ordered
	ours             deadman.Process
	verified, failed map[string]bool
	unplaced         map[string]bool // could not be put in place, so that others come first
	open             []string        // failed, and the next Keep says whether it counts
	words            bool            // a person asked for more than a pause
	armed            armed
	late             bool // the last word to start came when the time to confirm was over
	trial            trial
}

// armed is what a person wants back unless he confirms; v is -1 for nothing.
type armed struct {
	v     int
	until time.Time
	span  time.Duration
	// passed: it could not be put back, or did not start. expired: it is on its way.
	passed, expired bool
}

// trial is what was applied last; -1 for nothing.
type trial struct {
	v int
	// before is what was live right before it was put in place, -1 if that is not known.
	before int
	// placed: it is in place, so that what is kept from now on is not what was
	// live before. A machine that goes down over the restore begins anew: who writes
	// then is heard, and it is put in place once more, over that.
	placed bool
	boot   int // in which the restore in hand was ordered
	// excused: it was told that something outside held it up, or what was to hold
	// it against it could not be written.
	excused bool
	// unfit: with what has been written since the word it does not validate.
	unfit bool
	// idle: it was stopped on purpose. reload: no process has been stopped for it.
	idle, reload bool
}

// looks are what the rounds have shown.
type looks struct {
	// The uninterrupted run of full rounds on one process.
	runOn       deadman.Process
	first, last time.Time
	// sick counts unhealthy rounds in a row; those that cannot tell neither count
	// nor end it.
	sick int
	// left: it was seen stopped by its supervisor while nothing was in hand.
	left bool
}

func (l *ledger) begin() {
	l.reset()
	l.armed.v, l.trial.v = -1, -1
}

func (l *ledger) reset() {
	l.verified, l.failed, l.unplaced = map[string]bool{}, map[string]bool{}, map[string]bool{}
	l.rungs = map[lifecycle.Origin]string{}
}

// Save is the journal of the guard: it holds the step against the books, and may
// be where deadman dies.
func (w *World) Save(_ context.Context, step guard.Step) error {
	if err := w.crashPoint(); err != nil {
		return err
	}
	w.audited(step)
	w.state = step.After
	w.ledger.unsaved = nil
	_ = w.crashPoint() // Saved is saved, whatever becomes of who did it.
	return nil
}

// audited holds a step against the rules, and ends the history where it breaks one.
func (w *World) audited(step guard.Step) {
	w.Steps++
	w.covered(step)
	if armed := &w.ledger.armed; armed.until.After(step.Now.Add(armed.span)) {
		armed.until = step.Now.Add(armed.span) // No more than the full length, from the first look after a reboot.
	}
	if w.Deep && !reflect.DeepEqual(step.Before, w.state) {
		w.must(fmt.Errorf("a step does not begin where the one before has ended"))
	}
	if w.Deep {
		text := encode(step.Before)
		after, actions := lifecycle.Step(step.Policy, step.Before, step.Now, step.Event)
		if !reflect.DeepEqual(after, step.After) || !reflect.DeepEqual(actions, step.Actions) {
			w.must(fmt.Errorf("the same step came out differently"))
		}
		if encode(step.Before) != text {
			w.must(fmt.Errorf("the step changed the state that it was given"))
		}
		w.must(CheckTrip(step.After))
		w.trail = append(w.trail, step)
	}
	w.must(CheckStep(step.Policy, step.Before, step.After, step.Actions, step.Now))
	if step.Before.Pending.Deed() && step.Event.Outcome == nil {
		w.must(fmt.Errorf("something was heard while %s was in hand", step.Before.Pending.Kind))
	}
	before := w.state
	w.state = step.After
	w.must(w.audit(before, step.Event, step.Actions))
	w.must(w.unstored)
	w.state = before // until it is saved
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// round notes what a round showed of health.
func (l *ledger) round(r lifecycle.Round, w *World) {
	if w.state.Pending.Deed() {
		return
	}
	before := l.looks
	l.unsaved = &before
	if !r.Process.IsZero() && r.Process != l.ours {
		l.onTarget = "" // What runs is not what was started on it.
		// One that takes the place of a start in hand counts as that start.
		if r.Process != l.runOn && w.state.Phase != deadman.Verifying {
			l.startedOn = r.Live.Identity
		}
	}
	l.left = r.Stopped && r.Presence == deadman.Gone && (l.left || !w.state.Incident.Open())
	switch {
	case r.Alive == deadman.Unhealthy:
		l.sick++
	case r.Alive == deadman.Healthy:
		l.sick = 0
	}
	full := r.Presence == deadman.Running && r.Alive == deadman.Healthy && !r.Partial && r.Ready != deadman.Unhealthy && r.Ready != deadman.Unknown
	broken := r.Presence == deadman.Gone && r.Alive != deadman.Healthy || r.Alive == deadman.Unhealthy || r.Partial || r.Ready == deadman.Unhealthy
	switch {
	case broken || !r.Process.IsZero() && r.Process != l.runOn:
		l.first, l.last, l.runOn = time.Time{}, time.Time{}, r.Process
	}
	if full {
		if l.first.IsZero() {
			l.first = w.now
		}
		l.last = w.now
	}
}

// audit judges the actions of one step.
func (w *World) audit(before lifecycle.State, ev lifecycle.Event, actions []lifecycle.Action) error {
	l := &w.ledger
	if ev.Word != nil && !before.Pending.Deed() {
		idle := l.left && w.stopped || before.Hold.Verb == lifecycle.StopNow
		l.left, l.trial.idle = false, false
		switch ev.Word.Verb {
		case lifecycle.Pause, lifecycle.Resume:
		case lifecycle.Arm:
			l.armed = armed{v: w.stockOf(ev.Word.Config.Snapshot), until: ev.Word.Until, span: ev.Word.Until.Sub(w.now)}
		case lifecycle.Confirm:
			l.armed.v = -1
		case lifecycle.Apply:
			l.words = true
			l.reset()
			l.trial = trial{v: w.stockOf(ev.Word.Config.Snapshot), before: -1, idle: idle, reload: ev.Word.Reload}
		case lifecycle.Accept:
			l.put = ""
			l.reset()
		default:
			l.late = l.armed.v >= 0 && !w.now.Before(l.armed.until)
			l.words = true
			l.reset()
		}
	}
	w.heard(before, ev.Outcome)
	// One that the machine went down over is made again, and says then what counts.
	if o := ev.Outcome; o != nil && o.Kind == lifecycle.DoKeep && (before.Boot == "" || o.Boot == before.Boot) {
		l.kept, l.keptLive = o.OK, o.Live
		for _, identity := range l.open {
			if len(o.Causes) == 0 && !l.hindered && !l.verified[identity] {
				l.failed[identity] = true
			}
		}
		l.open, l.hindered = nil, len(o.Causes) > 0
	}
	if o := ev.Outcome; o != nil && o.Kind == lifecycle.DoPromote && o.OK && before.Pending.Reason != deadman.VersionProven {
		if err := w.auditProofs(before.Pending.Snapshot); err != nil {
			return err
		}
	}
	if o := ev.Outcome; o != nil {
		if o.Changed || !o.Appeared.IsZero() {
			l.onTarget = "" // Nothing was started on it, or something else runs.
		}
		if o.Kind == lifecycle.DoStart {
			l.ours = o.Process
		}
	}
	l.opens = !before.Incident.Open()
	if id := w.state.Incident.ID; id != l.incident {
		l.incident = id
		l.open, l.put, l.onTarget = nil, "", ""
		l.reset()
	}
	if before.Incident.Exhausted && !w.state.Incident.Exhausted {
		l.rungs, l.unplaced = map[lifecycle.Origin]string{}, map[string]bool{} // It was begun afresh.
	}
	for _, a := range actions {
		if a.Reason == deadman.ReasonUnset {
			return fmt.Errorf("%s without a reason", a.Kind)
		}
		if err := w.auditAction(a); err != nil {
			return fmt.Errorf("%s, %s: %w", a.Kind, a.Reason, err)
		}
	}
	return w.auditDeadline(ev)
}

// heard keeps the books of what is armed and of what is on trial.
func (w *World) heard(before lifecycle.State, o *lifecycle.Outcome) {
	l := &w.ledger
	if o == nil {
		return
	}
	switch o.Kind {
	case lifecycle.DoKeep:
		if l.beside = !o.Appeared.IsZero(); l.beside {
			l.startedOn = o.Live.Identity
		}
		l.trial.unfit = o.Composed != nil && o.Composed.Valid == deadman.Unhealthy
		// What is written over half a set is no version that anybody wrote.
		whole := w.half == 0 && !w.state.Incident.Half
		if t := &l.trial; t.v >= 0 && !t.placed && o.OK && whole && (t.before < 0 || w.versions[w.disk].identity != w.versions[t.v].identity) {
			t.before = w.disk
		}
		l.trial.excused = l.trial.excused || len(o.Causes) > 0 || !o.OK || o.Partly
	case lifecycle.DoMark:
		l.trial.excused = l.trial.excused || !o.OK || o.Partly
	case lifecycle.DoStop:
		l.beside = false
	case lifecycle.DoStart, lifecycle.DoReload:
		l.trial.placed = true
	case lifecycle.DoRestore:
		l.trial.placed = l.trial.placed || o.OK && l.trial.boot == w.boot
		if !o.OK {
			l.put = ""
		}
		v := w.stockOf(before.Pending.Snapshot)
		if !o.OK && !o.Changed && !o.Partly && v >= 0 {
			l.unplaced[w.versions[v].identity] = true
		}
		of := v == l.armed.v
		switch {
		case o.OK && (of || before.Incident.Person == ""):
			l.armed.v = -1
		case of && !o.Changed && !o.Partly:
			l.armed.passed = true
		}
	}
}

func (w *World) auditAction(a lifecycle.Action) error {
	l := &w.ledger
	if w.policy.Observe && !l.words {
		switch a.Kind {
		case lifecycle.DoStop, lifecycle.DoStart, lifecycle.DoRestore:
			return fmt.Errorf("in observe mode")
		}
	}
	switch a.Kind {
	case lifecycle.DoStop:
		l.trial.reload = false
		if a.Reason == deadman.ChecksUnhealthy && l.opens && l.sick < w.policy.Threshold {
			return fmt.Errorf("after %d unhealthy rounds, the threshold is %d", l.sick, w.policy.Threshold)
		}
	case lifecycle.Alert:
		if t := &l.trial; a.Reason == deadman.TrialFailed && t.v >= 0 && l.keptLive.Identity != w.versions[t.v].identity {
			t.excused = true // Somebody has written since.
		}
		if a.Reason == deadman.ArmExpired {
			if l.armed.v < 0 {
				return fmt.Errorf("of what is not armed any more")
			}
			l.armed.v, l.armed.expired = -1, true
			if w.now.Before(l.armed.until) {
				return fmt.Errorf("%s before the deadline", l.armed.until.Sub(w.now))
			}
		}
	case lifecycle.DoReload:
		if l.left && w.stopped {
			return fmt.Errorf("of what a person has stopped")
		}
	case lifecycle.Note:
		switch a.Reason {
		case deadman.ArmUnchanged:
			if w.half == 0 && l.armed.v >= 0 && w.live().Identity != w.versions[l.armed.v].identity {
				return fmt.Errorf("%s is live, and %s was armed", w.versions[w.disk].name, w.versions[l.armed.v].name)
			}
			l.armed.v = -1
		case deadman.TrialPassed:
			if p := w.proc; p != nil && p.id == l.ours && p.runs >= 0 && !w.versions[p.runs].starts {
				return fmt.Errorf("%s does not start", w.versions[p.runs].name)
			}
		case deadman.Verified:
			// Whoever started it, what has failed on it before says nothing any more.
			l.verified[l.startedOn] = true
			delete(l.failed, l.startedOn)
		case deadman.StartFailed, deadman.DiedInVerify, deadman.DeadlinePassed:
			if l.armed.v >= 0 && l.startedOn == w.versions[l.armed.v].identity {
				l.armed.passed = true
			}
			if l.onTarget != "" && !(w.state.Life.Answered && w.live().Identity != l.onTarget) {
				l.open = append(l.open, l.onTarget)
				delete(l.verified, l.onTarget)
			}
		}
	case lifecycle.DoRestore:
		return w.auditRestore(a)
	case lifecycle.DoMark:
		if a.Reason == deadman.TrialFailed && l.hindered {
			return fmt.Errorf("something outside held it up")
		}
	case lifecycle.DoStart:
		switch armed := l.armed; {
		case l.left && w.stopped || l.trial.idle:
			return fmt.Errorf("of what a person has stopped")
		case l.beside:
			return fmt.Errorf("beside a process")
		case a.Reason == deadman.StartedByPerson && l.late && armed.v >= 0 && w.live().Identity != w.versions[armed.v].identity:
			return fmt.Errorf("on %s, which nobody has confirmed in time", w.live().Hash)
		}
		l.starts = append(l.starts, w.now)
		if n := len(l.starts) - w.policy.StartLimitBurst; n > 0 && w.now.Sub(l.starts[n-1]) < w.policy.StartLimitInterval {
			return fmt.Errorf("%d starts in %s", w.policy.StartLimitBurst+1, w.now.Sub(l.starts[n-1]))
		}
		l.kept, l.onTarget, l.startedOn = false, "", w.live().Identity
		if w.live().Identity == l.put {
			l.onTarget = l.put
		}
		if w.half > 0 {
			return fmt.Errorf("on half a set")
		}
	case lifecycle.DoPromote:
		v := w.stockOf(a.Snapshot)
		switch {
		case v < 0 || !w.stored[v]:
			return fmt.Errorf("%s is not stored", a.Snapshot)
		case a.Reason == deadman.StartProven && (w.proc == nil || l.runOn != w.proc.id || w.proc.loaded < 0):
			return fmt.Errorf("no process started on it")
		case a.Reason == deadman.StartProven && w.versions[w.proc.loaded].identity != w.versions[v].identity:
			return fmt.Errorf("the process started on %s", w.versions[w.proc.loaded].name)
		case a.Reason == deadman.StartProven && (l.first.IsZero() || l.last.Sub(l.first) < w.policy.Probation):
			return fmt.Errorf("healthy from %v to %v only", l.first, l.last)
		}
	}
	return nil
}

func (w *World) auditRestore(a lifecycle.Action) error {
	l := &w.ledger
	l.trial.boot = w.boot
	v := w.stockOf(a.Snapshot)
	if v < 0 || !w.stored[v] {
		return fmt.Errorf("%q is not stored", a.Snapshot)
	}
	to := w.versions[v]
	if l.beside && !l.trial.reload {
		return fmt.Errorf("under a process")
	}
	person := a.Reason == deadman.RestoredByPerson || a.Reason == deadman.RolledBackByPerson ||
		a.Reason == deadman.AppliedByPerson || a.Reason == deadman.ArmExpired
	l.put = to.identity
	if person || a.Reason == deadman.Exhausted {
		l.put = ""
	}
	if w.state.Incident.Half {
		return nil
	}
	if !l.kept {
		return fmt.Errorf("nothing was kept before")
	}
	if err := w.auditWish(a, v); err != nil {
		return err
	}
	same := l.keptLive.Identity == to.identity
	if person || a.Reason == deadman.Exhausted {
		same = l.keptLive.Hash == to.name
	}
	if same {
		return fmt.Errorf("%s is in place already", to.name)
	}
	switch a.Reason {
	case deadman.Canonical:
		if err := w.auditRung(lifecycle.FromCanonical, to); err != nil {
			return err
		}
	case deadman.SafeConfig:
		if err := w.auditRung(lifecycle.FromSafe, to); err != nil {
			return err
		}
	}
	if l.failed[to.identity] && !person && a.Reason != deadman.Exhausted && a.Reason != deadman.Relapse {
		return fmt.Errorf("%s failed before in this incident", to.name)
	}
	return nil
}

// auditWish holds a restore of the switch's own against what a person has said
// before: where to go back from a trial, or from what is not confirmed.
func (w *World) auditWish(a lifecycle.Action, v int) error {
	l := &w.ledger
	switch a.Reason {
	case deadman.TrialFailed:
		if l.trial.before != v {
			return fmt.Errorf("it was not live before what was applied")
		}
		applied := w.versions[l.trial.v].identity
		if l.keptLive.Identity == applied && !l.trial.excused && applied != w.state.Known.Identity && !w.bad[applied] {
			return fmt.Errorf("%s is not held, and the next deploy would bring it again", w.versions[l.trial.v].name)
		}
	case deadman.AppliedByPerson:
		if l.trial.unfit {
			return fmt.Errorf("%s does not validate with what has been written since", w.versions[v].name)
		}
	case deadman.Exhausted, deadman.RestoredByPerson, deadman.RolledBackByPerson, deadman.ArmExpired, deadman.DiedArmed:
	default:
		if l.armed.v < 0 || l.armed.passed {
			return nil
		}
		armed := w.versions[l.armed.v]
		if l.keptLive.Identity != armed.identity && !l.failed[armed.identity] && w.versions[v].identity != armed.identity {
			return fmt.Errorf("%s was armed, and %s goes back", armed.name, w.versions[v].name)
		}
	}
	return nil
}

// auditRung judges that a version which was never live is put in place.
func (w *World) auditRung(from lifecycle.Origin, to version) error {
	l := &w.ledger
	if was, ok := l.rungs[from]; ok && was != to.identity {
		return fmt.Errorf("%s is the second of %s in this incident, after %s", to.name, from, was)
	}
	l.rungs[from] = to.identity
	if to.valid == deadman.Unhealthy || to.held || w.bad[to.identity] {
		return fmt.Errorf("%s of %s is not fit to be put in place", to.name, from)
	}
	for _, t := range l.shelf {
		if t.Origin == from {
			return nil
		}
		if t.Snapshot == "" {
			continue
		}
		v := w.versions[w.stockOf(t.Snapshot)]
		fit := v.valid != deadman.Unhealthy && (t.Origin == lifecycle.FromStore || !v.held && !w.bad[v.identity])
		turned := l.failed[v.identity] || l.unplaced[v.identity] || v.identity == l.keptLive.Identity || slices.Contains(w.state.Barred, v.identity) || l.rungs[t.Origin] != "" ||
			slices.ContainsFunc(w.state.Incident.Failures, func(f lifecycle.Failure) bool { return f.Identity == v.identity })
		if fit && !turned {
			return fmt.Errorf("%s of %s before %s", to.name, from, v.name)
		}
	}
	return fmt.Errorf("%s was not found by the Keep before", from)
}

// auditProofs: what a snapshot has proven under other versions of the agent is
// not lost when it becomes the known good once more.
func (w *World) auditProofs(id string) error {
	v, known := w.stockOf(id), w.state.Known
	if v < 0 || known.Snapshot != id || known.Provisional {
		return nil
	}
	for _, version := range w.proofs[v] {
		if version != "" && !slices.Contains(known.Versions, version) {
			return fmt.Errorf("it is forgotten that %s has started well under version %s", w.versions[v].name, version)
		}
	}
	return nil
}

func (w *World) auditDeadline(ev lifecycle.Event) error {
	s := w.state
	if !s.Deadline.IsZero() && (s.Span < 0 || s.Deadline.After(w.now.Add(s.Span))) {
		return fmt.Errorf("the deadline is %s away, its span %s", s.Deadline.Sub(w.now), s.Span)
	}
	timed := slices.Contains([]deadman.Phase{deadman.Verifying, deadman.Waiting, deadman.Failed}, s.Phase)
	if s.Phase == deadman.Confirming {
		if ev.Round == nil || s.Pending.Deed() {
			return nil
		}
		switch r := ev.Round; {
		case r.Presence == deadman.Gone && r.Alive != deadman.Healthy && !r.Activating:
			timed = true
		case r.Presence == deadman.Running && r.Alive == deadman.Unhealthy:
		default:
			return nil
		}
	}
	if timed != !s.Deadline.IsZero() {
		return fmt.Errorf("%s with deadline %v", s.Phase, s.Deadline)
	}
	return nil
}
