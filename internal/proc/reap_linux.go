package proc

import (
	"context"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
)

// orphanPeriod is how long a dead child is left to whoever started it and waits
// for it, which takes milliseconds. After that nobody does.
const orphanPeriod = time.Second

// ReapOrphans does the duty of a namespace's first process until ctx ends: the
// kernel gives it every process whose parent has ended, and one that it does not
// reap stays a zombie for ever. A child that this program started and waits for
// is left to it.
func ReapOrphans(ctx context.Context) {
	ticker := time.NewTicker(orphanPeriod)
	defer ticker.Stop()
	var before []deadman.Process
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			before = reap(before)
		}
	}
}

// reap reaps the dead children that were so before already, and returns those
// that are left.
func reap(before []deadman.Process) []deadman.Process {
	var info unix.Siginfo
	// None is dead: the usual answer, at the price of one system call.
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo == 0 {
		return nil
	}
	var left []deadman.Process
	for _, p := range deadChildren() {
		if !slices.Contains(before, p) {
			left = append(left, p)
			continue
		}
		// The pid is nobody else's until this.
		_, _ = syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil)
	}
	return left
}

// deadChildren are the zombies whose parent we are.
func deadChildren() []deadman.Process {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var dead []deadman.Process
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		if s, err := Read(pid); err == nil && s.Dead() && s.Parent == os.Getpid() {
			dead = append(dead, s.Process)
		}
	}
	return dead
}
