package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deadman"
	"deadman/internal/health"
	"deadman/internal/proc"
)

// probe attempts all checks at once and adds them up.
func (w *world) probe(ctx context.Context, seen *sight) {
	r := &seen.round
	owner := health.Owner{Presence: r.Presence, Main: r.Process.PID, Family: func() []int {
		family, err := w.sup.Family(ctx)
		if err != nil {
			return nil
		}
		pids := make([]int, len(family))
		for i, p := range family {
			pids[i] = p.PID
		}
		return pids
	}}
	if proc.Networked(owner.Main) {
		owner.Main = 0 // An engine's proxy holds the port of a container.
	}
	attempts := make([]health.Attempt, len(w.checks))
	now := time.Now()
	var all sync.WaitGroup
	for i, c := range w.checks {
		all.Go(func() { attempts[i] = c.Attempt(ctx, now, owner) })
	}
	all.Wait()
	seen.attempts = attempts
	r.Alive, r.Partial, r.Ready = sum(attempts, r.Presence)
	if r.Presence == deadman.Running && r.Alive == deadman.Healthy && !w.memo.Served {
		if family, err := w.sup.Family(ctx); err == nil {
			w.known.Members, w.memo.Served = family, true
			w.saveMemo()
		}
	}
	if r.Presence == deadman.Gone && r.Alive == deadman.Healthy {
		w.disownOrphans(ctx, seen)
	}
}

// disownOrphans tells a stale pid file, behind which an agent may well be fine,
// from an agent whose main process is certainly gone while what it left behind
// answers on: the workers of a killed nginx master, the orphan of incident 62.
// Those are no sign of life.
func (w *world) disownOrphans(ctx context.Context, seen *sight) {
	if w.memo.Process.IsZero() || proc.Alive(w.memo.Process) != deadman.Gone {
		return
	}
	orphans, err := w.sup.Family(ctx)
	if err != nil || len(orphans) == 0 {
		return
	}
	seen.round.Alive = deadman.Unhealthy
	seen.process.Detail = fmt.Sprintf("its main process is gone, and %d orphans of it live on", len(orphans))
}

// sum adds up the attempts of a round. Active are the http and exec checks of
// level alive; without any the tcp ones; without those the process itself.
// Alive is unhealthy only if all active ones are.
func sum(attempts []health.Attempt, presence deadman.Presence) (alive deadman.Result, partial bool, ready deadman.Result) {
	var strong, weak, process, readies []deadman.Result
	for _, a := range attempts {
		switch {
		case a.Level == deadman.Ready:
			readies = append(readies, a.Result)
			continue
		case a.Kind == health.KindHTTP || a.Kind == health.KindExec:
			strong = append(strong, a.Result)
		case a.Kind == health.KindTCP:
			weak = append(weak, a.Result)
		case a.Kind == health.KindProcess:
			process = append(process, a.Result)
		}
		partial = partial || a.Result != deadman.Healthy
	}
	active := strong
	if len(active) == 0 {
		active = weak
	}
	if len(active) == 0 {
		active = process
	}
	if len(active) == 0 {
		active = []deadman.Result{presenceResult(presence)}
	}
	alive = anyOf(active)
	if len(readies) > 0 {
		ready = allOf(readies)
	}
	return alive, partial, ready
}

func presenceResult(p deadman.Presence) deadman.Result {
	switch p {
	case deadman.Running:
		return deadman.Healthy
	case deadman.Gone:
		return deadman.Unhealthy
	}
	return deadman.Unknown
}

// anyOf is healthy if one is, unhealthy if all are, else unknown.
func anyOf(results []deadman.Result) deadman.Result {
	sum := deadman.Unhealthy
	for _, r := range results {
		switch r {
		case deadman.Healthy:
			return deadman.Healthy
		case deadman.Unhealthy:
		default:
			sum = deadman.Unknown
		}
	}
	return sum
}

// allOf is unhealthy if one is, healthy if all are, else unknown.
func allOf(results []deadman.Result) deadman.Result {
	sum := deadman.Healthy
	for _, r := range results {
		switch r {
		case deadman.Unhealthy:
			return deadman.Unhealthy
		case deadman.Healthy:
		default:
			sum = deadman.Unknown
		}
	}
	return sum
}
