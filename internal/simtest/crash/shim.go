//go:build linux && (amd64 || arm64)

package crash

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ShimFailed is the exit status of a shim that could not become the program.
const ShimFailed = 111

// shimSocket is the descriptor on which the shim sends its listener. It does so by
// sendmsg, which the filter lets go: nobody can answer before the listener has
// arrived.
const shimSocket = 3

// Become installs the filter, sends the listener, and executes argv. It returns
// only where that cannot be done.
func Become(argv []string) error {
	// The filter is that of one thread, and so is what that thread executes.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot renounce privileges to come: %w", err)
	}
	listener, err := install(Filter())
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(shimSocket, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("cannot send the listener: %w", err)
	}
	unix.CloseOnExec(shimSocket)
	return fmt.Errorf("cannot execute %s: %w", argv[0], unix.Exec(argv[0], argv, os.Environ()))
}

// install puts the filter on this thread and returns its listener.
func install(program []unix.SockFilter) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, filterFlags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, fmt.Errorf("cannot install the filter: %w", errno)
	}
	return int(fd), nil
}

// filterFlags has the kernel give us a listener. Once a call has been told to us
// only what kills interrupts it, or the signals by which the Go runtime preempts
// threads would make one call two (Linux 5.19).
const filterFlags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

// Possible is why calls cannot be held on this machine; nil if they can.
func Possible() error {
	// No filter at all: a kernel that knows the flags says that it cannot be read.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, filterFlags, 0)
	if errno != unix.EFAULT {
		return fmt.Errorf("cannot hold system calls: seccomp user notifications cannot be had here: %w", errno)
	}
	return nil
}
