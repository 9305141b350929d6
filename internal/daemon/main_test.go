package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/daemon"
	"deadman/internal/simtest/agent"
	"deadman/internal/supervisor"
)

// The test binary plays the agent and its shim besides its own part.
func TestMain(m *testing.M) {
	// Built with -race, a program sleeps for a second when it ends, unless told.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		agent.Main()
	}
	if os.Getenv("AGENT_DAEMON") != "" { // its detached self, which lacks that word
		agent.Main()
	}
	os.Exit(m.Run())
}

// machine is one machine with one agent, a, that a command daemonizes.
type machine struct {
	t    *testing.T
	dir  string // of everything
	port int
	text string // of deadman.yaml
	cfg  config.Config
	d    *daemon.Daemon
}

// newMachine writes a good config for the agent, and does not start it. more are
// lines for deadman.yaml, beneath the agent.
func newMachine(t *testing.T, more ...string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, dir: dir, port: freePort(t)}
	if err := os.Mkdir(m.path("etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write("etc/config.yaml", m.config("model: model-one"))
	m.open(fmt.Sprintf(`
state-dir: %[1]s/state
agents:
  a:
    config: {root: %[1]s/etc, files: [config.yaml], settle: 0}
    supervisor:
      command: {start: [%[2]q, agent, -daemon, -config, %[1]s/etc/config.yaml, -pid-file, %[1]s/pid]}
      process: {pid-file: %[1]s/pid}
    checks:
      web: {http: {url: "http://127.0.0.1:%[3]d/health"}}
    period: 1s
    timeout: 1s
    threshold: 2
    retry: 10ms
    gone-grace: 10ms
    kill-delay: 1s
    probation: 1s
    healthy-deadline: 5s
    start-timeout: 5s
    %[4]s
`, dir, self(t), m.port, strings.Join(more, "\n    ")))
	t.Cleanup(m.end)
	return m
}

// config is a config that the agent starts on.
func (m *machine) config(more string) string {
	return fmt.Sprintf("listen: 127.0.0.1:%d\nprovider: local\ntoken: hunter2\n%s\n", m.port, more)
}

func (m *machine) open(text string) {
	m.t.Helper()
	cfg, problems := config.Parse("", config.Source{File: "deadman.yaml", Data: []byte(text)})
	if problems.Err() != nil {
		m.t.Fatalf("%v\n%s", problems, text)
	}
	m.text, m.cfg = text, cfg
	m.d = daemon.Open(cfg, daemon.Options{RuntimeDir: filepath.Join(m.dir, "run"), By: "a test", Machine: m.path("machine")})
	m.t.Cleanup(func() { m.d.Close() })
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// write puts a file in place by rename.
func (m *machine) write(name, text string) {
	m.t.Helper()
	path := m.path(name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m *machine) check() api.Agent {
	m.t.Helper()
	r, err := m.d.Check(context.Background(), nil, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return r.Agents[0]
}

// healthy starts the agent, and checks until what is live is the proven known
// good.
func (m *machine) healthy() {
	m.t.Helper()
	var last api.Agent
	defer func() {
		if m.t.Failed() {
			m.t.Logf("last check: %+v", last)
		}
	}()
	m.until("proof", func() bool {
		last = m.check()
		return last.KnownGood != nil && last.KnownGood.Standing == deadman.Proven && last.Live.Hash == last.KnownGood.Hash && last.Incident == ""
	})
}

// pid is the agent's.
func (m *machine) pid() int {
	m.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(m.read("pid")))
	if err != nil {
		m.t.Fatal(err)
	}
	return pid
}

// kill ends a process and waits for its end.
func (m *machine) kill(pid int) {
	m.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	m.until("the end of the agent", func() bool { return !runs(pid) })
}

func (m *machine) until(what string, holds func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("never: %s", what)
		}
	}
}

// end leaves nothing running.
func (m *machine) end() {
	if text, err := os.ReadFile(m.path("pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 && runs(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// runs reports whether a process is there and is no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
