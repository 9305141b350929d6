package lifecycle_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"deadman"
	"deadman/internal/lifecycle"
)

// The tests here hold the timing rules against a second implementation that is
// too dumb to be wrong: it looks at the whole past each time, where the machine
// keeps counters, and tries every instant, where the machine computes one.

// oracle runs a property on ten times as many cases as rapid does.
func oracle(t *testing.T, prop func(t *rapid.T)) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			prop(t)
		}
	})
}

// TestThresholdOracle: dead is threshold unhealthy probes since the last healthy
// one, whatever could not be told in between; unknown is said at ten.
func TestThresholdOracle(t *testing.T) {
	oracle(t, func(t *rapid.T) {
		p := lifecycle.DefaultPolicy()
		p.Threshold = rapid.IntRange(1, 5).Draw(t, "threshold")
		results := rapid.SliceOfN(rapid.SampledFrom([]deadman.Result{
			deadman.Healthy, deadman.Unhealthy, deadman.Unhealthy, deadman.Unknown,
		}), 1, 40).Draw(t, "results")

		tr := servingTrace(p)
		for i := range results {
			tr.now = tr.now.Add(time.Second)
			r := tr.round
			r.Alive = results[i]
			tr.step(lifecycle.Event{Round: &r})
			if died, want := tr.state.Phase == deadman.Stopping, deadByOracle(results[:i+1], p.Threshold); died != want {
				t.Fatalf("threshold %d, after %v: dead is %v, should be %v", p.Threshold, results[:i+1], died, want)
			}
			if tr.state.Phase == deadman.Stopping {
				return
			}
		}
	})
}

func deadByOracle(results []deadman.Result, threshold int) bool {
	for last := range results {
		n := 0
		for i := last; i >= 0 && results[i] != deadman.Healthy; i-- {
			if results[i] == deadman.Unhealthy {
				n++
			}
		}
		if n >= threshold {
			return true
		}
	}
	return false
}

// TestVerifyOracle: a start is verified by threshold healthy probes in a row,
// that what could not be told neither interrupts nor lengthens, and has failed
// with the first unhealthy one that is not before the deadline.
func TestVerifyOracle(t *testing.T) {
	oracle(t, func(t *rapid.T) {
		p := lifecycle.DefaultPolicy()
		p.Threshold = rapid.IntRange(1, 5).Draw(t, "threshold")
		p.HealthyDeadline = time.Duration(rapid.IntRange(1, 30).Draw(t, "deadline")) * time.Second
		results := rapid.SliceOfN(rapid.SampledFrom([]deadman.Result{
			deadman.Healthy, deadman.Healthy, deadman.Unhealthy, deadman.Unknown,
		}), 1, 40).Draw(t, "results")

		tr := servingTrace(p)
		tr.die()
		tr.round.Presence, tr.round.Process = deadman.Running, tr.state.Life.Process
		began := tr.now
		for i := range results {
			tr.now = tr.now.Add(time.Second)
			r := tr.round
			r.Alive = results[i]
			tr.step(lifecycle.Event{Round: &r})
			want := verifyByOracle(results[:i+1], p.Threshold, int(p.HealthyDeadline/time.Second))
			if got := tr.state.Phase; got != want {
				t.Fatalf("threshold %d, %s after the start, after %v: %s, should be %s", p.Threshold, tr.now.Sub(began), results[:i+1], got, want)
			}
			if want != deadman.Verifying {
				return
			}
		}
	})
}

// verifyByOracle judges results, one a second, the first a second after the
// start.
func verifyByOracle(results []deadman.Result, threshold, deadline int) deadman.Phase {
	for n := range results {
		seen := results[:n+1]
		told := slices.DeleteFunc(slices.Clone(seen), func(r deadman.Result) bool { return r == deadman.Unknown })
		streak := 0
		for streak < len(told) && told[len(told)-1-streak] == deadman.Healthy {
			streak++
		}
		late := n+1 >= deadline
		switch {
		case streak >= threshold:
			return deadman.Probation
		case late && seen[n] == deadman.Unhealthy:
			return deadman.Stopping
		case late && seen[n] == deadman.Unknown && len(told) > 0 && told[len(told)-1] == deadman.Unhealthy:
			return deadman.Stopping
		case late && seen[n] == deadman.Unknown:
			return deadman.Unclear
		}
	}
	return deadman.Verifying
}

// TestPaceOracle: an agent that can never start. When the starts come is
// computed a second time: the gap before the nth repetition is the delay times
// the factor, n times, never more than the limit; and then the first instant at
// which no window of the interval holds more than burst starts.
func TestPaceOracle(t *testing.T) {
	oracle(t, func(t *rapid.T) {
		p := lifecycle.DefaultPolicy()
		p.StartLimitBurst = rapid.IntRange(1, 6).Draw(t, "burst")
		p.StartLimitInterval = time.Duration(rapid.IntRange(1, 120).Draw(t, "interval")) * time.Second
		p.BackoffDelay = time.Duration(rapid.IntRange(1, 20).Draw(t, "delay")) * time.Second
		p.BackoffFactor = float64(rapid.IntRange(1, 4).Draw(t, "factor"))
		p.BackoffLimit = time.Duration(rapid.IntRange(20, 300).Draw(t, "limit")) * time.Second

		tr := servingTrace(p)
		tr.round.Presence, tr.round.Alive, tr.round.Process = deadman.Gone, deadman.Unhealthy, deadman.Process{}
		var starts []time.Duration
		for len(starts) < 12 {
			switch tr.state.Pending.Kind {
			case lifecycle.DoStart:
				starts = append(starts, tr.now.Sub(epoch))
				tr.done(lifecycle.Outcome{})
			case lifecycle.DoKeep:
				tr.done(lifecycle.Outcome{OK: true, Live: tr.round.Live, Snapshot: "a"})
			case lifecycle.DoStop:
				tr.done(lifecycle.Outcome{OK: true, Wall: tr.now})
			default:
				r := tr.round
				if wait := tr.state.Deadline.Sub(tr.now); wait > 0 {
					tr.now = tr.now.Add(wait - 1)
					tr.step(lifecycle.Event{Round: &r})
					tr.now = tr.now.Add(1) // Not a moment too early.
				} else {
					tr.now = tr.now.Add(time.Second)
				}
				tr.step(lifecycle.Event{Round: &r})
			}
		}
		if want := startsByOracle(p, starts[0], len(starts)); !slices.Equal(starts, want) {
			t.Fatalf("burst %d in %s, gaps from %s by %v to %s:\nstarts at %v\nshould be %v", p.StartLimitBurst,
				p.StartLimitInterval, p.BackoffDelay, p.BackoffFactor, p.BackoffLimit, starts, want)
		}
	})
}

func startsByOracle(p lifecycle.Policy, first time.Duration, n int) []time.Duration {
	starts := []time.Duration{first}
	for len(starts) < n {
		gap := p.BackoffDelay
		for range len(starts) - 1 {
			gap *= time.Duration(p.BackoffFactor)
			if gap > p.BackoffLimit {
				gap = p.BackoffLimit
				break
			}
		}
		at := starts[len(starts)-1] + gap
		for ; ; at += time.Second {
			within := 1
			for _, s := range starts {
				if at-s < p.StartLimitInterval {
					within++
				}
			}
			if within <= p.StartLimitBurst {
				break
			}
		}
		starts = append(starts, at)
	}
	return starts
}

// TestProbationOracle: the proof comes with the first round that has a healthy
// one at least the probation before it and no unhealthy one since that.
func TestProbationOracle(t *testing.T) {
	oracle(t, func(t *rapid.T) {
		p := lifecycle.DefaultPolicy()
		p.Threshold = 100 // It is not death that is asked for here.
		type probe struct {
			at     time.Duration
			result deadman.Result
		}
		var probes []probe
		tr := servingTrace(p)
		tr.round.Live.Hash, tr.round.Live.Identity = "hash-B", "B" // Another version, on another process.
		tr.round.Process.PID, tr.round.StartedAt = 2, tr.now
		tr.round.Live.Changed = tr.now.Add(-time.Minute)
		tr.round.Live.Written = tr.round.Live.Changed
		for range 30 {
			tr.now = tr.now.Add(time.Duration(rapid.IntRange(1, 45).Draw(t, "after")) * time.Second)
			r := tr.round
			r.Alive = rapid.SampledFrom([]deadman.Result{
				deadman.Healthy, deadman.Healthy, deadman.Healthy, deadman.Healthy, deadman.Unknown, deadman.Unhealthy,
			}).Draw(t, "result")
			probes = append(probes, probe{tr.now.Sub(epoch), r.Alive})
			tr.step(lifecycle.Event{Round: &r})
			if tr.state.Pending.Kind == lifecycle.DoCapture {
				tr.done(lifecycle.Outcome{OK: true, Live: tr.round.Live, Snapshot: "b"})
				tr.step(lifecycle.Event{Round: &r}) // As a guard does after a deed well done.
			}
			want := false
			for i, from := range probes {
				if from.result == deadman.Healthy && tr.now.Sub(epoch)-from.at >= p.Probation && r.Alive == deadman.Healthy &&
					!slices.ContainsFunc(probes[i:], func(p probe) bool { return p.result == deadman.Unhealthy }) {
					want = true
				}
			}
			if got := tr.state.Pending.Kind == lifecycle.DoPromote; got != want {
				t.Fatalf("after %v: promoted is %v, should be %v", probes, got, want)
			}
			if want {
				return
			}
		}
	})
}

// serving is a trace whose agent has been proven on A and serves.
var serving = sync.OnceValue(func() trace {
	tr := newTrace()
	if _, err := tr.given([]string{"A"}); err != nil {
		panic(err)
	}
	return *tr
})

func servingTrace(p lifecycle.Policy) *trace {
	tr := serving() // A copy: all of it is plain values, and Step changes none.
	tr.policy = p
	return &tr
}

func (tr *trace) step(ev lifecycle.Event) {
	tr.state, _ = lifecycle.Step(tr.policy, tr.state, tr.now, ev)
}

func (tr *trace) done(o lifecycle.Outcome) {
	o.Kind, o.Attempt = tr.state.Pending.Kind, tr.state.Pending.Attempt
	tr.step(lifecycle.Event{Outcome: &o})
}

// die has the agent die and be started again on what is there.
func (tr *trace) die() {
	for range 2 {
		tr.now = tr.now.Add(30 * time.Second)
		tr.step(lifecycle.Event{Round: &lifecycle.Round{Presence: deadman.Gone, Alive: deadman.Unhealthy, Boot: "b1", Restarts: -1, Live: tr.round.Live}})
	}
	tr.done(lifecycle.Outcome{OK: true, Wall: tr.now})
	tr.done(lifecycle.Outcome{OK: true, Live: tr.round.Live, Snapshot: "a"})
	tr.done(lifecycle.Outcome{OK: true, Process: deadman.Process{PID: 9, Boot: "b1"}})
}
