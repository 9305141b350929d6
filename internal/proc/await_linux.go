package proc

import (
	"context"

	"golang.org/x/sys/unix"
)

// AwaitEnd waits until a child has ended, without reaping it, or ctx has. It
// reports whether the child was first. Until the caller reaps it, its pid and its
// group are its own and may be signalled by number.
func AwaitEnd(ctx context.Context, pid int) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if err != unix.EINTR {
				return
			}
		}
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}
