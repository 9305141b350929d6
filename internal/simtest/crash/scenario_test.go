//go:build linux && (amd64 || arm64)

package crash_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"deadman"
)

// scenario is something that deadman does to a world, and can be stopped in.
type scenario struct {
	name string
	// timeout is that of a probe; "" is as long as the period.
	timeout string
	// prepare makes the world that each run begins with; the agent is dead then.
	// begin is what comes right before the deed.
	prepare, begin func(w *world) error
	deed           func(w *world) []string
	want           func(w *world) want
}

// probe is how long a probe may take.
func (s scenario) probe() string {
	if s.timeout == "" {
		return "1s"
	}
	return s.timeout
}

// want is what must hold when all is over.
type want struct {
	// live are the versions that may be live, known those that may be the known
	// good, kept those that must not be lost.
	live, known, kept []version
	// starts is how often deadman starts the agent; none: as often as it likes.
	starts []int
	// on are the versions that it may be started on; none: what may be live.
	on []version
	// failed says that the log may tell of an attempt that failed.
	failed bool
	// rollbacks is how many rollbacks the log tells of, and so does request_log.
	rollbacks []int
	// told says that a message of each rollback arrives.
	told bool
	// again is that the deed is done once more, and must come out well then.
	again bool
}

func check(*world) []string { return []string{"check"} }

// proven has the first version proven.
func proven(w *world) error {
	if err := errors.Join(w.edit(w.good(1)), w.startAgent()); err != nil {
		return err
	}
	return prove(w)
}

// prove checks until what is live is the proven known good.
func prove(w *world) error {
	return until(func() error {
		if err := w.check(); err != nil {
			return err
		}
		a, err := w.report()
		if err != nil {
			return err
		}
		if a.KnownGood == nil || a.Live == nil || a.KnownGood.Standing != deadman.Proven || a.KnownGood.Hash != a.Live.Hash {
			return fmt.Errorf("it is not proven: %+v", a)
		}
		return nil
	})
}

// running has the agent run on the first version again.
func running(w *world) error { return errors.Join(w.startAgent(), w.check()) }

// editedTo has it run on the first, and then another version is written.
func editedTo(n int) func(w *world) error {
	return func(w *world) error { return errors.Join(running(w), w.edit(w.good(n))) }
}

// died is that it broke its config and died.
func died(w *world) error { return w.edit(w.broken()) }

// recovered is what a recovery comes to.
func recovered(w *world) want {
	return want{
		live: []version{w.good(1)}, known: []version{w.good(1)}, kept: []version{w.good(1), w.broken()},
		starts: []int{1}, rollbacks: []int{1}, told: true,
	}
}

// untouched is what a capture comes to that leaves the agent alone.
func untouched(live, known version, kept ...version) want {
	return want{live: []version{live}, known: []version{known}, kept: append(kept, live, known), starts: []int{0}, rollbacks: []int{0}}
}

// scenarios are all of them.
var scenarios = []scenario{
	{name: "recover", prepare: proven, begin: died, deed: check, want: recovered},
	{
		name: "recover-hung", timeout: "300ms", prepare: proven,
		begin: func(w *world) error {
			if err := running(w); err != nil {
				return err
			}
			for _, pid := range w.agents() {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					return err
				}
			}
			return w.edit(w.broken())
		},
		deed: check, want: recovered,
	},
	{
		name:    "first-capture",
		prepare: func(w *world) error { return w.edit(w.good(1)) },
		begin:   (*world).startAgent, deed: check,
		want: func(w *world) want { return untouched(w.good(1), w.good(1)) },
	},
	{
		name: "capture", prepare: proven, begin: editedTo(2), deed: check,
		want: func(w *world) want { return untouched(w.good(2), w.good(1)) },
	},
	{
		name: "promote", prepare: proven,
		begin: func(w *world) error {
			err := errors.Join(w.edit(w.good(2)), w.startAgent(), w.check())
			time.Sleep(time.Second) // the probation
			return err
		},
		deed: check,
		want: func(w *world) want { return untouched(w.good(2), w.good(2), w.good(1)) },
	},
	{
		name: "retain",
		prepare: func(w *world) error {
			if err := proven(w); err != nil {
				return err
			}
			for n := 2; n <= 5; n++ {
				if err := errors.Join(w.edit(w.good(n)), w.check()); err != nil {
					return err
				}
			}
			return w.edit(w.good(5))
		},
		begin: func(w *world) error {
			return errors.Join(w.startAgent(), w.check(), w.edit(w.good(6)))
		},
		deed: check,
		want: func(w *world) want {
			// The first stays as the one proven last but one, if the fifth is by now.
			want := untouched(w.good(6), w.good(1), w.good(5))
			want.known = append(want.known, w.good(5))
			return want
		},
	},
	{
		name: "deliver", prepare: proven,
		begin: func(w *world) error {
			w.hook.set(true)
			err := errors.Join(died(w), os.Mkdir(w.path("log/request_log.db"), 0o755))
			if err != nil {
				return err
			}
			if _, stderr, exit, err := w.run("check"); exit != 0 || err != nil {
				return fmt.Errorf("check exits %d: %v: %s", exit, err, stderr)
			}
			w.hook.set(false)
			time.Sleep(time.Second) // the probation
			return os.Remove(w.path("log/request_log.db"))
		},
		deed: check,
		want: func(w *world) want {
			want := recovered(w)
			want.starts = []int{0}
			return want
		},
	},
	{
		name: "accept", prepare: proven, begin: editedTo(2),
		deed: func(*world) []string { return []string{"accept", "a"} },
		want: func(w *world) want {
			want := untouched(w.good(2), w.good(2), w.good(1))
			want.known, want.again = append(want.known, w.good(1)), true
			return want
		},
	},
	{
		name: "restore", prepare: proven,
		begin: func(w *world) error { return errors.Join(editedTo(2)(w), w.check()) },
		deed: func(w *world) []string {
			return []string{"restore", "a", w.snapshotOf(w.good(1))}
		},
		want: byHand,
	},
	{
		name: "rollback", prepare: proven,
		begin: func(w *world) error { return errors.Join(editedTo(2)(w), w.check()) },
		deed:  func(*world) []string { return []string{"rollback", "a"} },
		want:  byHand,
	},
}

// byHand is what a person's word comes to: it was heard, or it was not.
func byHand(w *world) want {
	return want{
		live: []version{w.good(1), w.good(2)}, known: []version{w.good(1)}, kept: []version{w.good(1), w.good(2)},
		starts: []int{1, 0}, rollbacks: []int{1, 0}, again: true,
	}
}
