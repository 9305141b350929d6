package proc

import (
	"errors"
	"time"

	"deadman"
)

var (
	// ErrGone: there is no such process. A zombie is no process any more.
	ErrGone = errors.New("cannot find the process")
	// ErrUnseen: there may be an answer, and it is not ours to see.
	ErrUnseen = errors.New("cannot see the process")
)

// Tick is the grain of a start time from /proc. The kernel cuts off, so the true
// start is at or after Process.Start, by less than a Tick.
const Tick = 10 * time.Millisecond

// Stat is one reading of a process.
type Stat struct {
	deadman.Process
	// Comm is the name the kernel shows, at most 15 bytes, which the process may
	// have chosen itself: fit for telling a person, never for an identity.
	Comm string
	// State is the letter of proc(5): R, S, D, T, Z …
	State byte
	// Threads counts those that have not exited.
	Threads int
	// Parent, Group and Session are pids.
	Parent, Group, Session int
}

// Dead reports whether nothing of the process runs any more. The main thread may
// have exited before the others; that looks like a zombie and is not one.
func (s Stat) Dead() bool {
	return (s.State == 'Z' || s.State == 'X') && s.Threads <= 1
}

// WallOf is the wall time of a moment that is start after boot (Process.Start),
// by the offset that holds now between the wall clock and [Uptime], both read
// together. It is as good as nobody having set the clock since; compare it with
// the times of files only with that in mind.
func WallOf(start time.Duration, wall time.Time, uptime time.Duration) time.Time {
	return wall.Add(start - uptime)
}

// Alive says whether p, and not another process that got its pid, is there.
// Running: same pid, start and boot, and not a zombie. Gone: certainly not; the
// zero Process is gone. Obscured: cannot see.
func Alive(p deadman.Process) deadman.Presence {
	if p.IsZero() {
		return deadman.Gone
	}
	boot, err := BootID()
	if err != nil || p.Boot == "" {
		return deadman.Obscured
	}
	if boot != p.Boot {
		return deadman.Gone
	}
	s, err := Read(p.PID)
	switch {
	case errors.Is(err, ErrGone):
		return deadman.Gone
	case err != nil:
		return deadman.Obscured
	case s.Start != p.Start || s.Dead():
		return deadman.Gone
	}
	return deadman.Running
}

// Look names the process that has pid now. ErrGone when there is none, when it is
// a zombie, and when the number is that of a mere thread.
func Look(pid int) (deadman.Process, error) {
	s, err := Read(pid)
	if err != nil {
		return deadman.Process{}, err
	}
	if s.Dead() {
		return deadman.Process{}, ErrGone
	}
	st, err := readStatus(pid)
	if err != nil {
		return deadman.Process{}, err
	}
	if st.leader != pid {
		return deadman.Process{}, ErrGone
	}
	return s.Process, nil
}
