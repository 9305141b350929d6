package sim_test

import (
	"errors"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"deadman/internal/simtest/sim"
)

var (
	histories = flag.Int("histories", 500, "how many histories to play")
	seed      = flag.Uint64("seed", 1, "the first one's seed")
	noShrink  = flag.Bool("noshrink", false, "tell of a failure as it was found")
)

// acts is how long a history is at most.
const acts = 24

// TestHistories plays histories. Every 50th is looked at in depth.
func TestHistories(t *testing.T) {
	t.Parallel()
	var (
		next   atomic.Int64
		mu     sync.Mutex
		failed bool
		steps  int
		wait   sync.WaitGroup
	)
	covered := map[sim.Pair]int{}
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(*histories) {
					return
				}
				source := sim.NewSeeded(*seed + uint64(n))
				w, err := sim.Play(source, acts, n%50 == 0)
				mu.Lock()
				if err != nil && !failed {
					failed = true
					report(t, *seed+uint64(n), source.Tape, err)
				}
				if failed {
					mu.Unlock()
					return
				}
				steps += w.Steps
				for pair, times := range w.Covered {
					covered[pair] += times
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if failed {
		return
	}
	t.Logf("%d histories, %d steps, %d pairs of phase and event", *histories, steps, len(covered))
}

// report shrinks a failure and tells its story.
func report(t *testing.T, seed uint64, tape []int, err error) {
	t.Helper()
	if *noShrink {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	rule := func(err error) string {
		var failure *sim.Failure
		if !errors.As(err, &failure) {
			return ""
		}
		return errors.Unwrap(failure.Err).Error()
	}
	small := sim.Shrink(tape, func(other []int) bool {
		_, again := sim.Play(sim.NewTaped(other), acts, true)
		return again != nil && len(rule(again)) > 8 && rule(again)[:8] == rule(err)[:8]
	})
	w, again := sim.Play(sim.NewTaped(small), acts, true)
	t.Errorf("seed %d: %v\nshrunk from %d choices to %d: %v\n%v\n%s", seed, err, len(tape), len(small), small, again, w.Story())
}
