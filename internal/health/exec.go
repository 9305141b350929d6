package health

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"deadman/internal/proc"
)

// Exec is healthy when a command ends with status 0, unhealthy with any other
// and when it does not end in time. It is unknown when the command told nothing
// about the agent: it cannot be run, its shell could not run it (126, 127), or a
// signal that was not ours killed it.
//
// The command gets a session of its own, nothing on stdin, and nobody reads its
// output. When it ends, or its time is up, its whole process group is killed.
type Exec struct {
	Command []string
	// Dir is where it runs; empty is deadman's own directory.
	Dir string
	// Env is added to deadman's own environment.
	Env map[string]string
}

// Statuses by which a shell says that it did not run the command.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

func (*Exec) kind() Kind { return KindExec }

func (c *Exec) probe(ctx context.Context, _ time.Time, _ Owner) finding {
	if len(c.Command) == 0 {
		return unknown("there is no command")
	}
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = os.Environ()
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		cmd.Env = append(cmd.Env, name+"="+c.Env[name])
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return unknown("the command cannot be run")
	}
	timely := proc.AwaitEnd(ctx, cmd.Process.Pid)
	// Not reaped yet, so the group is still its own: no other can be hit.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch code := status.ExitStatus(); {
	case !timely:
		return unhealthy("the command did not end in time")
	case status.Signaled():
		return unknown("the command was killed (%s)", status.Signal())
	case code == exitNotExecutable, code == exitNotFound:
		return unknown("the command cannot be run (exit %d)", code)
	case code != 0:
		return unhealthy("exit %d", code)
	}
	return healthy
}
