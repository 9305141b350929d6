//go:build !linux

package proc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitEnd waits until a child has ended, without reaping it, or ctx has. It
// reports whether the child was first. Until the caller reaps it, its pid and its
// group are its own and may be signalled by number. Without a wait that does not reap, an
// ended child is known by its session, which cannot be asked for any more.
func AwaitEnd(ctx context.Context, pid int) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := unix.Getsid(pid); errors.Is(err, unix.ESRCH) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
