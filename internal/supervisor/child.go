package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/proc"
)

const (
	// shimWait is how long the shim may take from fork to exec; it writes one file.
	shimWait = 10 * time.Second
	// reapWait is how long it may take our own goroutine to reap a dead child.
	reapWait = time.Second
	// lockWait is how long an Inspect waits for a start in progress.
	lockWait = 2 * time.Second
)

// Child is an agent whose process deadman itself starts and owns. Its identity is
// in StateDir, written by the process itself before it becomes the agent (see
// Shim), so that no crash of deadman loses it: another deadman reads the file and
// has adopted it.
type Child struct {
	// Argv is the agent's command, looked up in its PATH, from Dir.
	Argv []string
	Dir  string
	Env  map[string]string
	// Credential is the user that the agent runs as; nil is deadman's own.
	Credential *Credential
	// LogFile takes its output; "" is nowhere.
	LogFile string
	// KillDelay is the time between SIGTERM and SIGKILL.
	KillDelay time.Duration
	// StateDir is a directory of this agent's, where child.json and child.lock are.
	StateDir string
	// CheckPort is a port that must be free before a start and after a stop; 0 is
	// none.
	CheckPort int

	// Known is what the caller has recorded. Of its own process a child knows
	// better; the Members count.
	Known Known

	mine *life
}

// life is that of the process which this deadman has started last.
type life struct {
	process deadman.Process
	// over is closed when it has been reaped and exit is set.
	over chan struct{}
	exit proc.Exit
}

// Credential is a user to run as.
type Credential struct {
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups"`
}

// childState is child.json.
type childState struct {
	Version int             `json:"version"`
	Process deadman.Process `json:"process"`
	// Forked is the time since boot right before the process was forked.
	Forked  time.Duration `json:"forked"`
	Attempt string        `json:"attempt"`
	// Argv is a hash.
	Argv string `json:"argv"`
}

const childVersion = 1

func (c *Child) statePath() string { return filepath.Join(c.StateDir, "child.json") }
func (c *Child) lockPath() string  { return filepath.Join(c.StateDir, "child.lock") }

// state reads child.json; fs.ErrNotExist when there never was a start.
func (c *Child) state() (childState, error) {
	text, err := os.ReadFile(c.statePath())
	if err != nil {
		return childState{}, fmt.Errorf("cannot read child.json: %w", reason(err))
	}
	var s childState
	if err := json.Unmarshal(text, &s); err != nil {
		return childState{}, errors.New("cannot read child.json: not what was written")
	}
	if s.Version != childVersion {
		return childState{}, fmt.Errorf("cannot read child.json: version %d", s.Version)
	}
	return s, nil
}

// settled waits until no shim is under way, then reads child.json.
func (c *Child) settled(ctx context.Context) (childState, error) {
	lock, err := os.Open(c.lockPath())
	if err == nil {
		defer lock.Close()
		err = flock(ctx, lock, lockWait)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return childState{}, err
	}
	return c.state()
}

// flock locks a file, waiting at most d. There is no unlock: the lock goes with
// the last descriptor of this open file, and the shim holds one.
func flock(ctx context.Context, f *os.File, d time.Duration) error {
	for deadline := proc.Uptime() + d; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("cannot lock child.lock: %v", err)
		case proc.Uptime() > deadline:
			return errors.New("cannot lock child.lock: a start is under way")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot lock child.lock: %w", ctx.Err())
		case <-time.After(paceFirst):
		}
	}
}

// Inspect says whether the agent is there, by child.json alone: it makes no
// difference who started it. How it ended is known here of a process that this
// deadman has started; of an adopted one proc.Watch may tell.
func (c *Child) Inspect(ctx context.Context) (Inspection, error) {
	s, err := c.settled(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return Inspection{}, err
		}
		if proc.Alive(c.Known.Process) == deadman.Running {
			return running(c.Known.Process, "known by its last start; "+err.Error()), nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return gone("never started"), nil
		}
		return obscured(deadman.Process{}, "%v", err), nil
	}
	var seen Inspection
	switch proc.Alive(s.Process) {
	case deadman.Running:
		seen = running(s.Process, "")
	case deadman.Gone:
		seen = gone("")
	default:
		seen = obscured(s.Process, "process %d cannot be seen", s.Process.PID)
	}
	seen.Program = s.Argv
	if !seen.Process.IsZero() && s.Forked > 0 {
		seen.Started, seen.Exact = s.Forked, true
	}
	if seen.Presence == deadman.Gone {
		seen.Exit = c.ended(s.Process)
	}
	return seen, nil
}

// ended says how a process ended that is ours, and reaps it: a deadman that was
// upgraded by exec has children that nobody in it waits for.
func (c *Child) ended(p deadman.Process) string {
	if c.mine != nil && c.mine.process == p {
		select {
		case <-c.mine.over:
			return c.mine.exit.String()
		case <-time.After(reapWait): // it does not take that long
			return ""
		}
	}
	s, err := proc.Read(p.PID)
	if err != nil || s.Process != p || s.Parent != os.Getpid() {
		return ""
	}
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(p.PID, &ws, syscall.WNOHANG, nil); err != nil || pid != p.PID {
		return ""
	}
	c.mine = &life{process: p, over: make(chan struct{}), exit: proc.ExitOf(ws, proc.Uptime())}
	close(c.mine.over)
	return c.mine.exit.String()
}

// Family returns all processes of the agent that live, oldest first. It reads the
// whole table of processes.
func (c *Child) Family(ctx context.Context) ([]deadman.Process, error) {
	s, _ := c.settled(ctx)
	members, err := c.family(s).lookAt(c.CheckPort)
	return processes(members), errors.Join(err, ctx.Err())
}

func (c *Child) family(s childState) *family {
	known := c.Known
	if s.Attempt != "" {
		known.Attempt = s.Attempt
	}
	return newFamily(known, s.Process)
}

// Start starts the agent and returns its process, which from then on runs the
// agent's program, or has ended. attempt is a token for this start that is never
// used again; the caller has recorded it.
//
// *Refused before anything was run; *StartError when the program could not be.
func (c *Child) Start(ctx context.Context, attempt string) (deadman.Process, error) {
	// The lock is held from here until the shim becomes the agent: the shim
	// inherits it, so even a crash of ours right after the fork leaves no moment
	// in which somebody else could start a second one.
	lock, err := os.OpenFile(c.lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return deadman.Process{}, fmt.Errorf("cannot open child.lock: %v", reason(err))
	}
	defer lock.Close()
	if err := flock(ctx, lock, shimWait); err != nil {
		return deadman.Process{}, err
	}
	if err := c.refuse(); err != nil {
		return deadman.Process{}, err
	}
	p, err := c.fork(lock, attempt)
	if err != nil {
		return deadman.Process{}, err
	}
	c.Known = Known{Process: p, Attempt: attempt, Program: hashArgv(c.Argv)}
	return p, nil
}

// refuse is the error of starting beside something. The lock is held.
func (c *Child) refuse() error {
	if len(c.Argv) == 0 {
		return errors.New("cannot start: there is no command")
	}
	s, err := c.state()
	if err != nil && !errors.Is(err, fs.ErrNotExist) && proc.Alive(c.Known.Process) != deadman.Gone {
		return err // and nobody can say that the recorded process is gone
	}
	switch proc.Alive(s.Process) {
	case deadman.Running:
		return &Refused{Why: "is the agent", PID: s.Process.PID, Program: nameOf(s.Process.PID)}
	case deadman.Obscured:
		return &Refused{Why: "may be the agent", PID: s.Process.PID, Program: nameOf(s.Process.PID)}
	}
	return refusal(c.family(s), c.CheckPort)
}

// fork runs the shim and waits until it has become the agent.
func (c *Child) fork(lock *os.File, attempt string) (deadman.Process, error) {
	log, err := openLog(c.LogFile)
	if err != nil {
		return deadman.Process{}, err
	}
	defer log.Close()
	orderR, orderW, err := os.Pipe()
	if err != nil {
		return deadman.Process{}, fmt.Errorf("cannot start: %v", err)
	}
	defer orderW.Close()
	answerR, answerW, err := os.Pipe()
	if err != nil {
		orderR.Close()
		return deadman.Process{}, fmt.Errorf("cannot start: %v", err)
	}
	defer answerR.Close()

	cmd := shimCommand()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{orderR, answerW, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	forked := proc.Uptime()
	err = cmd.Start()
	orderR.Close()
	answerW.Close()
	if err != nil {
		return deadman.Process{}, &StartError{Why: fmt.Sprintf("deadman cannot run itself: %v", bare(err))}
	}

	// Should we die here, the shim reads half an order and ends.
	err = json.NewEncoder(orderW).Encode(order{
		Argv: c.Argv, Dir: c.Dir, Env: c.environment(attempt), Credential: c.Credential,
		State: c.statePath(), Forked: forked, Attempt: attempt,
	})
	orderW.Close()
	answerR.SetReadDeadline(time.Now().Add(shimWait))
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(answerR, 4096))
	}
	if err != nil || len(answer) > 0 {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err != nil {
			answer = []byte("it did not get as far as the program")
		}
		return deadman.Process{}, &StartError{Why: string(answer)}
	}
	// The file is closed and nothing was said: it is the agent, or was already.
	s, err := c.state()
	if err != nil {
		return deadman.Process{}, err
	}
	c.own(cmd, s.Process)
	return s.Process, nil
}

// own remembers a process as ours, and how it ends.
func (c *Child) own(cmd *exec.Cmd, p deadman.Process) {
	mine := &life{process: p, over: make(chan struct{})}
	c.mine = mine
	go func() {
		defer close(mine.over)
		if _ = cmd.Wait(); cmd.ProcessState == nil {
			return // Somebody else has reaped it; how it ended is not known.
		}
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
			mine.exit = proc.ExitOf(ws, proc.Uptime())
		}
	}()
}

// Started looks for the start with this token, after a crash of ours: whether it
// happened, and which is its process, living or not. It waits for a shim.
func (c *Child) Started(ctx context.Context, attempt string) (deadman.Process, bool, error) {
	s, err := c.settled(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return deadman.Process{}, false, nil
	}
	if err != nil || s.Attempt != attempt {
		return deadman.Process{}, false, err
	}
	return s.Process, true, nil
}

// Stop ends the agent and all its processes. Stopping what is not there is no
// error.
func (c *Child) Stop(ctx context.Context) (StopReport, error) {
	s, err := c.settled(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && c.Known.Process.IsZero() {
		return StopReport{}, err
	}
	f := c.family(s)
	if _, err := f.lookAt(c.CheckPort); err != nil {
		return StopReport{}, err
	}
	killed, left, err := terminate(ctx, f, c.KillDelay, deadman.Process{})
	return report(killed, left, c.CheckPort), err
}
