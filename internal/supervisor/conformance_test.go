package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// form is what every form of supervisor can do.
type form interface {
	Inspect(context.Context) (supervisor.Inspection, error)
	Start(context.Context, string) (deadman.Process, error)
	Started(context.Context, string) (deadman.Process, bool, error)
	Stop(context.Context) (supervisor.StopReport, error)
	Family(context.Context) ([]deadman.Process, error)
}

// subject is one form under test: an agent in a directory, on a port.
type subject struct {
	name string
	// open makes the form as a deadman that has just started sees it, with what an
	// earlier one recorded.
	open func(dir string, port int, known supervisor.Known, habits ...string) form
}

var subjects = []subject{
	{"child", func(dir string, port int, known supervisor.Known, habits ...string) form {
		self, _ := os.Executable()
		return &supervisor.Child{
			Argv: append([]string{self, "agent", "-port", fmt.Sprint(port), "-pid-file", dir + "/up"}, habits...),
			Dir:  dir, Env: map[string]string{"GREETING": "hello"}, StateDir: dir,
			LogFile: dir + "/log", KillDelay: 300 * time.Millisecond, CheckPort: port, Known: known,
		}
	}},
	{"command with a pid file", func(dir string, port int, known supervisor.Known, habits ...string) form {
		self, _ := os.Executable()
		c := command(dir, known)
		c.StartArgv = append([]string{self, "agent", "-daemonize", "-port", fmt.Sprint(port), "-pid-file", dir + "/up"}, habits...)
		c.PIDFile, c.CheckPort = dir+"/up", port
		return c
	}},
	{"command with a port", func(dir string, port int, known supervisor.Known, habits ...string) form {
		self, _ := os.Executable()
		c := command(dir, known)
		c.StartArgv = append([]string{self, "agent", "-daemonize", "-port", fmt.Sprint(port), "-pid-file", dir + "/up"}, habits...)
		c.Port = port
		return c
	}},
	{"command with arguments", func(dir string, port int, known supervisor.Known, habits ...string) form {
		self, _ := os.Executable()
		c := command(dir, known)
		c.Argv = append([]string{self, "agent", "-port", fmt.Sprint(port), "-pid-file", dir + "/up"}, habits...)
		c.StartArgv = append([]string{self, "agent", "-daemonize"}, c.Argv[2:]...)
		c.CheckPort = port
		return c
	}},
}

func command(dir string, known supervisor.Known) *supervisor.Command {
	return &supervisor.Command{
		Dir: dir, Env: map[string]string{"GREETING": "hello"}, LogFile: dir + "/log",
		StartTimeout: 10 * time.Second, StopTimeout: 5 * time.Second, KillDelay: 300 * time.Millisecond, Known: known,
	}
}

// knownOf is what a deadman records of an agent that is well.
func knownOf(t *testing.T, f form, attempt string) supervisor.Known {
	t.Helper()
	seen := inspect(t, f)
	members, err := f.Family(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := supervisor.Known{Process: seen.Process, Members: members, Attempt: attempt, Program: seen.Program}
	if o, ok := f.(*supervisor.Owned); ok { // Its tally goes on.
		known.Restarts, known.Life = o.Known.Restarts, o.Known.Life
	}
	return known
}

// token is one that no other test uses: what carries it is one family.
func token(t *testing.T, word string) string {
	return fmt.Sprintf("%s %d %s", t.Name(), os.Getpid(), word)
}

func inspect(t *testing.T, f form) supervisor.Inspection {
	t.Helper()
	seen, err := f.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func start(t *testing.T, f form, attempt string) deadman.Process {
	t.Helper()
	t.Cleanup(func() { f.Stop(context.Background()) })
	p, err := f.Start(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func stop(t *testing.T, f form) supervisor.StopReport {
	t.Helper()
	r, err := f.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestForms(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for name, scenario := range map[string]func(*testing.T, subject){
				"a life":               aLife,
				"clean surroundings":   cleanSurroundings,
				"ignores SIGTERM":      ignoresTerm,
				"orphan on the port":   orphanOnPort,
				"unmarked orphan":      unmarkedOrphan,
				"stranger on the port": strangerOnPort,
				"death is seen":        deathIsSeen,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					scenario(t, s)
				})
			}
		})
	}
}

func aLife(t *testing.T, s subject) {
	dir, port := t.TempDir(), freePort(t)
	f := s.open(dir, port, supervisor.Known{})
	if got := inspect(t, f); got.Presence != deadman.Gone {
		t.Fatalf("before the first start: %+v", got)
	}
	p := start(t, f, token(t, "one"))
	eventually(t, "the agent listens", func() bool { return listens(port) })

	// Another deadman, which has recorded nothing, finds the same process.
	other := s.open(dir, port, supervisor.Known{})
	for _, f := range []form{f, other} {
		got := inspect(t, f)
		if got.Presence != deadman.Running || got.Process != p || got.Started > p.Start+proc.Tick || got.Program == "" {
			t.Errorf("running: %+v, want %+v", got, p)
		}
		if again, ok, err := f.Started(t.Context(), token(t, "one")); again != p || !ok || err != nil {
			t.Errorf("started: %v %v %v, want %v", again, ok, err, p)
		}
		if _, ok, err := f.Started(t.Context(), token(t, "two")); ok || err != nil {
			t.Errorf("started a start that never was: %v %v", ok, err)
		}
		_, err := f.Start(t.Context(), token(t, "two"))
		var refused *supervisor.Refused
		if !errors.As(err, &refused) || refused.PID != p.PID {
			t.Errorf("a second start: %v, want refused for %d", err, p.PID)
		}
	}

	if r := stop(t, other); len(r.Killed)+len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	if got := inspect(t, f); got.Presence != deadman.Gone {
		t.Errorf("stopped: %+v", got)
	}
	stop(t, f) // what is not there
	if next := start(t, f, token(t, "two")); next == p {
		t.Errorf("the second life is the first")
	}
}

// cleanSurroundings looks at what an agent inherits.
func cleanSurroundings(t *testing.T, s subject) {
	dir, port := t.TempDir(), freePort(t)
	// A descriptor as a careless parent leaves it: inheritable.
	ours, err := os.Create(filepath.Join(dir, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	leak, err := syscall.Dup(int(ours.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)

	p := start(t, s.open(dir, port, supervisor.Known{}), token(t, "one"))
	eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.PID, fd.Name()))
		switch {
		case fd.Name() == "0" && target != "/dev/null":
			t.Errorf("stdin is %s", target)
		case strings.HasPrefix(target, "pipe:"), strings.HasPrefix(target, dir) && target != dir+"/log":
			t.Errorf("descriptor %s is %s", fd.Name(), target)
		}
	}
	if sid, _ := syscall.Getpgid(p.PID); sid == syscall.Getpgrp() {
		t.Error("the agent is in our process group")
	}
	file, err := os.Stat(dir + "/log")
	if err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("log: %v %v", file, err)
	}
	eventually(t, "its output is in the log", func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Contains(string(text), "agent is up")
	})
	for entry, want := range map[string]bool{"GREETING=hello": true, "NOTIFY_SOCKET=/dev/null": false} {
		if got, err := proc.Carries(p.PID, entry); got != want || err != nil {
			t.Errorf("%s in its environment: %v %v", entry, got, err)
		}
	}
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID)); cwd != dir {
		t.Errorf("it runs in %s", cwd)
	}
}

func ignoresTerm(t *testing.T, s subject) {
	dir, port := t.TempDir(), freePort(t)
	f := s.open(dir, port, supervisor.Known{}, "-stubborn")
	p := start(t, f, token(t, "one"))
	eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	r := stop(t, f)
	if !slices.Contains(r.Killed, p) || len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v, want %v killed", r, p)
	}
	if proc.Alive(p) != deadman.Gone {
		t.Error("it survived")
	}
}

// The agent dies, and a child of it in another session keeps the port. That one
// is found by the mark of our start.
func orphanOnPort(t *testing.T, s subject) {
	dir, port := t.TempDir(), freePort(t)
	p := start(t, s.open(dir, port, supervisor.Known{}, "-orphan"), token(t, "one"))
	eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	killOrphaning(t, p, port)
	checkOrphan(t, s.open(dir, port, supervisor.Known{Process: p, Attempt: token(t, "one")}), p)
}

// The same without the mark: it is found because it was seen in good times.
func unmarkedOrphan(t *testing.T, s subject) {
	dir, port := t.TempDir(), freePort(t)
	f := s.open(dir, port, supervisor.Known{}, "-orphan", "-unmarked")
	p := start(t, f, token(t, "one"))
	eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	known := knownOf(t, f, token(t, "one"))
	if len(known.Members) < 2 {
		t.Fatalf("family of %d", len(known.Members))
	}
	killOrphaning(t, p, port)
	checkOrphan(t, s.open(dir, port, known), p)
}

func killOrphaning(t *testing.T, p deadman.Process, port int) {
	t.Helper()
	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return proc.Alive(p) == deadman.Gone })
	if !listens(port) {
		t.Fatal("the orphan does not hold the port, so this test proves nothing")
	}
}

func checkOrphan(t *testing.T, f form, dead deadman.Process) {
	t.Helper()
	if got := inspect(t, f); got.Process == dead {
		t.Errorf("the dead one is said to be there: %+v", got)
	}
	_, err := f.Start(t.Context(), token(t, "two"))
	var refused *supervisor.Refused
	if !errors.As(err, &refused) || refused.PID == 0 || refused.PID == dead.PID {
		t.Errorf("start beside an orphan: %v", err)
	}
	if r := stop(t, f); len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	start(t, f, token(t, "three"))
}

// A stranger on the port is named and left alone. It is this very process.
func strangerOnPort(t *testing.T, s subject) {
	if s.name == "command with a port" {
		t.Skip("whoever is on the port is the agent; see TestPortIdentity")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f := s.open(t.TempDir(), listener.Addr().(*net.TCPAddr).Port, supervisor.Known{})
	_, err = f.Start(t.Context(), token(t, "one"))
	var refused *supervisor.Refused
	if !errors.As(err, &refused) || refused.PID != os.Getpid() || refused.Hint() == "" {
		t.Errorf("start: %v", err)
	}
	r := stop(t, f)
	if r.PortFree || len(r.Survivors) != 1 || r.Survivors[0].Process.PID != os.Getpid() || r.Survivors[0].Own {
		t.Errorf("stop: %+v", r)
	}
}

func deathIsSeen(t *testing.T, s subject) {
	f := s.open(t.TempDir(), freePort(t), supervisor.Known{})
	p := start(t, f, token(t, "one"))
	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return inspect(t, f).Presence == deadman.Gone })
	eventually(t, "no zombie is left", func() bool {
		_, err := proc.Read(p.PID)
		return errors.Is(err, proc.ErrGone)
	})
	stop(t, f)
	start(t, f, token(t, "two"))
}
