package guard_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"deadman"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
)

// sim is a small world in memory: an agent that starts only on valid configs,
// a store, and a disk. It is its own journal. It panics with crash at a chosen
// point, before or after it has done a thing, as a process that dies there.
type sim struct {
	live   string // a version; one that ends in "!" does not validate
	pid    int    // 0 is dead
	loaded string // what the process started on
	stored map[string]bool
	known  string

	saved lifecycle.State
	saves int
	// log is what happened, in order.
	log []string
	// fuse counts down; at zero the guard dies there.
	fuse int
	// starts counts starts; twice says that two processes were ever alive.
	starts int
	twice  bool
}

var errCrash = errors.New("crashed")

func newSim() *sim {
	return &sim{live: "A", pid: 1, loaded: "A", stored: map[string]bool{}, fuse: -1}
}

// point is a place where the guard may die.
func (w *sim) point() {
	if w.fuse == 0 {
		panic(errCrash)
	}
	w.fuse--
}

func config(name string) lifecycle.Live {
	l := lifecycle.Live{Config: lifecycle.Config{Hash: name, Identity: name}, Valid: deadman.Healthy, Settled: true}
	if name[len(name)-1] == '!' {
		l.Valid = deadman.Unhealthy
	}
	return l
}

func (w *sim) Observe(context.Context, lifecycle.State) (lifecycle.Round, error) {
	r := lifecycle.Round{Boot: "b", Restarts: -1, Presence: deadman.Gone, Alive: deadman.Unhealthy, Live: config(w.live)}
	r.Live.Changed = time.Unix(100, 0).UTC()
	r.Live.Written = r.Live.Changed
	if w.pid != 0 {
		r.Presence, r.Alive = deadman.Running, deadman.Healthy
		r.Process = deadman.Process{PID: w.pid, Boot: "b"}
		r.StartedAt = time.Unix(200, 0).UTC()
	}
	return r, nil
}

func (w *sim) Do(_ context.Context, s lifecycle.State, resumed bool) (lifecycle.Outcome, error) {
	w.point()
	defer w.point()
	p := s.Pending
	w.log = append(w.log, "do "+string(p.Kind))
	if !reflect.DeepEqual(s.Pending, w.saved.Pending) {
		return lifecycle.Outcome{}, fmt.Errorf("%s was not recorded before it was done", p.Kind)
	}
	o := lifecycle.Outcome{OK: true, Live: config(w.live), Wall: time.Unix(300, 0).UTC()}
	switch p.Kind {
	case lifecycle.DoCapture, lifecycle.DoKeep:
		w.stored[w.live] = true
		o.Snapshot = w.live
		if w.known != "" {
			o.Shelf = []lifecycle.Target{{Config: lifecycle.Config{Snapshot: w.known, Hash: w.known, Identity: w.known}, Proven: true, Valid: deadman.Healthy}}
		}
	case lifecycle.DoPromote:
		w.known = p.Snapshot
	case lifecycle.DoStop:
		w.pid = 0
	case lifecycle.DoRestore:
		if !w.stored[w.live] {
			return o, fmt.Errorf("%s was overwritten and is nowhere stored", w.live)
		}
		w.live = p.Snapshot
		o.Live = config(w.live)
	case lifecycle.DoStart:
		if w.pid != 0 && !resumed {
			w.twice = true
		}
		if w.pid == 0 {
			w.starts++
			w.pid, w.loaded = 100+w.starts, w.live
		}
		o.Process = deadman.Process{PID: w.pid, Boot: "b"}
	}
	return o, nil
}

func (w *sim) Save(_ context.Context, step guard.Step) error {
	w.point()
	w.saved = step.After
	w.saves++
	w.point()
	return nil
}

// once runs a guard until it is at rest or dies; it reports whether it died.
func (w *sim) once(t *testing.T) (died bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if r != errCrash {
				panic(r)
			}
			died = true
		}
	}()
	g := w.guard()
	if err := g.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	return false
}

func (w *sim) guard() *guard.Guard {
	return &guard.Guard{Policy: lifecycle.DefaultPolicy(), World: w, Journal: w, Now: time.Now, State: w.saved}
}

// prove brings the world to a proven known good.
func (w *sim) prove(t *testing.T) {
	t.Helper()
	w.once(t)
	time.Sleep(2 * time.Minute)
	w.once(t)
	if w.known != "A" || w.saved.Known.Provisional {
		t.Fatalf("A is not proven: %+v", w.saved.Known)
	}
}

// TestCrashAtEveryStep kills the guard before and after everything that a
// recovery records or does. The next one finishes it: the agent is up on the
// known good, by one process, and nothing that was live is lost.
func TestCrashAtEveryStep(t *testing.T) {
	for fuse := 0; ; fuse++ {
		done := false
		synctest.Test(t, func(t *testing.T) {
			w := newSim()
			w.prove(t)
			w.live, w.pid = "B!", 0
			w.fuse = fuse
			done = !w.once(t)
			w.fuse = -1
			w.once(t)
			if w.live != "A" || w.pid == 0 || w.loaded != "A" || w.starts != 1 || w.twice || !w.stored["B!"] {
				t.Errorf("killed at point %d: live %q, pid %d on %q, %d starts, twice %v, stored %v\n%v",
					fuse, w.live, w.pid, w.loaded, w.starts, w.twice, w.stored, w.log)
			}
			if w.saved.Phase != deadman.Probation {
				t.Errorf("killed at point %d: %s, not in probation", fuse, w.saved.Phase)
			}
		})
		if done {
			if fuse < 12 {
				t.Fatalf("the recovery had only %d points", fuse)
			}
			return
		}
	}
}

// TestSteadyHealthSavesNothing: a day of healthy rounds leaves the journal as
// it is.
func TestSteadyHealthSavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSim()
		w.prove(t)
		w.once(t)
		saves := w.saves
		ctx, stop := context.WithTimeout(t.Context(), 24*time.Hour)
		defer stop()
		rounds := 0
		err := w.guard().Watch(ctx, nil, nil, func(err error) {
			if err != nil {
				t.Error(err)
			}
			rounds++
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if w.saves != saves || rounds < 2800 {
			t.Errorf("%d rounds saved %d steps", rounds, w.saves-saves)
		}
	})
}

// TestWakeIsHeard: a hint leads to a look at once, and a death that it tells of
// is recovered from without waiting for the period.
func TestWakeIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSim()
		w.prove(t)
		ctx, stop := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		ended := make(chan error)
		g := w.guard()
		go func() { ended <- g.Watch(ctx, wake, nil, func(error) {}) }()
		synctest.Wait()
		began := time.Now()
		w.live, w.pid = "B!", 0
		wake <- struct{}{}
		synctest.Wait()
		if w.pid == 0 || w.live != "A" {
			t.Errorf("not back at once: pid %d on %q", w.pid, w.live)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v of waiting", took)
		}
		stop()
		<-ended
	})
}

// TestNothingIsDoneThatCannotBeSaved: without a journal there are no deeds.
func TestNothingIsDoneThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSim()
		w.prove(t)
		w.live, w.pid = "B!", 0
		before := len(w.log)
		g := w.guard()
		g.Journal = full{}
		if err := g.Once(t.Context()); !errors.Is(err, errFull) {
			t.Errorf("error %v", err)
		}
		if len(w.log) != before {
			t.Errorf("did %v", w.log[before:])
		}
	})
}

var errFull = errors.New("no space")

type full struct{}

func (full) Save(context.Context, guard.Step) error { return errFull }
