package simtest_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman/internal/proc"
)

// firstProcessAgent leaves orphans: subshells that end at once, whose children
// live a little longer and then are the first process's to reap.
const firstProcessAgent = `
trap 'echo USR1 >>got' USR1
trap 'echo HUP >>got' HUP
trap 'exit 7' TERM
for i in 1 2 3; do (sh -c 'sleep 0.1; echo done >>orphans' &); done
echo $$ >>starts
while :; do sleep 0.05; done
`

// TestRunAsFirstProcess: as the entrypoint of a container, which is a pid
// namespace, `deadman run` reaps orphans, forwards signals and passes the
// agent's exit status.
func TestRunAsFirstProcess(t *testing.T) {
	if os.Geteuid() != 0 || exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run() != nil {
		t.Skip("needs root that may make a pid namespace")
	}
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	self, err := os.Executable()
	if err := errors.Join(err, os.Symlink(self, path("deadman")),
		os.WriteFile(path("agent.sh"), []byte(firstProcessAgent), 0o644),
		os.WriteFile(path("agent.yaml"), []byte("a: 1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	// Without a terminal, also where the tests have one.
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
		path("deadman"), "run", "--files", "agent.yaml", "--state-dir", path("state"), "--", "sh", "agent.sh")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	await := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = cmd.Process.Kill()
				<-ended
				t.Fatalf("%s: it never came to that\n%s", what, out.String())
			}
		}
	}
	wrote := func(name, text string, times int) func() bool {
		return func() bool {
			have, _ := os.ReadFile(path(name))
			return strings.Count(string(have), text) == times
		}
	}
	await("orphans", wrote("orphans", "done\n", 3))
	first := children(t, cmd.Process.Pid, false)
	if len(first) != 1 {
		t.Fatalf("the namespace's first processes: %v", first)
	}
	await("reaped", func() bool { return len(children(t, first[0], true)) == 0 })
	for sig, name := range map[syscall.Signal]string{syscall.SIGUSR1: "USR1", syscall.SIGHUP: "HUP"} {
		if signal.Ignored(sig) {
			continue // These tests run under nohup, and so does everything that they start.
		}
		_ = syscall.Kill(first[0], sig)
		await(name, wrote("got", name+"\n", 1))
	}
	_ = syscall.Kill(first[0], syscall.SIGTERM)
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v, not with the agent's exit status\n%s", err, out.String())
	}
	if !wrote("starts", "\n", 1)() {
		t.Error("a signal that was passed on started it anew")
	}
}

// children are the pids whose parent is pid: those that live, or the zombies.
func children(t *testing.T, pid int, dead bool) []int {
	t.Helper()
	names, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, name := range names {
		child, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		if s, err := proc.Read(child); err == nil && s.Parent == pid && s.Dead() == dead {
			pids = append(pids, child)
		}
	}
	return pids
}
