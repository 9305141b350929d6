//go:build linux && (amd64 || arm64)

package crash_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/simtest/crash"
)

// fault is how a disk fails: with what, and whether it goes on failing.
type fault struct {
	errno  unix.Errno
	always bool
}

func (f fault) String() string {
	if f.always {
		return unix.ErrnoName(f.errno) + " from there on"
	}
	return unix.ErrnoName(f.errno) + " once"
}

var diskFaults = []fault{
	{unix.ENOSPC, false},
	{unix.EIO, true},
	{unix.EROFS, false},
	{unix.EDQUOT, true},
	{unix.EIO, false},
	{unix.ENOSPC, true},
	{unix.EDQUOT, false},
	{unix.EROFS, true},
}

// onDisks are the scenarios that are run on failing disks.
var onDisks = []string{"recover", "first-capture", "capture", "promote", "deliver"}

// TestDisks has the disk fail at each call that writes, syncs, makes or moves a
// name, and judges what deadman makes of it, then and once the disk is well again.
func TestDisks(t *testing.T) {
	wanted(t, "faults")
	p, err := build(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	some := slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return !slices.Contains(onDisks, s.name) })
	r := newRounds(t, p, some)
	counts := make([]int, len(some))
	r.each(func(i int, w *world) {
		var err error
		if counts[i], err = w.countDisk(some[i]); err != nil {
			t.Errorf("%s: nothing fails: %v", some[i].name, err)
		}
	})
	if t.Failed() {
		return
	}
	// A scenario's points are all calls with the first fault, then with the next:
	// so an even sample has all of both.
	all := make([]int, len(counts))
	there := 0
	for i, n := range counts {
		all[i] = n * len(diskFaults)
		there += all[i]
	}
	sample := crash.Sample(all, *points)
	todo := make([][]int, len(some))
	for _, point := range sample {
		todo[point.Scenario] = append(todo[point.Scenario], point.N-1)
	}
	var mu sync.Mutex
	injected, violations := 0, 0
	r.each(func(i int, w *world) {
		for _, k := range todo[i] {
			f, n := diskFaults[k/counts[i]], k%counts[i]+1
			refused, err := w.failing(some[i], n, f)
			mu.Lock()
			injected += refused
			if err != nil {
				violations++
				t.Errorf("%s:%d: %v: %v", some[i].name, n, f, err)
			}
			mu.Unlock()
		}
	})
	for i, s := range some {
		t.Logf("%-14s %4d calls, %4d faults, %d tried", s.name, counts[i], all[i], len(todo[i]))
	}
	t.Logf("faults: %d there, %d tried, %d calls refused, %d violations", there, len(sample), injected, violations)
}

// countDisk lets the deed go, and returns how many calls a disk could refuse.
func (w *world) countDisk(s scenario) (n int, err error) {
	_, err = w.letGo(s, func(_ int, h crash.Held) crash.Verdict {
		if h.OnDisk() && w.disk(h) != "" {
			n++
		}
		return crash.Verdict{}
	})
	return n, err
}

// disk is the one that a call is on: the config's, the state's, request_log's. ""
// is any other.
func (w *world) disk(h crash.Held) string {
	for _, dir := range kept {
		if h.Path == w.path(dir) || strings.HasPrefix(h.Path, w.path(dir)+"/") {
			return dir
		}
	}
	return ""
}

// said is how a failure is told: what cannot be done, and the system's word.
var said = regexp.MustCompile(`(?m)cannot .*(no space left|input/output error|read-only file system|disk quota exceeded|disk I/O error|database or disk is full|readonly database|unable to open database)`)

// failing has the disk refuse the n-th of those calls of the deed, and returns how
// many were refused.
func (w *world) failing(s scenario, n int, f fault) (refused int, err error) {
	if err := w.reset(); err != nil {
		return 0, err
	}
	if err := s.begin(w); err != nil {
		return 0, fmt.Errorf("cannot begin: %w", err)
	}
	want := s.want(w)
	before := len(w.starts())
	k, broken, at := 0, "", crash.Held{}
	o, err := w.held(func(_ int, h crash.Held) crash.Verdict {
		disk := w.disk(h)
		if !h.OnDisk() || disk == "" {
			return crash.Verdict{}
		}
		k++
		full := f.errno == unix.ENOSPC || f.errno == unix.EDQUOT
		switch {
		case k == n:
			broken, at = disk, h
		case !f.always || broken != disk || full && h.Frees():
			return crash.Verdict{}
		}
		refused++
		return crash.Verdict{Refuse: f.errno}
	}, s.deed(w)...)
	if err != nil {
		return refused, err
	}
	err = w.judgeFailing(want, o)
	if on := w.starts()[before:]; err == nil && !f.always && slices.ContainsFunc(on, func(name string) bool { return !named(name, want.live) }) {
		err = fmt.Errorf("one call has failed, and the agent is started on %q", on)
	}
	if err != nil {
		return refused, fmt.Errorf("at %s: exit %d: %w\n%s%s%s", at, o.Exit, err, o.Stdout, o.Stderr, w.story())
	}
	// The disk is well again.
	want.starts, want.on, want.failed = nil, w.names, true
	if err := w.heal(roundsAfterDisk); err != nil {
		return refused, fmt.Errorf("at %s: %w\n%s%s", at, err, o.Stderr, w.story())
	}
	if err := w.judge(want, before); err != nil {
		return refused, fmt.Errorf("at %s: in the end: %w\n%s%s", at, err, o.Stderr, w.story())
	}
	return refused, nil
}

// judgeFailing judges a run on a disk that fails: it neither crashes nor hangs, and
// either does what it is there for or says what it could not do.
func (w *world) judgeFailing(want want, o crash.Outcome) error {
	switch {
	case o.Hung:
		return fmt.Errorf("it hangs")
	case regexp.MustCompile(`(?m)^(panic|fatal error|goroutine \d+)`).MatchString(o.Stderr):
		return fmt.Errorf("it crashes")
	case o.Exit != 0 && o.Exit != 1:
		return fmt.Errorf("it exits %d", o.Exit)
	}
	if err := w.judgeAt(); err != nil {
		return err
	}
	done := w.done(want)
	switch {
	case o.Exit == 1 && !said.MatchString(o.Stderr):
		return fmt.Errorf("it does not say clearly what it could not do")
	case done != nil && o.Exit == 0 && !said.MatchString(o.Stderr):
		return fmt.Errorf("it says nothing, and yet: %w", done)
	}
	return nil
}

// done is whether the deed has come to what it is there for.
func (w *world) done(want want) error {
	live, err := w.live()
	if err != nil {
		return err
	}
	if !among(live, want.live) {
		return fmt.Errorf("live is %s", live.name)
	}
	if err := w.answers(); err != nil {
		return err
	}
	return w.judgeStore(want)
}
