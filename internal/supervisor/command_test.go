package supervisor_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// spawn runs an agent that nobody supervises.
func spawn(t *testing.T, args ...string) deadman.Process {
	t.Helper()
	cmd := exec.Command(self(t), append([]string{"agent"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := proc.Read(cmd.Process.Pid) // also of one that has ended already
	if err != nil {
		t.Fatal(err)
	}
	p := stat.Process
	reaped := make(chan struct{})
	go func() { cmd.Wait(); close(reaped) }()
	t.Cleanup(func() { proc.Signal(p, syscall.SIGKILL); <-reaped })
	return p
}

func TestPIDFileIdentity(t *testing.T) {
	t.Parallel()
	agent := spawn(t)
	dead := spawn(t, "-exit", "0")
	eventually(t, "one has died", func() bool { return proc.Alive(dead) == deadman.Gone })
	seen := inspect(t, &supervisor.Command{Argv: []string{self(t), "agent"}, Known: supervisor.Known{Process: agent}})
	program := seen.Program
	if program == "" {
		t.Fatal("no program")
	}
	long := time.Now().Add(-time.Hour)

	for name, c := range map[string]struct {
		text    string // "" is no file
		written time.Time
		owner   int
		known   supervisor.Known
		want    deadman.Presence
		detail  string
	}{
		"plain":              {text: "%d", want: deadman.Running},
		"with a line feed":   {text: "%d\n", want: deadman.Running},
		"more lines":         {text: "%d\n/var/lib\n5432\n", want: deadman.Running},
		"json":               {text: `{"kind": "gateway", "pid": %d}`, want: deadman.Running},
		"none":               {want: deadman.Gone, detail: "no pid file"},
		"none, but recorded": {known: supervisor.Known{Process: agent}, want: deadman.Running, detail: "known by its last start"},
		"garbage":            {text: "x%d", want: deadman.Obscured},
		"empty":              {text: " ", want: deadman.Obscured},
		"empty, but recorded": {
			text: " ", known: supervisor.Known{Process: agent}, want: deadman.Running, detail: "known by its last start",
		},
		"pid 1":    {text: "1", want: deadman.Obscured},
		"deadman":  {text: fmt.Sprint(os.Getpid()), want: deadman.Obscured},
		"the dead": {text: fmt.Sprint(dead.PID), want: deadman.Gone, detail: "is gone"},
		// The pid of a dead agent has gone to this process, which started later.
		"reused, program unknown": {text: "%d", written: long, want: deadman.Obscured, detail: "younger than the pid file"},
		"reused, another program": {
			text: "%d", written: long, known: supervisor.Known{Program: "another"}, want: deadman.Gone, detail: "stale",
		},
		// Or nothing is reused, and the clock was set (a machine without a clock of
		// its own, at boot).
		"clock set, same program": {text: "%d", written: long, known: supervisor.Known{Program: program}, want: deadman.Running},
		"of another user":         {text: "%d", owner: 65534, want: deadman.Obscured, detail: "another user"},
	} {
		t.Run(name, func(t *testing.T) {
			file := t.TempDir() + "/agent.pid"
			if c.text != "" {
				if err := os.WriteFile(file, []byte(strings.ReplaceAll(c.text, "%d", fmt.Sprint(agent.PID))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !c.written.IsZero() {
				if err := os.Chtimes(file, c.written, c.written); err != nil {
					t.Fatal(err)
				}
			}
			if c.owner != 0 {
				if err := os.Chown(file, c.owner, c.owner); err != nil {
					t.Skip("needs root")
				}
			}
			got := inspect(t, &supervisor.Command{PIDFile: file, Known: c.known})
			if got.Presence != c.want || !strings.Contains(got.Detail, c.detail) {
				t.Errorf("%+v, want %s with %q", got, c.want, c.detail)
			}
			if c.want == deadman.Running && got.Process != agent {
				t.Errorf("%+v, want %+v", got.Process, agent)
			}
		})
	}

	link := t.TempDir() + "/agent.pid"
	if err := os.Symlink("/proc/self/comm", link); err != nil {
		t.Fatal(err)
	}
	if got := inspect(t, &supervisor.Command{PIDFile: link}); got.Presence != deadman.Obscured {
		t.Errorf("a link: %+v", got)
	}
}

// A stale pid file that names a stranger must not get the stranger stopped, and
// it is no licence to start beside it either, as long as it may be the agent.
func TestStrangerInThePIDFile(t *testing.T) {
	t.Parallel()
	stranger := spawn(t)
	file := t.TempDir() + "/agent.pid"
	if err := os.WriteFile(file, []byte(fmt.Sprint(stranger.PID)), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, long, long); err != nil {
		t.Fatal(err)
	}
	c := command(t.TempDir(), supervisor.Known{})
	c.PIDFile, c.StartArgv = file, []string{"true"}
	stop(t, c)
	if proc.Alive(stranger) != deadman.Running {
		t.Fatal("the stranger was stopped")
	}
	_, err := c.Start(t.Context(), token(t, "one"))
	var refused *supervisor.Refused
	if !errors.As(err, &refused) || refused.PID != stranger.PID {
		t.Errorf("start: %v", err)
	}
}

// A forged pid file, of the same user and as new as can be, gets nobody stopped:
// not beside the agent that is known, not after its death, and not when the agent
// holds its port and has never been seen before.
func TestForgedPIDFile(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
	stranger, err := proc.Look(bystander.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	agent := spawn(t, "-port", fmt.Sprint(port))
	eventually(t, "the agent is up", func() bool { return listens(port) })
	c := command(t.TempDir(), supervisor.Known{})
	c.PIDFile, c.CheckPort, c.StartArgv = t.TempDir()+"/agent.pid", port, []string{"true"}
	name := func(p deadman.Process) {
		t.Helper()
		if err := os.WriteFile(c.PIDFile, []byte(fmt.Sprint(p.PID)), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	name(stranger)
	if got := inspect(t, c); got.Presence != deadman.Obscured || !strings.Contains(got.Detail, fmt.Sprintf("port %d is held by process %d", port, agent.PID)) {
		t.Errorf("never seen: %+v", got)
	}
	name(agent)
	c.Known = knownOf(t, c, "")
	if c.Known.Process != agent {
		t.Fatalf("known: %+v", c.Known)
	}
	name(stranger)
	if got := inspect(t, c); got.Presence != deadman.Running || got.Process != agent {
		t.Errorf("beside it: %+v", got)
	}
	if r := stop(t, c); len(r.Survivors) > 0 || !r.PortFree || proc.Alive(agent) != deadman.Gone {
		t.Errorf("stop: %+v", r)
	}
	if got := inspect(t, c); got.Presence != deadman.Obscured || got.Process != stranger {
		t.Errorf("after its death: %+v", got)
	}
	stop(t, c)
	c.CheckPort = 0
	if got := inspect(t, c); got.Presence != deadman.Obscured || !strings.Contains(got.Detail, "was there before") {
		t.Errorf("without a port: %+v", got)
	}
	if proc.Alive(stranger) != deadman.Running {
		t.Fatal("the bystander was stopped")
	}

	// Somebody starts it by hand, with other arguments.
	again := spawn(t, "-port", fmt.Sprint(port), "-stubborn")
	eventually(t, "the agent is up again", func() bool { return listens(port) })
	name(again)
	for _, c.CheckPort = range []int{port, 0} {
		if got := inspect(t, c); got.Presence != deadman.Running || got.Process != again {
			t.Errorf("by hand, check port %d: %+v", c.CheckPort, got)
		}
	}
}

// An orphan that a child of the agent left in another session, with another
// environment, is told by the socket that it shares with the agent.
func TestOrphanThatSharesTheSocket(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"the agent hangs": false, "the agent is dead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, port := t.TempDir(), freePort(t)
			c := command(dir, supervisor.Known{})
			c.PIDFile, c.CheckPort = dir+"/up", port
			c.StartArgv = []string{self(t), "agent", "-daemonize", "-port", fmt.Sprint(port), "-pid-file", c.PIDFile, "-stubborn", "-orphan", "-unmarked", "-twice"}
			p := start(t, c, token(t, "one"))
			if dies {
				c.Known = knownOf(t, c, token(t, "one"))
				killOrphaning(t, p, port)
			}
			if r := stop(t, c); len(r.Survivors) > 0 || !r.PortFree {
				t.Errorf("stop: %+v", r)
			}
		})
	}
}

func TestArgvIdentity(t *testing.T) {
	t.Parallel()
	mark := t.TempDir() + "/up"
	argv := []string{self(t), "agent", "-worker", "-pid-file", mark}
	c := &supervisor.Command{Argv: argv}
	if got := inspect(t, c); got.Presence != deadman.Gone {
		t.Fatalf("none: %+v", got)
	}
	// It has a worker with the same arguments.
	one := spawn(t, argv[2:]...)
	eventually(t, "it is up", func() bool { _, err := os.Stat(mark); return err == nil })
	if got := inspect(t, c); got.Presence != deadman.Running || got.Process != one {
		t.Errorf("one: %+v, want %+v", got, one)
	}
	prefix := &supervisor.Command{Argv: argv[:len(argv)-1]}
	if got := inspect(t, prefix); got.Presence != deadman.Gone {
		t.Errorf("a prefix: %+v", got)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	spawn(t, argv[2:]...)
	eventually(t, "the other is up", func() bool { _, err := os.Stat(mark); return err == nil })
	if got := inspect(t, c); got.Presence != deadman.Obscured {
		t.Errorf("two: %+v", got)
	}
	c.Known.Process = one
	if got := inspect(t, c); got.Presence != deadman.Running || got.Process != one {
		t.Errorf("two, one of them recorded: %+v", got)
	}
	c.Known = supervisor.Known{}
	members, _ := c.Family(t.Context())
	if len(members) != 0 {
		t.Errorf("of two strangers %v were claimed", members)
	}
	// The workers are orphans when the test kills their parents.
	t.Cleanup(func() {
		table, _ := proc.Scan()
		for _, s := range table.Where(func(s proc.Stat) bool {
			got, _ := proc.Argv(s.PID)
			return len(got) == len(argv) && got[4] == mark
		}) {
			proc.Signal(s.Process, syscall.SIGKILL)
		}
	})
}

func TestPortIdentity(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	first := inspect(t, &supervisor.Command{Port: port})
	if first.Presence != deadman.Running || first.Process.PID != os.Getpid() {
		t.Errorf("first sight: %+v", first)
	}
	same := inspect(t, &supervisor.Command{Port: port, Known: supervisor.Known{Program: first.Program}})
	if same.Presence != deadman.Running {
		t.Errorf("the same program: %+v", same)
	}
	// Incident 54: another program took the port. It is not the agent, and must not
	// be stopped in its stead.
	thief := &supervisor.Command{Port: port, Known: supervisor.Known{Program: "another"}}
	if got := inspect(t, thief); got.Presence != deadman.Obscured || got.Process.PID != os.Getpid() {
		t.Errorf("another program: %+v", got)
	}
	r := stop(t, thief)
	if r.PortFree || len(r.Survivors) != 1 || r.Survivors[0].Own {
		t.Errorf("stop: %+v", r)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		argv []string
		exit string
	}{
		"bad status":    {[]string{self(t), "agent", "-exit", "7"}, "exit 7"},
		"does nothing":  {[]string{"true"}, "exit 0"},
		"cannot be run": {[]string{"no-such-program-anywhere"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(t.TempDir(), supervisor.Known{})
			c.StartArgv, c.PIDFile, c.StartTimeout = want.argv, c.Dir+"/up", 3*time.Second
			_, err := c.Start(t.Context(), token(t, "one"))
			var failed *supervisor.StartError
			if !errors.As(err, &failed) || failed.Exit != want.exit {
				t.Errorf("%#v, want exit %q", err, want.exit)
			}
		})
	}
}

// A start command that stays is the agent, and one that is slow is not killed.
func TestStartThatTakesLong(t *testing.T) {
	t.Parallel()
	for name, daemonize := range map[string]bool{"stays": false, "daemonizes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(t.TempDir(), supervisor.Known{})
			c.StartArgv = []string{self(t), "agent"} // never opens the port
			c.Port, c.StartTimeout = freePort(t), 300*time.Millisecond
			if daemonize {
				c.StartArgv = append(c.StartArgv, "-daemonize")
				c.StartTimeout = 3 * time.Second // in which it must have been forked
			}
			p := start(t, c, token(t, "one"))
			if got := inspect(t, c); got.Presence != deadman.Running || got.Process != p {
				t.Errorf("%+v, want %+v", got, p)
			}
			again := command(c.Dir, supervisor.Known{})
			again.Port = c.Port
			if found, ok, err := again.Started(t.Context(), token(t, "one")); !ok || found != p || err != nil {
				t.Errorf("started: %v %v %v", found, ok, err)
			}
			if r := stop(t, c); len(r.Survivors) > 0 || proc.Alive(p) != deadman.Gone {
				t.Errorf("stop: %+v", r)
			}
		})
	}
}

func TestStopCommand(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		stop    []string
		command string
		killed  int
	}{
		"works":         {[]string{"sh", "-c", `kill -KILL "$(head -n 1 up)"`}, "", 0},
		"does nothing":  {[]string{"true"}, "", 1},
		"fails":         {[]string{"sh", "-c", "exit 3"}, "exit 3", 1},
		"hangs":         {[]string{"sh", "-c", "sleep 1000; true"}, "did not end in time", 1},
		"cannot be run": {[]string{"no-such-program-anywhere"}, "cannot be run", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(t.TempDir(), supervisor.Known{})
			c.PIDFile = c.Dir + "/up"
			c.StartArgv = []string{self(t), "agent", "-daemonize", "-stubborn", "-pid-file", c.PIDFile}
			c.StopArgv, c.StopTimeout = want.stop, 200*time.Millisecond
			switch name {
			case "works":
				c.StopTimeout, c.KillDelay = 10*time.Second, 10*time.Second
			case "fails":
				c.StopTimeout = time.Hour // A command that failed is not waited for.
			}
			p := start(t, c, token(t, "one"))
			r := stop(t, c)
			if !strings.Contains(r.Command, want.command) || (want.command == "") != (r.Command == "") {
				t.Errorf("the command: %q, want %q", r.Command, want.command)
			}
			if len(r.Killed) != want.killed || len(r.Survivors) > 0 || proc.Alive(p) != deadman.Gone {
				t.Errorf("stop: %+v", r)
			}
		})
	}
}

// TestAgentThatAppearsLate: whenever the time is up, an agent that lives is returned:
// what was seen before the last wait is no longer true after it.
func TestAgentThatAppearsLate(t *testing.T) {
	t.Parallel()
	for timeout := time.Millisecond; timeout <= 40*time.Millisecond; timeout += 8 * time.Millisecond {
		c := &supervisor.Command{PIDFile: t.TempDir() + "/pid", StartTimeout: timeout, KillDelay: time.Second}
		c.StartArgv = []string{self(t), "agent", "-daemonize", "-pid-file", c.PIDFile}
		if p, err := c.Start(t.Context(), fmt.Sprintf("attempt-%v", timeout)); err != nil || p.IsZero() {
			t.Errorf("after %v: %v", timeout, err)
		}
		if _, err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
