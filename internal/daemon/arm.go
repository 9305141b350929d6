package daemon

import (
	"context"
	"fmt"
	"time"

	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
)

// arming builds the word that has what is live go back, unless somebody confirms
// what he is about to change.
func (k *keeper) arming(ctx context.Context, arg Arg) (*lifecycle.Word, error) {
	w := k.world
	if err := k.guard.Round(ctx); err != nil {
		return nil, err
	}
	if err := k.fits(lifecycle.Arm); err != nil {
		return nil, err
	}
	look, err := w.observe(ctx)
	if err != nil {
		return nil, err
	}
	m, err := w.store.Save(look, w.sets, snapshot.Meta{Now: time.Now(), AgentVersion: w.memo.Version, Evidence: "arm"})
	if err != nil {
		return nil, err
	}
	if err := w.unfit(ctx, m, look); err != nil {
		return nil, refuse("arm what works, and change it then", "cannot arm %s: what is live does not validate, and would be what goes back", w.agent.Name)
	}
	w.retain(k.guard.State, m.ID)
	word := &lifecycle.Word{Verb: lifecycle.Arm, Until: k.guard.Now().Add(arg.For)}
	word.Config = lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)}
	return word, nil
}

// confirming refuses to confirm what is not armed: it may have gone back already.
func (k *keeper) confirming() error {
	if k.guard.State.Armed.IsZero() {
		return &saidError{
			fmt.Sprintf("cannot confirm %s: nothing is armed", k.world.agent.Name),
			fmt.Sprintf("`deadman history %s` says whether it was too late", k.world.agent.Name),
		}
	}
	return nil
}
