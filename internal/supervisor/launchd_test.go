package supervisor_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners, owner{form: "launchd", kind: "stand-in", install: installLaunchd, restarts: true, counts: true})
}

// launchd is a stand-in, written from launchctl(1) and from what print is seen to
// say: one job with KeepAlive, throttled.
type launchd struct {
	argv  []string
	plist string

	sync.Mutex
	cmd                      *exec.Cmd
	over                     chan struct{}
	loaded, disabled, throws bool
	runs                     int
	last                     string
}

const (
	jobDomain = "gui/501"
	jobLabel  = "ai.agent"
	throttle  = 100 * time.Millisecond
)

// reply is what a launchctl prints and ends with.
type reply struct {
	Out, Err string
	Code     int
}

// launchctl is the client: the test binary, run by a script of that name.
func launchctl(args []string) int {
	conn, err := net.Dial("unix", os.Getenv("TEST_LAUNCHD"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "Could not contact launchd")
		return 1
	}
	var r reply
	if json.NewEncoder(conn).Encode(args) != nil || json.NewDecoder(conn).Decode(&r) != nil {
		return 1
	}
	fmt.Print(r.Out)
	fmt.Fprint(os.Stderr, r.Err)
	return r.Code
}

// run starts the job's process. The lock is held.
func (l *launchd) run() {
	l.throws = false
	cmd, over := exec.Command(l.argv[0], l.argv[1:]...), make(chan struct{})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cmd.Start() != nil {
		return
	}
	l.cmd, l.over = cmd, over
	l.runs++
	go func() {
		cmd.Wait()
		l.Lock()
		defer l.Unlock()
		defer close(over)
		l.cmd = nil
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		l.last = fmt.Sprintf("\tlast exit code = %d\n", ws.ExitStatus())
		if ws.Signaled() {
			l.last = fmt.Sprintf("\tlast terminating signal = %s: %d\n", ws.Signal(), int(ws.Signal()))
		}
		if !l.loaded {
			return
		}
		l.throws = true
		time.AfterFunc(throttle, func() {
			l.Lock()
			defer l.Unlock()
			if l.loaded && l.cmd == nil {
				l.run()
			}
		})
	}()
}

func (l *launchd) bootout() {
	l.Lock()
	l.loaded = false
	cmd, over := l.cmd, l.over
	l.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-over:
	case <-time.After(3 * time.Second): // ExitTimeOut is 20.
		cmd.Process.Kill()
		<-over
	}
}

func (l *launchd) answer(args []string) reply {
	target := jobDomain + "/" + jobLabel
	missing := reply{Err: "Could not find service \"" + jobLabel + "\" in domain for user gui: 501\n", Code: 113}
	if len(args) < 2 || args[1] != target && args[0] != "bootstrap" {
		return reply{Err: "Could not find domain for\n", Code: 112}
	}
	l.Lock()
	defer l.Unlock()
	switch args[0] {
	case "print":
		if !l.loaded {
			return missing
		}
		state, pid := "not running", ""
		if l.throws {
			state = "spawn scheduled"
		}
		if l.cmd != nil {
			state, pid = "running", fmt.Sprintf("\tpid = %d\n", l.cmd.Process.Pid)
		}
		last := l.last
		if last == "" {
			last = "\tlast exit code = (never exited)\n"
		}
		return reply{Out: fmt.Sprintf("%s = {\n\tactive count = 1\n\tpath = %s\n\tstate = %s\n\n\tprogram = %s\n\targuments = {\n\t\tstate = active\n\t}\n\truns = %d\n%s%s\n\tresource coalition = {\n\t\tstate = active\n\t}\n}\n",
			target, l.plist, state, l.argv[0], l.runs, pid, last)}
	case "enable":
		l.disabled = false
	case "bootstrap":
		switch {
		case len(args) != 3 || args[1] != jobDomain || args[2] != l.plist, l.disabled, l.loaded:
			return reply{Err: "Bootstrap failed: 5: Input/output error\n", Code: 5}
		}
		l.loaded, l.runs, l.last = true, 0, ""
		l.run()
	case "kickstart":
		if !l.loaded {
			return missing
		}
		if l.cmd == nil {
			l.run()
		}
	case "bootout":
		if !l.loaded {
			return reply{Err: "Boot-out failed: 3: No such process\n", Code: 3}
		}
		l.loaded = false
		if l.cmd == nil {
			return reply{}
		}
		go l.bootout()
		return reply{Err: "Boot-out failed: 36: Operation now in progress\n", Code: 36}
	}
	return reply{}
}

func installLaunchd(t *testing.T, dir string, argv []string) ways {
	home := shortDir(t)
	listener, err := net.Listen("unix", home+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	l := &launchd{argv: argv, plist: filepath.Join(home, "any name.plist"), disabled: true}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var args []string
				if json.NewDecoder(conn).Decode(&args) == nil {
					json.NewEncoder(conn).Encode(l.answer(args))
				}
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		l.bootout()
	})
	program := filepath.Join(home, "launchctl")
	script(t, program, fmt.Sprintf("#!/bin/sh\nTEST_LAUNCHD=%s/socket exec '%s' launchctl \"$@\"\n", home, self(t)))
	record := filepath.Join(dir, "state", "plist")
	if err := os.WriteFile(record, []byte(l.plist), 0o600); err != nil {
		t.Fatal(err)
	}
	return ways{
		owner:  &supervisor.Launchd{Label: jobLabel, Domain: jobDomain, Record: record, Program: program},
		person: func(*testing.T) { l.bootout() },
		vanish: func(*testing.T) {
			listener.Close()
			l.Lock()
			defer l.Unlock()
			l.loaded = false // Nobody is there to bring it back.
		},
	}
}

// What print is seen to say, and what may go wrong with it.
func TestLaunchdPrint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   supervisor.Inspection
	}{
		"failed": {
			"printf 'gui/501/a = {\\n\\tstate = not running\\n\\truns = 3\\n\\tlast exit code = 78: EX_CONFIG\\n\\tx = {\\n\\t\\tstate = active\\n\\t\\tpid = 1\\n\\t}\\n}\\n'",
			supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 78", Restarts: 2},
		},
		"killed": {
			"printf 'gui/501/a = {\\n\\tstate = spawn scheduled\\n\\truns = 1\\n\\tlast terminating signal = Killed: 9\\n}\\n'",
			supervisor.Inspection{Presence: deadman.Gone, Exit: "killed by SIGKILL", Activating: true},
		},
		"never started": {
			"printf 'gui/501/a = {\\n\\tstate = not running\\n\\truns = 0\\n\\tlast exit code = (never exited)\\n}\\n'",
			supervisor.Inspection{Presence: deadman.Gone},
		},
		"not loaded": {
			"echo 'Could not find service \"a\" in domain for user gui: 501' >&2; exit 113",
			supervisor.Inspection{Presence: deadman.Gone, Stopped: true, Restarts: supervisor.RestartsUnknown},
		},
		"no such domain": {
			"echo 'Could not find domain for gui/501' >&2; exit 113",
			supervisor.Inspection{Presence: deadman.Obscured, Restarts: supervisor.RestartsUnknown},
		},
		"no rights":      {"echo 'Not privileged' >&2; exit 1", supervisor.Inspection{Presence: deadman.Obscured, Restarts: supervisor.RestartsUnknown}},
		"another format": {"echo '{}'", supervisor.Inspection{Presence: deadman.Obscured, Restarts: supervisor.RestartsUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "launchctl")
			script(t, program, "#!/bin/sh\n"+c.script+"\n")
			got := inspect(t, &supervisor.Owned{Owner: &supervisor.Launchd{Label: "a", Domain: "gui/501", Program: program}, StateDir: t.TempDir()})
			if got.Presence != c.want.Presence || got.Exit != c.want.Exit || got.Stopped != c.want.Stopped ||
				got.Activating != c.want.Activating || got.Restarts != c.want.Restarts || got.Detail == "" {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
		})
	}
}
