package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Command is an agent that is started and stopped by commands and found by what
// it leaves on the machine. StartArgv and exactly one identity must be set.
type Command struct {
	// StartArgv is the start command. One that stays and is the agent itself is
	// fine, at a price: with a port or an argument list as identity Start cannot
	// tell it from one that is about to daemonize, and waits for all of
	// StartTimeout. Child is the form for it.
	StartArgv []string
	// StopArgv is the stop command; without one, and after it, signals do.
	StopArgv []string

	// ReloadArgv is the command that has the agent read its config anew, if there
	// is one.
	ReloadArgv []string

	// PIDFile, Port and Argv are the identities; see Inspect.
	PIDFile string
	Port    int
	Argv    []string

	Dir string
	Env map[string]string
	// StartTimeout is how long Start waits for the agent to appear, StopTimeout how
	// long Stop waits for the stop command and what it brings about, KillDelay how
	// long between SIGTERM and SIGKILL.
	StartTimeout, StopTimeout, KillDelay time.Duration
	// LogFile takes the output of both commands; "" is nowhere.
	LogFile string
	// CheckPort is a port that must be free before a start and after a stop, where
	// Port is not the identity. 0 is none.
	CheckPort int

	// Known is what the caller has recorded.
	Known Known
}

func (c *Command) port() int {
	if c.Port != 0 {
		return c.Port
	}
	return c.CheckPort
}

// Inspect says whether the agent is there, by its identity:
//
// A pid file names it, as a number alone on the first line or as "pid" in a JSON
// object. The process must be one that can have written the file: not of
// another user (unless root wrote it), and not younger than the file. A younger
// one that is also another program than the agent was means a stale file, Gone; if
// the program was never seen it is Obscured, since the clock may have been set.
// So is a file that names no process at all, or one that may well not be the agent:
// another program than it was and no relation of it, that does not hold CheckPort, or
// was there before it; or, of an agent never seen before, any while another process
// holds that port.
//
// A port: whoever listens on it. If a program was recorded, and the listener is
// another one and no relation of the agent's, it is Obscured.
//
// An argument list: the process with exactly these arguments, and of several the
// one that is the parent of the rest. Obscured when that is not one.
//
// Whatever the identity says, short of naming another process that is surely the
// agent, a recorded process that still lives is.
func (c *Command) Inspect(ctx context.Context) (Inspection, error) {
	seen := c.identify()
	if seen.Presence != deadman.Running && proc.Alive(c.Known.Process) == deadman.Running {
		return running(c.Known.Process, "known by its last start; "+seen.Detail), nil
	}
	return seen, ctx.Err()
}

// Family returns all processes of the agent that live, oldest first. It reads the
// whole table of processes.
func (c *Command) Family(ctx context.Context) ([]deadman.Process, error) {
	members, err := c.family().lookAt(c.port())
	return processes(members), errors.Join(err, ctx.Err())
}

func (c *Command) family() *family {
	if seen := c.identify(); seen.Presence == deadman.Running {
		return newFamily(c.Known, seen.Process)
	}
	return newFamily(c.Known)
}

// Start runs the start command and returns the agent's main process when it has
// appeared. attempt is a token for this start that is never used again; the
// caller has recorded it.
//
// A command that is still running after StartTimeout is left alone and is the
// agent: it may be slow (incident 64), and a second one beside it would be
// worse. *Refused before anything was run; *StartError when there is nothing to
// show for it.
func (c *Command) Start(ctx context.Context, attempt string) (deadman.Process, error) {
	if err := c.refuse(ctx); err != nil {
		return deadman.Process{}, err
	}
	cmd, err := c.launch(c.StartArgv, attempt)
	if err != nil {
		return deadman.Process{}, err
	}
	c.Known = Known{Attempt: attempt, Program: c.Known.Program}
	leader, _ := proc.Look(cmd.Process.Pid)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	p, err := c.appear(ctx, cmd, leader, ended)
	switch {
	case err != nil:
		return deadman.Process{}, err
	case p.IsZero():
		e := &StartError{Why: "the agent did not appear"}
		if done(ended) {
			e.Exit = exitOf(cmd)
		}
		return p, e
	}
	c.Known.Process = p
	return p, nil
}

// refuse is the error of starting beside something.
func (c *Command) refuse(ctx context.Context) error {
	seen, err := c.Inspect(ctx)
	switch {
	case err != nil:
		return err
	case seen.Presence == deadman.Running:
		return &Refused{Why: "is the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	case seen.Presence == deadman.Obscured && !seen.Process.IsZero():
		return &Refused{Why: "may be the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	}
	return refusal(newFamily(c.Known), c.port())
}

// launch starts a command in a session of its own.
func (c *Command) launch(argv []string, attempt string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("cannot run a command: there is none")
	}
	log, err := openLog(c.LogFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if err := seal(); err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, environment(c.Env, attempt)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, &StartError{Why: fmt.Sprintf("the command cannot be run: %v", bare(err))}
	}
	return cmd, nil
}

// bare is the system's word for an error, without the command in it.
func bare(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	if errors.Is(err, exec.ErrNotFound) {
		return exec.ErrNotFound
	}
	return reason(err)
}

func exitOf(cmd *exec.Cmd) string {
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return ""
	}
	return proc.ExitOf(ws, 0).String()
}

func done(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// appear waits for the agent that a start command (leader, until ended) brings
// about: until its identity does, or the time is up. Then it is what the command
// left behind, oldest first, which is the command itself if it is still there.
// The zero process when it left nothing.
func (c *Command) appear(ctx context.Context, cmd *exec.Cmd, leader deadman.Process, ended <-chan struct{}) (deadman.Process, error) {
	deadline := time.NewTimer(c.StartTimeout)
	defer deadline.Stop()
	f := newFamily(Known{Attempt: c.Known.Attempt}, leader)
	late := false
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		over := done(ended)
		seen := c.identify()
		if seen.Presence == deadman.Running && (c.PIDFile != "" || over || seen.Process != leader) {
			return seen.Process, nil
		}
		// Looked at every time, so that children are seen before they are orphans.
		left, err := f.look()
		if err != nil {
			return deadman.Process{}, err
		}
		// One that succeeded may have left a daemon that we do not recognise yet.
		if over && len(left) == 0 && exitOf(cmd) != "exit 0" {
			return deadman.Process{}, nil
		}
		switch {
		case !late:
		case seen.Presence == deadman.Running:
			return seen.Process, nil
		case len(left) > 0:
			return proc.Roots(left)[0].Process, nil
		case over:
			return deadman.Process{}, nil
		}
		select {
		case <-ctx.Done():
			return deadman.Process{}, fmt.Errorf("cannot wait for the start: %w", ctx.Err())
		case <-time.After(pace):
		case <-deadline.C:
			late = true // What has appeared meanwhile is seen by another look.
		}
	}
}

// Started looks for the start with this token, after a crash of ours: whether
// anything of it lives, and which is its main process. A start whose agent has
// died already is not found, and neither is one that wrote over its environment;
// the latter Inspect finds.
func (c *Command) Started(ctx context.Context, attempt string) (deadman.Process, bool, error) {
	table, err := proc.Scan()
	if err != nil {
		return deadman.Process{}, false, err
	}
	marked := table.Where(func(s proc.Stat) bool {
		carries, _ := proc.Carries(s.PID, mark(attempt))
		return carries && s.PID != os.Getpid()
	})
	if len(marked) == 0 {
		return deadman.Process{}, false, ctx.Err()
	}
	seen := c.identify()
	for _, s := range marked {
		if seen.Presence == deadman.Running && s.Process == seen.Process {
			return s.Process, true, nil
		}
	}
	return proc.Roots(marked)[0].Process, true, nil
}

// Stop runs the stop command, if there is one and anything to stop, and ends
// whatever of the agent is left when it is done or its time is up. Stopping what
// is not there is no error.
func (c *Command) Stop(ctx context.Context) (StopReport, error) {
	f := c.family()
	members, err := f.lookAt(c.port())
	if err != nil {
		return StopReport{}, err
	}
	word := ""
	if len(members) > 0 && len(c.StopArgv) > 0 {
		if word, err = c.ask(ctx, f); err != nil {
			return StopReport{}, err
		}
	}
	killed, left, err := terminate(ctx, f, c.KillDelay, deadman.Process{})
	r := report(killed, left, c.port())
	r.Command = word
	return r, err
}

// ask runs the stop command and waits for what it brings about. It returns what
// went wrong with the command; signals will do the rest.
func (c *Command) ask(ctx context.Context, f *family) (string, error) {
	within, cancel := context.WithTimeout(ctx, c.StopTimeout)
	defer cancel()
	cmd, err := c.launch(c.StopArgv, "")
	if err != nil {
		return err.Error(), nil
	}
	timely := proc.AwaitEnd(within, cmd.Process.Pid)
	if !timely {
		// Not reaped yet, so the group is still its own.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
	if ctx.Err() != nil {
		return "", fmt.Errorf("cannot finish the stop: %w", ctx.Err())
	}
	if !timely {
		return "did not end in time", nil
	}
	if word := exitOf(cmd); word != "exit 0" {
		return word, nil // It brings nothing about that is worth waiting for.
	}
	if _, err := await(within, f, c.StopTimeout, nil); ctx.Err() != nil {
		return "", err
	}
	return "", nil
}
