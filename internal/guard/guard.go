package guard

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
)

// World is one agent and all that can be done to it.
type World interface {
	// Observe makes one round of probes and reads the live config. What it
	// cannot tell it says in the Round; the error is only for ctx.
	Observe(ctx context.Context, s lifecycle.State) (lifecycle.Round, error)
	// Do carries out the deed s.Pending and says how it came out. It must be
	// possible to do every deed again: resumed says that an earlier guard may
	// have done it, in part or whole. Once a deed has begun to change the
	// agent it runs to its end, whatever becomes of ctx; when ctx ended before
	// that, the error says so and the deed stays in hand.
	Do(ctx context.Context, s lifecycle.State, resumed bool) (lifecycle.Outcome, error)
}

// Journal keeps steps.
type Journal interface {
	// Save makes a step durable. Whatever the step orders is done only after
	// Save has returned without error.
	Save(ctx context.Context, step Step) error
}

// Step is one transition, with all that is needed to replay it.
type Step struct {
	Policy        lifecycle.Policy
	Now           time.Time
	Event         lifecycle.Event
	Before, After lifecycle.State
	Actions       []lifecycle.Action
}

// Guard guards one agent. It is for one goroutine.
type Guard struct {
	Policy  lifecycle.Policy
	World   World
	Journal Journal
	// Now is the time of this boot: it does not jump with the wall clock.
	Now func() time.Time
	// State is what was loaded; afterwards, what was saved last.
	State lifecycle.State
	// resumed: State.Pending was found, not ordered here.
	resumed bool
}

// roundsMax bounds the rounds that follow each other at once.
const roundsMax = 10

// Round finishes what is in hand, observes once and does what follows. A round
// that ended in a deed well done, or in a start verified, is followed by
// another at once, because that may make the next deed due (a capture, its
// promotion).
func (g *Guard) Round(ctx context.Context) error {
	if err := g.Resume(ctx); err != nil {
		return err
	}
	for range roundsMax {
		round, err := g.World.Observe(ctx, g.State)
		if err != nil {
			return err
		}
		attempts, phase := g.State.Attempts, g.State.Phase
		if err := g.step(ctx, lifecycle.Event{Round: &round}); err != nil {
			return err
		}
		ok, err := g.act(ctx)
		if err != nil {
			return err
		}
		worked := g.State.Attempts > attempts && ok
		back := g.State.Phase == deadman.Probation && phase != deadman.Probation
		if !serving(g.State.Phase) || !worked && !back {
			return nil
		}
	}
	return nil
}

// serving: the phases in which a deed leaves the agent as it is.
func serving(p deadman.Phase) bool {
	return p == deadman.Up || p == deadman.Degraded || p == deadman.Probation
}

// Hear takes a person's word and does what follows at once.
func (g *Guard) Hear(ctx context.Context, word lifecycle.Word) error {
	if err := g.Resume(ctx); err != nil {
		return err
	}
	if err := g.step(ctx, lifecycle.Event{Word: &word}); err != nil {
		return err
	}
	_, err := g.act(ctx)
	return err
}

// Resume finishes a deed that an earlier guard has begun.
func (g *Guard) Resume(ctx context.Context) error {
	if !g.State.Pending.Deed() {
		return nil
	}
	g.resumed = true
	_, err := g.act(ctx)
	return err
}

// Once makes rounds until nothing is in hand that this run should wait for.
func (g *Guard) Once(ctx context.Context) error {
	for {
		if err := g.Round(ctx); err != nil {
			return err
		}
		if lifecycle.Resting(g.State) {
			return nil
		}
		timer := time.NewTimer(lifecycle.NextLook(g.Policy, g.State, g.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Watch makes rounds until ctx ends: when the next look is due, when wake
// says that something may have happened (a hint, nothing more), and when a
// person's word comes. Each word is answered by its own function.
func (g *Guard) Watch(ctx context.Context, wake <-chan struct{}, words <-chan Request, after func(error)) error {
	for {
		err := g.Round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		after(err)
		timer := time.NewTimer(lifecycle.NextLook(g.Policy, g.State, g.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		case <-wake:
		case request := <-words:
			request.Answer(g.obey(ctx, request))
		}
		timer.Stop()
	}
}

// Request is a person's word with whom to tell how it went.
type Request struct {
	// Word is asked for in the guard's goroutine. nil is no word but a wish for
	// a round at once.
	Word   func() (*lifecycle.Word, error)
	Answer func(error)
}

// obey does what a request asks for, to where a one-shot would end.
func (g *Guard) obey(ctx context.Context, request Request) error {
	word, err := request.Word()
	if err != nil {
		return err
	}
	if word != nil {
		if err := g.Hear(ctx, *word); err != nil {
			return err
		}
	}
	return g.Once(ctx)
}

// act carries out deeds until none is in hand, and reports whether the last
// one went well.
func (g *Guard) act(ctx context.Context) (bool, error) {
	ok := true
	for g.State.Pending.Deed() {
		pending := g.State.Pending
		outcome, err := g.World.Do(ctx, g.State, g.resumed)
		if err != nil {
			return false, err
		}
		g.resumed = false
		outcome.Kind, outcome.Attempt = pending.Kind, pending.Attempt
		ok = outcome.OK
		// From here on the deed is done, and its outcome must be saved even if
		// we are being told to stop.
		if err := g.step(context.WithoutCancel(ctx), lifecycle.Event{Outcome: &outcome}); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// step takes one event. An event that changes nothing is not saved.
func (g *Guard) step(ctx context.Context, ev lifecycle.Event) error {
	now := g.Now()
	after, actions := lifecycle.Step(g.Policy, g.State, now, ev)
	if len(actions) == 0 && reflect.DeepEqual(after, g.State) {
		return nil
	}
	step := Step{Policy: g.Policy, Now: now, Event: ev, Before: g.State, After: after, Actions: actions}
	if err := g.Journal.Save(ctx, step); err != nil {
		return fmt.Errorf("cannot record what comes next, so nothing is done: %w", err)
	}
	g.State = after
	return nil
}

// Find tells a machine that knows no good config of one that the store has.
func (g *Guard) Find(ctx context.Context, known lifecycle.Known) error {
	return g.step(ctx, lifecycle.Event{Found: &known})
}
