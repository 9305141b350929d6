package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
)

const (
	// reapWait is how long the parent of a dead process may take to reap it: only
	// then does the kernel tell others how it ended.
	reapWait = 100 * time.Millisecond
	// pollPeriod paces the watch on a kernel without pidfd.
	pollPeriod = 250 * time.Millisecond
)

// Watch waits for the end of p, our child or not. The channel gets one Exit, at
// once if p is already gone, and is closed; when ctx ends first it is closed
// without. It costs a descriptor and no thread.
func Watch(ctx context.Context, p deadman.Process) <-chan Exit {
	out := make(chan Exit, 1)
	fd, err := open(p)
	switch {
	case errors.Is(err, ErrGone):
		out <- Exit{At: Uptime()}
		close(out)
	case err != nil:
		go poll(ctx, p, out)
	default:
		go await(ctx, p, fd, out)
	}
	return out
}

// open returns a pidfd of p. The start time is compared after it was opened:
// from then on the pid cannot go to another process unnoticed. The descriptor
// does not survive an exec (the kernel sees to that).
func open(p deadman.Process) (int, error) {
	if p.PID <= 0 {
		return -1, ErrGone
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("cannot open process %d: %w", p.PID, err)
	}
	switch Alive(p) {
	case deadman.Running:
		return fd, nil
	case deadman.Gone:
		err = ErrGone
	default:
		err = fmt.Errorf("%w %d", ErrUnseen, p.PID)
	}
	unix.Close(fd)
	return -1, err
}

func await(ctx context.Context, p deadman.Process, fd int, out chan<- Exit) {
	// Non-blocking, so that the runtime's poller takes it.
	_ = unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool { return ended(int(fd)) })
	}
	if err != nil { // ctx ended, or the poller would not have it
		poll(ctx, p, out)
		return
	}
	exit := Exit{At: Uptime()}
	_ = conn.Control(func(fd uintptr) { exit = howEnded(int(fd), exit.At) })
	out <- exit
	close(out)
}

// ended reports whether the process of a pidfd has ended.
func ended(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0
}

// howEnded asks how the process of a pidfd ended. The kernel knows from the
// moment it is reaped, which is the parent's business and may take it a while.
func howEnded(fd int, at time.Duration) Exit {
	for deadline := Uptime() + reapWait; ; time.Sleep(time.Millisecond) {
		ask := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		err := unix.IoctlPidfdInfo(fd, &ask)
		if err == nil && ask.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return ExitOf(syscall.WaitStatus(ask.Exit_code), at)
		}
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || Uptime() > deadline {
			return Exit{At: at}
		}
	}
}

func poll(ctx context.Context, p deadman.Process, out chan<- Exit) {
	defer close(out)
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if Alive(p) == deadman.Gone {
			out <- Exit{At: Uptime()}
			return
		}
	}
}

// Signal sends sig to p and to no other process that may have got its pid.
// ErrGone when p is gone.
func Signal(p deadman.Process, sig syscall.Signal) error {
	fd, err := open(p)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.3: as near as it gets
		if Alive(p) != deadman.Running {
			return ErrGone
		}
		return sent(p, unix.Kill(p.PID, sig))
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return sent(p, unix.PidfdSendSignal(fd, sig, nil, 0))
}

func sent(p deadman.Process, err error) error {
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case err != nil:
		return fmt.Errorf("cannot signal process %d: %v", p.PID, err)
	}
	return nil
}
