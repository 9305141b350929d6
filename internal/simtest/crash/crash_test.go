//go:build linux && (amd64 || arm64)

package crash_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"deadman/internal/simtest/crash"
)

var (
	points   = flag.Int("points", 0, "how many points, evenly taken; 0 is all")
	parallel = flag.Int("worlds", 6, "how many worlds at once")
	only     = flag.String("only", "", "only this scenario, or this planted fault")
)

// TestCrash kills deadman before each of its calls that changes the world, and has
// the next runs make good whatever that left.
func TestCrash(t *testing.T) {
	wanted(t, "crash")
	p, err := build(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	r := newRounds(t, p, scenarios)
	counts := make([]int, len(scenarios))
	r.each(func(i int, w *world) {
		o, err := w.letGo(scenarios[i], nil)
		if err != nil {
			t.Errorf("%s: nobody kills it: %v\n%s", scenarios[i].name, err, w.story())
		}
		counts[i] = o.Calls
	})
	if t.Failed() {
		return
	}
	there := 0
	for _, n := range counts {
		there += n
	}
	todo := make([][]int, len(scenarios))
	sample := crash.Sample(counts, *points)
	for _, point := range sample {
		todo[point.Scenario] = append(todo[point.Scenario], point.N)
	}
	var mu sync.Mutex
	reached, violations, slowest := 0, 0, time.Duration(0)
	r.each(func(i int, w *world) {
		for _, n := range todo[i] {
			at := time.Now()
			killed, err := w.crash(scenarios[i], n)
			mu.Lock()
			slowest = max(slowest, time.Since(at))
			if killed {
				reached++
			}
			if err != nil {
				violations++
				t.Errorf("%s:%d: %v", scenarios[i].name, n, err)
			}
			mu.Unlock()
		}
	})
	for i, s := range scenarios {
		t.Logf("%-14s %4d points, %d tried", s.name, counts[i], len(todo[i]))
	}
	t.Logf("crash: %d points there, %d tried, %d reached, %d violations", there, len(sample), reached, violations)
	// A run may end earlier than the one that was counted, but not often.
	if reached < len(sample)*9/10 {
		t.Errorf("only %d points of %d were reached", reached, len(sample))
	}
}

// wanted skips a suite unless it is asked for and can be had.
func wanted(t *testing.T, suite string) {
	t.Helper()
	if os.Getenv("DEADMAN_RUN") != suite {
		t.Skipf("`make %s` runs it", suite)
	}
	if err := crash.Possible(); err != nil {
		t.Skip(err)
	}
}

// letGo has the deed done with nobody killing it, and judges it.
func (w *world) letGo(s scenario, decide func(int, crash.Held) crash.Verdict) (crash.Outcome, error) {
	if err := w.reset(); err != nil {
		return crash.Outcome{}, err
	}
	if err := s.begin(w); err != nil {
		return crash.Outcome{}, fmt.Errorf("cannot begin: %w", err)
	}
	want := s.want(w)
	before := len(w.starts())
	o, err := w.held(decide, s.deed(w)...)
	if err == nil && o.Exit != 0 {
		err = fmt.Errorf("exit %d: %s%s", o.Exit, o.Stdout, o.Stderr)
	}
	if err != nil {
		return o, err
	}
	want.again = false
	return o, w.judgeAll(s, want, before)
}

// crash kills the deed before its n-th call, and judges what becomes of it.
func (w *world) crash(s scenario, n int) (killed bool, err error) {
	if err := w.reset(); err != nil {
		return false, err
	}
	if err := s.begin(w); err != nil {
		return false, fmt.Errorf("cannot begin: %w", err)
	}
	want := s.want(w)
	before := len(w.starts())
	o, err := w.held(func(k int, _ crash.Held) crash.Verdict { return crash.Verdict{Kill: k == n} }, s.deed(w)...)
	if err != nil {
		return false, err
	}
	if o.Hung {
		return false, fmt.Errorf("it hangs: %s", o.Stderr)
	}
	if err := w.judgeAt(); err != nil {
		return o.Killed, fmt.Errorf("killed at %s: %w", o.At, err)
	}
	if err := w.judgeAll(s, want, before); err != nil {
		return o.Killed, fmt.Errorf("killed at %s: %w\n%s", o.At, err, w.story())
	}
	return o.Killed, nil
}

// judgeAll heals and judges, and does the deed again where that is asked.
func (w *world) judgeAll(s scenario, want want, before int) error {
	if err := w.heal(roundsAfterCrash); err != nil {
		return err
	}
	if err := w.judge(want, before); err != nil {
		return err
	}
	if !want.again {
		return nil
	}
	if stdout, stderr, exit, err := w.run(s.deed(w)...); err != nil || exit != 0 {
		return fmt.Errorf("done again it exits %d: %v: %s%s", exit, err, stdout, stderr)
	}
	live, err := w.live()
	if err == nil && live.name != want.live[0].name {
		err = fmt.Errorf("done again, live is %s", live.name)
	}
	if known, _ := filepath.EvalSymlinks(w.path("state/agents/a/last-known-good")); err == nil {
		var is version
		if is, err = w.setIn(known); err == nil && is.name != want.known[0].name {
			err = fmt.Errorf("done again, the known good is %s", is.name)
		}
	}
	return err
}

// story is the log of a world, for whoever has to find out.
func (w *world) story() string {
	out, _, _ := w.ask("history", "--all", "-n", "40")
	return out
}

// rounds are the worlds of all scenarios.
type rounds struct {
	t      *testing.T
	worlds []*world
}

func newRounds(t *testing.T, p programs, scenarios []scenario) *rounds {
	t.Helper()
	r := &rounds{t: t, worlds: make([]*world, len(scenarios))}
	t.Cleanup(func() {
		for _, w := range r.worlds {
			if w != nil {
				w.close()
			}
		}
	})
	for i, s := range scenarios {
		if *only != "" && *only != s.name {
			continue
		}
		dir := filepath.Join(t.TempDir(), s.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		w, err := newWorld(dir, p, s.probe())
		if err != nil {
			t.Fatal(err)
		}
		r.worlds[i] = w
	}
	r.each(func(i int, w *world) {
		if err := scenarios[i].prepare(w); err != nil {
			t.Errorf("%s: cannot prepare: %v", scenarios[i].name, err)
			return
		}
		if err := w.save(); err != nil {
			t.Errorf("%s: cannot save: %v", scenarios[i].name, err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return r
}

// each does something in every world, so many at once.
func (r *rounds) each(do func(i int, w *world)) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, *parallel)
	for i, w := range r.worlds {
		if w == nil {
			continue
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			do(i, w)
		})
	}
	wait.Wait()
}
