package daemon_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"deadman/internal/api"
	"deadman/internal/daemon"
	"deadman/internal/proc"
)

// TestAWatchThatDoesNotAnswer: beside one that is stuck nobody waits for ever, and
// what it did not take up is not left for it.
func TestAWatchThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	// The watch: its lock, and a process that was suspended.
	stuck := exec.Command("sleep", "60")
	try(t, stuck.Start())
	t.Cleanup(func() { _ = stuck.Process.Kill(); _ = stuck.Wait() })
	try(t, stuck.Process.Signal(syscall.SIGSTOP))
	lock := flock.New(m.path("state/agents/a/lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	t.Cleanup(func() { _ = lock.Unlock() })
	p, err := proc.Look(stuck.Process.Pid)
	try(t, err)
	text, err := json.Marshal(map[string]any{"process": p, "watch": true})
	try(t, err)
	m.write("state/agents/a/actor", string(text))

	m.d.SetTakeTime(100 * time.Millisecond)
	a := m.check()
	if a.Exit != api.ExitBusy || !strings.Contains(strings.Join(a.Findings, "\n"), "does not answer") {
		t.Errorf("check: %+v", a)
	}
	_, err = m.d.Tell(t.Context(), "a", "stop", daemon.Arg{}, 0)
	var busy *daemon.BusyError
	if !errors.As(err, &busy) || !busy.Silent || busy.PID != p.PID {
		t.Errorf("stop: %v", err)
	}
	finds(t, m, "bad", "is suspended")

	try(t, os.Remove(filepath.Join(m.dir, "state/agents/a/actor")))
	try(t, lock.Unlock())
	if a := m.check(); a.Exit != api.ExitOK || a.State.String() != "up" {
		t.Errorf("the word was obeyed after all: %+v", a)
	}
}
