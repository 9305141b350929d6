package supervisor

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

const (
	// killWait is how long a process may take to end after SIGKILL before it is
	// called a survivor: it sits in the kernel, on a disk that does not answer.
	killWait = 5 * time.Second
	// The table of processes is read again and again while one waits, first often.
	paceFirst, paceLast = 5 * time.Millisecond, 100 * time.Millisecond
)

// terminate ends a family: SIGTERM, then after delay SIGKILL for who is left,
// again and again, because somebody may be forking. It returns who was killed and
// who is still there. spare has been told to end by somebody else: to many
// programs a second SIGTERM means something else than the first.
func terminate(ctx context.Context, f *family, delay time.Duration, spare deadman.Process) (killed []deadman.Process, left []proc.Stat, err error) {
	some, err := f.look()
	if err != nil || len(some) == 0 {
		return nil, nil, err
	}
	for _, s := range some {
		if s.Process == spare {
			continue
		}
		// A stopped process would see the SIGTERM only when it is continued.
		if proc.Signal(s.Process, syscall.SIGTERM) == nil {
			_ = proc.Signal(s.Process, syscall.SIGCONT)
		}
	}
	if left, err = await(ctx, f, delay, nil); err != nil || len(left) == 0 {
		return nil, left, err
	}
	left, err = await(ctx, f, killWait, func(s proc.Stat) {
		if proc.Signal(s.Process, syscall.SIGKILL) == nil && !slices.Contains(killed, s.Process) {
			killed = append(killed, s.Process)
		}
	})
	return killed, left, err
}

// await waits until nobody of a family is left, at most d, and does each to
// everybody who is, at every look.
func await(ctx context.Context, f *family, d time.Duration, each func(proc.Stat)) ([]proc.Stat, error) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		left, err := f.look()
		if err != nil || len(left) == 0 {
			return left, err
		}
		if each != nil {
			for _, s := range left {
				each(s)
			}
		}
		select {
		case <-ctx.Done():
			return left, fmt.Errorf("cannot finish the stop: %w", ctx.Err())
		case <-deadline.C:
			return f.look()
		case <-time.After(pace):
		}
	}
}

// report completes a stop: who is left, and who is on the port.
func report(killed []deadman.Process, left []proc.Stat, port int) StopReport {
	sockets, err := listening(port)
	r := StopReport{Killed: killed, PortFree: err == nil && len(sockets) == 0}
	for _, s := range left {
		r.Survivors = append(r.Survivors, Survivor{Process: s.Process, Program: s.Comm, Own: true})
	}
	holders, _ := proc.Holders(sockets)
	for _, h := range holders {
		if !slices.ContainsFunc(left, func(s proc.Stat) bool { return s.Process == h.Process }) {
			r.Survivors = append(r.Survivors, Survivor{Process: h.Process, Program: h.Comm})
		}
	}
	return r
}

// listening is proc.Listening for an agent that may have no port (0).
func listening(port int) ([]proc.Socket, error) {
	if port == 0 {
		return nil, nil
	}
	return proc.Listening(port)
}

// refusal says who is in the way of a start: somebody of the earlier life, or
// anybody on the port. nil when nobody is.
func refusal(f *family, port int) error {
	left, err := f.look()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return &Refused{Why: "is left of the agent's earlier life", PID: left[0].PID, Program: left[0].Comm}
	}
	sockets, err := listening(port)
	if err != nil || len(sockets) == 0 {
		return err
	}
	why := fmt.Sprintf("holds port %d", port)
	if holders, _ := proc.Holders(sockets); len(holders) > 0 {
		return &Refused{Why: why, PID: holders[0].PID, Program: holders[0].Comm}
	}
	return &Refused{Why: why}
}
