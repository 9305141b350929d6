package simtest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/supervisor"
)

// crashPointsMin is how many points a recovery has at least: before and after
// each save and each of Stop, Keep, Restore and Start. Fewer would mean that
// the points are not there any more.
const crashPointsMin = 20

// TestCrashAtEveryRecordedAction kills deadman, built with the tag crashtest,
// before and after everything that it records or does in a recovery. The next
// run finishes it: the config is whole, the agent is up by one process, and the
// log holds together.
func TestCrashAtEveryRecordedAction(t *testing.T) {
	asked(t, "scenarios")
	t.Parallel()
	w := newCrashWorld(t)
	w.begin(t, fmt.Sprintf(`
      command: {start: [%[2]s, -daemon, -config, %[1]s/etc/config.yaml, -pid-file, %[1]s/agent.pid, -starts, %[1]s/starts]}
      process: {pid-file: %[1]s/agent.pid}`, w.dir, w.agent), func() {
		pidFile := filepath.Join(w.dir, "agent.pid")
		w.run(t, w.agent, "-daemon", "-config", filepath.Join(w.dir, "etc/config.yaml"), "-pid-file", pidFile)
		// The daemon writes it after its parent has returned, and before that
		// nobody can tell whether there is an agent: check would say so.
		w.await(t, func() bool { _, err := os.Stat(pidFile); return err == nil })
	})
	w.crashEverywhere(t)
}

// TestCrashUnderAnOwner is the same where another program owns the agent, which
// does and remembers what it was told although we are dead.
func TestCrashUnderAnOwner(t *testing.T) {
	if len(os.Getenv("DEADMAN_REQUIRE")) == 0 {
		t.Skip("`make test-owners` runs it")
	}
	if _, err := exec.LookPath("supervisord"); err != nil {
		t.Skip("supervisord is not installed")
	}
	t.Parallel()
	w := newCrashWorld(t)
	socket := filepath.Join(w.dir, "socket")
	w.write(t, "supervisord.conf", fmt.Sprintf(`
[unix_http_server]
file=%[1]s/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
logfile=%[1]s/supervisord.log
pidfile=%[1]s/supervisord.pid
[program:agent]
command=%[2]s -config %[1]s/etc/config.yaml -starts %[1]s/starts
autostart=false
autorestart=false
startsecs=0
`, w.dir, w.agent))
	daemon := exec.Command("supervisord", "-c", filepath.Join(w.dir, "supervisord.conf"))
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
	})
	owned := &supervisor.Owned{
		Owner:    &supervisor.Supervisord{Program: "agent", Socket: socket},
		StateDir: t.TempDir(), StartTimeout: patience, StopTimeout: patience, KillDelay: patience,
	}
	seen := func() supervisor.Inspection {
		in, err := owned.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	w.await(t, func() bool { return seen().Presence == deadman.Gone })
	lives := 0
	revive := func() {
		lives++
		if _, err := owned.Start(t.Context(), fmt.Sprint("life ", lives)); err != nil {
			t.Fatal(err)
		}
	}
	w.begin(t, fmt.Sprintf(" {supervisord: agent, socket: %s}", socket), revive)
	// It must be seen to have died, and not to be stopped by whoever ran before.
	w.die = func() {
		w.write(t, "etc/config.yaml", w.good)
		// Told to start it right before a death of ours, the owner may not have
		// come as far as the agent's program when that was killed.
		w.await(t, func() bool { w.kill(); in := seen(); return in.Presence == deadman.Gone && !in.Activating })
		revive()
		// It may not even have become the agent's program yet.
		w.await(t, func() bool { return len(w.pids()) > 0 })
		w.kill()
		w.await(t, func() bool { in := seen(); return in.Presence == deadman.Gone && !in.Activating && !in.Stopped })
	}
	w.crashEverywhere(t)
}

func (w *crashWorld) crashEverywhere(t *testing.T) {
	t.Helper()
	for k := 1; ; k++ {
		w.reset(t)
		died := w.check(t, k)
		if err := w.judgeConfig(); err != nil {
			t.Errorf("killed at point %d: %v", k, err)
		}
		w.check(t, 0)
		if err := w.judge(); err != nil {
			t.Errorf("killed at point %d: after the next run: %v", k, err)
		}
		if !died {
			if k <= crashPointsMin {
				t.Fatalf("the recovery had only %d points", k-1)
			}
			t.Logf("%d points", k-1)
			return
		}
		if k > 200 {
			t.Fatal("the recovery does not end")
		}
	}
}

// crashWorld is a proven agent that has broken its config and died, kept as a
// copy to begin from again and again.
type crashWorld struct {
	dir, deadman, agent string
	port                int
	good                string
	// die has an owner live through the death again, nil where there is none.
	die func()
}

// newCrashWorld builds the programs.
func newCrashWorld(t *testing.T) *crashWorld {
	t.Helper()
	dir := t.TempDir()
	w := &crashWorld{dir: dir, deadman: filepath.Join(dir, "deadman"), agent: filepath.Join(dir, "agent")}
	build := exec.Command("go", "build", "-tags", "crashtest", "-o", w.deadman, "deadman/cmd/deadman")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, w.agent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sweep(dir) })
	t.Cleanup(w.kill) // The agent that a test has started itself, too.
	if w.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	w.good = fmt.Sprintf("listen: 127.0.0.1:%d\nmodel: m1\n", w.port)
	return w
}

// begin starts an agent under a supervisor, has it proven, breaks its config and
// kills it.
func (w *crashWorld) begin(t *testing.T, supervisor string, start func()) {
	t.Helper()
	w.prove(t, supervisor, start)
	w.write(t, "etc/config.yaml", "listen: [\n")
	w.write(t, "etc/extra.env", "A=2\n")
	w.kill()
	w.save(t)
}

// prove starts an agent under a supervisor and has it proven.
func (w *crashWorld) prove(t *testing.T, supervisor string, start func()) {
	t.Helper()
	w.write(t, "etc/config.yaml", w.good)
	w.write(t, "etc/extra.env", "A=1\n")
	w.write(t, "deadman.yaml", fmt.Sprintf(`
state-dir: %[1]s/state
agents:
  a:
    config: {root: %[1]s/etc, files: [config.yaml, "*.env"], settle: 0s}
    supervisor:%[2]s
    checks:
      http: {http: {url: "http://127.0.0.1:%[3]d/health"}}
    period: 1s
    threshold: 2
    retry: 10ms
    gone-grace: 50ms
    probation: 1s
    healthy-deadline: 20s
`, w.dir, supervisor, w.port))
	start()
	w.await(t, func() bool {
		out, err := exec.Command(w.deadman, "status", "--config", filepath.Join(w.dir, "deadman.yaml"), "--json").Output()
		if err == nil && strings.Contains(string(out), `"standing":"proven"`) {
			return true
		}
		w.check(t, 0)
		return false
	})
}

// save keeps what reset goes back to.
func (w *crashWorld) save(t *testing.T) {
	t.Helper()
	w.run(t, "cp", "-a", filepath.Join(w.dir, "etc"), filepath.Join(w.dir, "etc.saved"))
	w.run(t, "cp", "-a", filepath.Join(w.dir, "state"), filepath.Join(w.dir, "state.saved"))
}

func (w *crashWorld) await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}

func (w *crashWorld) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (w *crashWorld) run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

// reset puts the world back to the moment after the death.
func (w *crashWorld) reset(t *testing.T) {
	t.Helper()
	w.kill()
	if w.die != nil {
		w.die()
	}
	for _, name := range []string{"etc", "state"} {
		path := filepath.Join(w.dir, name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		w.run(t, "cp", "-a", path+".saved", path)
	}
	_ = os.Remove(filepath.Join(w.dir, "starts"))
}

// check runs `deadman check`, command another, killed at point k if that is not 0, and reports
// whether it died there.
func (w *crashWorld) check(t *testing.T, k int) bool {
	t.Helper()
	return w.command(t, k, "check")
}

func (w *crashWorld) command(t *testing.T, k int, words ...string) bool {
	t.Helper()
	cmd := exec.Command(w.deadman, append(words, "--config", filepath.Join(w.dir, "deadman.yaml"))...)
	if k > 0 {
		cmd.Env = append(os.Environ(), "DEADMAN_CRASH="+strconv.Itoa(k))
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Errorf("%v: %v\n%s", words, err, out)
	}
	return false
}

// pids are the agents that are alive.
func (w *crashWorld) pids() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if strings.Contains(string(argv), "\x00"+filepath.Join(w.dir, "etc/config.yaml")+"\x00") && runs(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *crashWorld) kill() {
	for pids := w.pids(); len(pids) > 0; pids = w.pids() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// judgeConfig: whenever an agent runs, the set is whole.
func (w *crashWorld) judgeConfig() error {
	if len(w.pids()) == 0 {
		return nil
	}
	return w.judgeSet()
}

func (w *crashWorld) judgeSet() error {
	config, err := os.ReadFile(filepath.Join(w.dir, "etc/config.yaml"))
	env, errEnv := os.ReadFile(filepath.Join(w.dir, "etc/extra.env"))
	if err != nil || errEnv != nil {
		return errors.Join(err, errEnv)
	}
	if string(config) != w.good || string(env) != "A=1\n" {
		return fmt.Errorf("the set is not the known good: %q %q", config, env)
	}
	return nil
}

// judge: up, once, on the whole set, and the log tells it.
func (w *crashWorld) judge() error {
	if err := w.judgeSet(); err != nil {
		return err
	}
	starts, err := os.ReadFile(filepath.Join(w.dir, "starts"))
	if err != nil {
		return err
	}
	if n := strings.Count(string(starts), "\n"); n != 1 {
		return fmt.Errorf("it was started %d times", n)
	}
	if pids := w.pids(); len(pids) != 1 {
		return fmt.Errorf("processes %v", pids)
	}
	yaml := filepath.Join(w.dir, "deadman.yaml")
	if out, err := exec.Command(w.deadman, "history", "--verify", "--config", yaml).CombinedOutput(); err != nil {
		return fmt.Errorf("history --verify: %v: %s", err, out)
	}
	out, err := exec.Command(w.deadman, "history", "--json", "--config", yaml).Output()
	if err != nil {
		return err
	}
	if n := strings.Count(string(out), `"kind":"rollback"`); n != 1 {
		return fmt.Errorf("the log tells of %d rollbacks", n)
	}
	return nil
}
