package daemon_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"deadman/internal/api"
	"deadman/internal/daemon"
	"deadman/internal/proc"
)

// TestNobodyWaitsForAWatch: it keeps its lock for as long as it lives, so it is asked
// at once, however long somebody is willing to wait for a lock.
func TestNobodyWaitsForAWatch(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	watch := daemon.Open(m.cfg, daemon.Options{RuntimeDir: m.path("run"), By: "a watch"})
	ctx, end := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		defer watch.Close()
		ended <- watch.Watch(ctx, nil, nil, func() { close(ready) }, func(string) {})
	}()
	<-ready
	patience, enough := context.WithTimeout(t.Context(), 30*time.Second)
	defer enough()
	const wait = time.Hour
	if r, err := m.d.Tell(patience, "a", "pause", daemon.Arg{For: time.Hour}, wait); err != nil || r.State.String() != "paused" {
		t.Errorf("pause: %v %v", r.State, err)
	}
	r, err := m.d.Check(patience, nil, wait)
	if err != nil || r.Agents[0].State.String() != "paused" {
		t.Errorf("check: %+v %v", r.Agents, err)
	}
	end()
	try(t, <-ended)
}

// TestAWordIsLeftByAWatchThatEnds: who has asked it does it himself.
func TestAWordIsLeftByAWatchThatEnds(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	// The watch: its lock, and a process that takes nothing up.
	other := exec.Command("sleep", "600")
	try(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	lock := flock.New(m.path("state/agents/a/lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	p, err := proc.Look(other.Process.Pid)
	try(t, err)
	text, err := json.Marshal(map[string]any{"process": p, "watch": true})
	try(t, err)
	m.write("state/agents/a/actor", string(text))

	m.d.SetTakeTime(time.Hour)
	said := make(chan error, 1)
	go func() {
		_, err := m.d.Tell(t.Context(), "a", "pause", daemon.Arg{For: time.Hour}, 0)
		said <- err
	}()
	m.until("the bell", func() bool {
		_, err := os.Stat(m.path("state/agents/a/inbox"))
		return err == nil
	})
	try(t, os.Remove(m.path("state/agents/a/actor")))
	try(t, lock.Unlock())
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	if a := m.check(); a.Exit != api.ExitOK || a.State.String() != "paused" {
		t.Errorf("%+v", a)
	}
}
