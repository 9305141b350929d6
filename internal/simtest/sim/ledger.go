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
	hindered         bool // a cause was seen by the Keep before the start in hand
	incident         string
	opens            bool   // this step opens one
	put              string // identity that a rollback put there
	onTarget         string // the same, if the start in hand is on it
	ours             deadman.Process
	verified, failed map[string]bool
	open             []string // failed, and the next Keep says whether it counts
	words            bool     // a person asked for more than a pause
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

func (l *ledger) reset() { l.verified, l.failed = map[string]bool{}, map[string]bool{} }

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
		l.left = false
		switch ev.Word.Verb {
		case lifecycle.Pause, lifecycle.Resume:
		case lifecycle.Accept:
			l.reset()
		default:
			l.words = true
			l.reset()
		}
	}
	if o := ev.Outcome; o != nil && o.Kind == lifecycle.DoKeep {
		l.kept, l.keptLive = o.OK, o.Live
		for _, identity := range l.open {
			if len(o.Causes) == 0 && !l.hindered && !l.verified[identity] {
				l.failed[identity] = true
			}
		}
		l.open, l.hindered = nil, len(o.Causes) > 0
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
		if a.Reason == deadman.ChecksUnhealthy && l.opens && l.sick < w.policy.Threshold {
			return fmt.Errorf("after %d unhealthy rounds, the threshold is %d", l.sick, w.policy.Threshold)
		}
	case lifecycle.Note:
		switch a.Reason {
		case deadman.Verified:
			l.verified[l.onTarget] = true
		case deadman.StartFailed, deadman.DiedInVerify, deadman.DeadlinePassed:
			if l.onTarget != "" && !(w.state.Life.Answered && w.live().Identity != l.onTarget) {
				l.open = append(l.open, l.onTarget)
			}
		}
	case lifecycle.DoRestore:
		return w.auditRestore(a)
	case lifecycle.DoStart:
		if l.left && w.stopped {
			return fmt.Errorf("of what a person has stopped")
		}
		l.starts = append(l.starts, w.now)
		if n := len(l.starts) - w.policy.StartLimitBurst; n > 0 && w.now.Sub(l.starts[n-1]) < w.policy.StartLimitInterval {
			return fmt.Errorf("%d starts in %s", w.policy.StartLimitBurst+1, w.now.Sub(l.starts[n-1]))
		}
		l.kept, l.onTarget = false, ""
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
	v := w.stockOf(a.Snapshot)
	if v < 0 || !w.stored[v] {
		return fmt.Errorf("%q is not stored", a.Snapshot)
	}
	to := w.versions[v]
	person := a.Reason == deadman.RestoredByPerson || a.Reason == deadman.RolledBackByPerson
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
	same := l.keptLive.Identity == to.identity
	if person || a.Reason == deadman.Exhausted {
		same = l.keptLive.Hash == to.name
	}
	if same {
		return fmt.Errorf("%s is in place already", to.name)
	}
	if l.failed[to.identity] && !person && a.Reason != deadman.Exhausted && a.Reason != deadman.Relapse {
		return fmt.Errorf("%s failed before in this incident", to.name)
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
