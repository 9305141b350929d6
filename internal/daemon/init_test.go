package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/daemon"
	"deadman/internal/proc"
)

// program is a process that is to be guarded, reaped when it ends.
func program(t *testing.T, dir string, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return cmd
}

// parse reads what Init wrote, with defaults that make a test short.
func (m *machine) parse(text []byte) config.Agent {
	m.t.Helper()
	cfg, problems := config.Parse(m.path("state"),
		config.Source{File: "deadman.yaml", Data: []byte("defaults: {retry: 20ms, gone-grace: 50ms, kill-delay: 1s}")},
		config.Source{File: "init.yaml", Data: text})
	if problems.Err() != nil {
		m.t.Fatalf("%v\n%s", problems, text)
	}
	if len(cfg.Agents) != 1 {
		m.t.Fatalf("%d agents\n%s", len(cfg.Agents), text)
	}
	m.cfg = cfg
	m.d = daemon.Open(cfg, daemon.Options{RuntimeDir: m.path("run"), By: "a test", Machine: m.path("machine")})
	m.t.Cleanup(func() { m.d.Close() })
	return cfg.Agents[0]
}

// The whole promise of init: what it writes of a process that runs is a config
// that guards it, unedited.
func TestInitOfAProcess(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := newMachine(t)
	url := fmt.Sprintf("http://127.0.0.1:%d/health", m.port)
	serves := func() bool {
		r, err := http.Get(url)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	}
	// Both the file and, by the name of a directory with a quote in it, the
	// command line are awkward.
	dir := m.path(`it's "here"`)
	if err := os.Rename(m.path("etc"), dir); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, dir, self(t), "agent", "-config", "config.yaml")
	m.until("the agent serves", serves)

	text, err := daemon.Init(ctx, daemon.Target{Name: "web-1", PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	a := m.parse(text)
	if a.Name != "web-1" || a.Config[0].Root != dir || !slices.Equal(a.Config[0].Files, []string{"config.yaml"}) {
		t.Errorf("config: %+v", a.Config)
	}
	if c := a.Supervisor.Command; c == nil || c.Process.Port != m.port {
		t.Errorf("supervisor: %+v", a.Supervisor)
	}
	if len(a.Checks) != 1 || a.Checks[0].HTTP == nil || a.Checks[0].HTTP.URL != url {
		t.Errorf("checks: %+v", a.Checks)
	}
	if !strings.Contains(string(text), "# Guessed") || strings.Contains(string(text), "hunter2") {
		t.Errorf("comments:\n%s", text)
	}

	if r := m.check(); r.Exit != api.ExitOK || r.KnownGood == nil {
		t.Fatalf("healthy: %+v", r)
	}
	list, err := m.d.Snapshots(ctx, "web-1")
	if err != nil || len(list) != 1 {
		t.Fatalf("snapshots: %v, %v", list, err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("provider: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.kill(cmd.Process.Pid)
	// A process ends before its sockets do, and for that moment nobody can tell
	// whose they are.
	m.until("its port is free", func() bool {
		sockets, err := proc.Listening(m.port)
		return err == nil && len(sockets) == 0
	})
	r := m.check()
	if r.Process != nil {
		t.Cleanup(func() { _ = syscall.Kill(r.Process.PID, syscall.SIGKILL) })
	}
	if r.Exit != api.ExitOK || r.Action != "rollback" || !serves() {
		t.Fatalf("after its death: %+v\n%s", r, text)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "config.yaml")); err != nil || string(again) != string(good) {
		t.Errorf("config: %q, %v", again, err)
	}
	// It runs where it ran, as what it was.
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.Process.PID)); err != nil || cwd != dir {
		t.Errorf("cwd: %q, %v", cwd, err)
	}
}

// A program without a port is told by its command line; with a pid file, by that.
func TestInitFindsAnIdentity(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := newMachine(t)
	m.write("etc/settings.toml", "a = 1\n")
	m.write("etc/.env", "A=1\n")
	nap := "86" + strconv.Itoa(m.port) // no other test sleeps so long
	quiet := program(t, m.path("etc"), "sleep", nap)
	m.until("the program has its arguments", func() bool {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", quiet.Process.Pid))
		return err == nil && strings.Contains(string(argv), nap)
	})
	text, err := daemon.Init(ctx, daemon.Target{PID: quiet.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	a := m.parse(text)
	if a.Name != "sleep" || !slices.Equal(a.Supervisor.Command.Process.Argv, []string{"sleep", nap}) || a.Checks[0].Process == nil {
		t.Errorf("%+v", a)
	}
	if files := a.Config[0].Files; !slices.Equal(files, []string{".env", "config.yaml", "settings.toml"}) {
		t.Errorf("files: %v", files)
	}
	if r := m.check(); r.Exit != api.ExitOK {
		t.Errorf("healthy: %+v", r)
	}
	m.kill(quiet.Process.Pid)
	r := m.check()
	if r.Process == nil || r.Action != "restart" {
		t.Fatalf("after its death: %+v\n%s", r, text)
	}
	t.Cleanup(func() { _ = syscall.Kill(r.Process.PID, syscall.SIGKILL) })

	twin := program(t, m.path("etc"), "sleep", nap)
	m.until("the twin has its arguments", func() bool {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", twin.Process.Pid))
		return err == nil && strings.Contains(string(argv), nap)
	})
	if _, err := daemon.Init(ctx, daemon.Target{PID: twin.Process.Pid}); err == nil || !strings.Contains(err.Error(), "2 processes") {
		t.Errorf("one of two alike: %v", err)
	}

	program(t, m.path("etc"), self(t), "agent", "-config", "config.yaml", "-pid-file", "../pid")
	m.until("a pid file", func() bool { _, err := os.Stat(m.path("pid")); return err == nil && m.read("pid") != "" })
	text, err = daemon.Init(ctx, daemon.Target{PID: m.pid()})
	if err != nil {
		t.Fatal(err)
	}
	if a := m.parse(text); a.Supervisor.Command.Process.PIDFile != m.path("pid") {
		t.Errorf("identity: %+v", a.Supervisor.Command.Process)
	}
}

// What a preset is for is known by its process, also where that says of itself only
// which script a shell runs; all but its place is left to the preset.
func TestInitKnowsPresets(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	home := m.path("home")
	if err := errors.Join(os.Mkdir(home, 0o755), os.Mkdir(m.path("bin"), 0o755)); err != nil {
		t.Fatal(err)
	}
	m.write("home/config.yaml", "model: m1\n")
	m.write("home/auth.json", "{}\n")
	m.write("bin/hermes", "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 1; exit; fi\nread line <\"$HERMES_HOME/fifo\"\n")
	if err := errors.Join(os.Chmod(m.path("bin/hermes"), 0o755), syscall.Mkfifo(filepath.Join(home, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, m.dir, "env", "HERMES_HOME="+home, m.path("bin/hermes"), "gateway", "run")
	m.until("it runs", func() bool {
		argv, err := proc.Argv(cmd.Process.Pid)
		return err == nil && len(argv) == 4 && argv[1] == m.path("bin/hermes")
	})
	text, err := daemon.Init(context.Background(), daemon.Target{PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	a := m.parse(text)
	if a.Preset != "hermes" || a.Config[0].Root != home || !slices.Contains(a.Config[0].Exclude, "auth*.json") || strings.Contains(string(text), "files:") {
		t.Errorf("%+v\n%s", a, text)
	}
	if r := m.check(); r.Exit != api.ExitOK || r.KnownGood == nil {
		t.Fatalf("healthy: %+v\n%s", r, text)
	}
	m.write("home/config.yaml", "model: [\n")
	m.kill(cmd.Process.Pid)
	r := m.check()
	if r.Process == nil || r.Action != "rollback" || m.read("home/config.yaml") != "model: m1\n" {
		t.Fatalf("after its death: %+v\n%s", r, text)
	}
	t.Cleanup(func() { _ = syscall.Kill(r.Process.PID, syscall.SIGKILL) })

	// One whose config lies elsewhere is none that the preset is for.
	m.write("home/config.yml", "model: m1\n")
	if err := os.Remove(filepath.Join(home, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	if text, err := daemon.Init(context.Background(), daemon.Target{PID: r.Process.PID}); err == nil && strings.Contains(string(text), "preset:") {
		t.Errorf("there is no config.yaml:\n%s", text)
	}
}

// Root guards what runs as somebody else, and starts it as that user.
func TestInitOfAnothersProcess(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	m := newMachine(t)
	nap := "85" + strconv.Itoa(m.port)
	other := program(t, "/", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", nap)
	m.until("the program runs", func() bool {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", other.Process.Pid))
		return err == nil && strings.HasPrefix(string(argv), "sleep")
	})
	text, err := daemon.Init(context.Background(), daemon.Target{PID: other.Process.Pid, Files: []string{m.path("etc/config.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	m.parse(text)
	if r := m.check(); r.Exit != api.ExitOK {
		t.Fatalf("healthy: %+v", r)
	}
	m.kill(other.Process.Pid)
	r := m.check()
	if r.Process == nil {
		t.Fatalf("after its death: %+v\n%s", r, text)
	}
	t.Cleanup(func() { _ = syscall.Kill(r.Process.PID, syscall.SIGKILL) })
	if real, effective, err := proc.UIDs(r.Process.PID); err != nil || real != 65534 || effective != 65534 {
		t.Errorf("it runs as %d and %d, %v", real, effective, err)
	}
}

func TestInitOfACommand(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	text, err := daemon.Init(context.Background(), daemon.Target{
		Command: []string{"python3", "-m", "gateway", "--config", m.path("etc/config.yaml")}, URL: "http://127.0.0.1:9/health",
	})
	if err != nil {
		if strings.Contains(err.Error(), "cannot find") {
			t.Skip("no python3 here")
		}
		t.Fatal(err)
	}
	a := m.parse(text)
	if a.Name != "gateway" || a.Supervisor.Child == nil || a.Supervisor.Child.Argv[2] != "gateway" || a.Checks[0].HTTP.URL != "http://127.0.0.1:9/health" ||
		a.Config[0].Root != m.path("etc") {
		t.Errorf("%+v\n%s", a, text)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		target daemon.Target
		want   string
	}{
		"nothing":         {daemon.Target{}, "neither"},
		"both":            {daemon.Target{PID: 2, Command: []string{"sh"}}, "at once"},
		"deadman itself":  {daemon.Target{PID: os.Getpid()}, "deadman itself"},
		"init":            {daemon.Target{PID: 1}, "starts everything"},
		"no process":      {daemon.Target{PID: 1 << 29}, "there is none"},
		"no program":      {daemon.Target{Command: []string{"/no/such/program"}}, "cannot find"},
		"no config":       {daemon.Target{Command: []string{"sh", "-c", "nothing"}, Name: "x"}, "cannot find the config"},
		"no such file":    {daemon.Target{Command: []string{"sh"}, Files: []string{filepath.Join(dir, "none.yaml")}}, "no such file"},
		"an unfit name":   {daemon.Target{Command: []string{"sh"}, Name: "../x", Files: []string{self(t)}}, "cannot"},
		"a kernel thread": {daemon.Target{PID: 2}, "kernel"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a kernel thread" {
				if comm, err := os.ReadFile("/proc/2/comm"); err != nil || string(comm) != "kthreadd\n" {
					t.Skip("no kernel thread can be seen")
				}
			}
			text, err := daemon.Init(context.Background(), tt.target)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q\n%s", err, tt.want, text)
			}
			if hint(err) == "" && name != "an unfit name" && name != "no program" {
				t.Errorf("no hint: %v", err)
			}
		})
	}
}
