package proc

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is the end of a process.
type Exit struct {
	// At is the time since boot at which it was seen.
	At time.Duration
	// Known tells whether the rest is: the parent learns it always, anybody else
	// only from a kernel with PIDFD_INFO_EXIT (Linux 6.15), and only if the process
	// was being watched when it ended. Not known is never "exit 0".
	Known bool
	// Code is the exit status, 0 to 255, when Signal is 0.
	Code int
	// Signal is what killed the process, or 0.
	Signal syscall.Signal
}

// ExitOf is the end that a wait status reports.
func ExitOf(ws syscall.WaitStatus, at time.Duration) Exit {
	if ws.Signaled() {
		return Exit{At: at, Known: true, Signal: ws.Signal()}
	}
	return Exit{At: at, Known: true, Code: ws.ExitStatus()}
}

// String is "exit 1", "killed by SIGSEGV", or "" when not known.
func (e Exit) String() string {
	switch {
	case !e.Known:
		return ""
	case e.Signal != 0:
		name := unix.SignalName(e.Signal)
		if name == "" {
			name = fmt.Sprintf("signal %d", int(e.Signal))
		}
		return "killed by " + name
	}
	return fmt.Sprintf("exit %d", e.Code)
}
