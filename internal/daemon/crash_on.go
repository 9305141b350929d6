//go:build crashtest

package daemon

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var crashPoints atomic.Int64

// crashPoint kills the process at the n-th point, n from $DEADMAN_CRASH.
func crashPoint() {
	n, err := strconv.ParseInt(os.Getenv("DEADMAN_CRASH"), 10, 64)
	if err == nil && crashPoints.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
