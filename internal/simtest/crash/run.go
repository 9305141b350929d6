//go:build linux && (amd64 || arm64)

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Verdict is the answer to a call; the zero value lets it go.
type Verdict struct {
	// Kill ends the whole program before the call happens.
	Kill bool
	// Refuse has the call fail, without happening.
	Refuse unix.Errno
}

// Outcome is how a run ended.
type Outcome struct {
	// Calls is how many were held.
	Calls int
	// Killed says that the program was seen to die by SIGKILL where the verdict
	// was to kill it, which was At.
	Killed bool
	At     Held
	// Hung says that it did not end in time, and was killed for that.
	Hung           bool
	Exit           int
	Stdout, Stderr string
}

// Program is a program whose calls are held. Patience bounds a run.
type Program struct {
	Path, Shim string
	Patience   time.Duration
}

// Run runs the program and asks decide about each of its calls, n counting from 1.
// A nil decide lets all go.
func (p Program) Run(decide func(n int, h Held) Verdict, args ...string) (Outcome, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Outcome{}, err
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "shim")
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(p.Shim, append([]string{p.Path}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.WaitDelay = p.Patience
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return Outcome{}, err
	}
	l, err := receive(pair[0])
	if err != nil {
		_ = cmd.Wait()
		return Outcome{}, fmt.Errorf("cannot hold calls: %w: %s", err, &stderr)
	}
	s := session{program: p, root: cmd.Process.Pid, decide: decide}
	go s.serve(l)
	timer := time.AfterFunc(p.Patience, func() { s.end(true) })
	err = cmd.Wait()
	timer.Stop()
	o := s.end(false)
	o.Stdout, o.Stderr = stdout.String(), stderr.String()
	o.Exit = cmd.ProcessState.ExitCode()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	o.Killed = o.Killed && status.Signaled() && status.Signal() == syscall.SIGKILL
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return o, err
	}
	if o.Exit == ShimFailed {
		return o, errors.New(o.Stderr)
	}
	return o, nil
}

// receive takes the listener from the shim.
func receive(socket int) (listener, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(socket, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if n == 0 {
		return -1, errors.New("the shim ended")
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("%d control messages: %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return listener(fds[0]), nil
}

// session is one run. What the program has started keeps the filter, and is
// answered for as long as it lives.
type session struct {
	program Program
	root    int
	decide  func(int, Held) Verdict

	mu    sync.Mutex
	out   Outcome
	ended bool
}

// end ends the counting, and the program if it hangs.
func (s *session) end(hung bool) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if hung {
		s.out.Hung = true
		s.kill()
	}
	return s.out
}

func (s *session) serve(l listener) {
	defer unix.Close(int(l))
	for {
		n, ok := l.next()
		if !ok {
			return
		}
		v := s.judge(n)
		if !v.Kill { // The dead are not answered.
			l.reply(n, v.Refuse)
		}
	}
}

func (s *session) judge(n notification) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.out.Killed || !s.ours(n.pid) {
		return Verdict{}
	}
	h, ok := held(n)
	if !ok {
		return Verdict{}
	}
	s.out.Calls++
	if s.decide == nil {
		return Verdict{}
	}
	v := s.decide(s.out.Calls, h)
	if v.Kill {
		s.out.Killed, s.out.At = true, h
		s.kill()
	}
	return v
}

// ours reports whether a thread is one of the program: also of a worker that it
// runs in a process of its own.
func (s *session) ours(thread uint32) bool {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", thread))
	return exe == s.program.Path
}

// kill ends the program with its workers.
func (s *session) kill() {
	for _, pid := range append([]int{s.root}, s.workers(s.root)...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// workers are the descendants of a process that run the same program.
func (s *session) workers(of int) []int {
	var all []int
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", of))
	for _, thread := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", of, thread.Name()))
		for child := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(child)
			if err == nil && s.ours(uint32(pid)) {
				all = append(append(all, pid), s.workers(pid)...)
			}
		}
	}
	return all
}
