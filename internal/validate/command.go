package validate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// dirWord in an argument of the validator stands for the directory to judge.
const dirWord = "{dir}"

// pipeGrace is how long the validator's output is waited for once it has
// ended itself: a child it left behind may hold on to it for ever.
const pipeGrace = time.Second

// Exit statuses by which shells and env(1) say that there was nothing to run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Command asks the user's validator about the config in dir. ok is true, and
// the finding zero, when it ends by itself with status 0. Otherwise the
// finding is KindCommandRefused if it ended with another status, and
// KindCommandUnknown if it gave no verdict: it could not be run (126 and 127 of a
// shell included), ran longer than timeout, or was killed by a signal.
//
// Every "{dir}" in the arguments is replaced by dir. env is the whole
// environment; nil is ours. The validator runs in a session of its own, its
// stdin is empty, and on timeout or when ctx ends its process group is killed.
// What it prints is counted and thrown away: it may quote the config.
func Command(ctx context.Context, argv []string, dir string, env []string, timeout time.Duration) (_ Finding, ok bool) {
	unknown := func(why string) (Finding, bool) {
		return Finding{Kind: KindCommandUnknown, Message: "the validator gave no verdict: " + why}, false
	}
	if len(argv) == 0 || argv[0] == "" {
		return unknown("there is no command")
	}
	args := make([]string, len(argv))
	for i, arg := range argv {
		args[i] = strings.ReplaceAll(arg, dirWord, dir)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var printed counter
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// The leader is not reaped yet when Cancel runs, so its pid still names
	// its group and nobody else's.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace

	if err := cmd.Start(); err != nil {
		// The error would name the arguments, which the user may have put a
		// secret into.
		var errno syscall.Errno
		switch {
		case errors.Is(err, exec.ErrNotFound), errors.As(err, &errno) && errno == syscall.ENOENT:
			return unknown("it is not there")
		case errors.As(err, &errno):
			return unknown("it cannot be run: " + errno.Error())
		}
		return unknown("it cannot be run")
	}
	// Wait's error also speaks of pipes; only how the validator ended counts.
	_ = cmd.Wait()
	if cmd.ProcessState == nil {
		return unknown("its end could not be seen")
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Exited() && status.ExitStatus() == 0:
		return Finding{}, true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return unknown(fmt.Sprintf("it was still running after %v", timeout))
	case ctx.Err() != nil:
		return unknown("it was interrupted")
	case status.Signaled():
		return unknown(fmt.Sprintf("it was killed by a signal (%v)", status.Signal()))
	case status.ExitStatus() == exitNotExecutable, status.ExitStatus() == exitNotFound:
		return unknown(fmt.Sprintf("exit status %d says that there was nothing to run", status.ExitStatus()))
	}
	return Finding{Kind: KindCommandRefused, Message: fmt.Sprintf("the validator refused it: exit status %d, %d bytes of output",
		status.ExitStatus(), printed)}, false
}

// Portable reports whether a validator judges the directory that it is given, and
// not what happens to be in place.
func Portable(argv []string) bool {
	return slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, dirWord) })
}

// counter counts what is written to it. Stdout and Stderr being one writer,
// os/exec writes from one goroutine.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
