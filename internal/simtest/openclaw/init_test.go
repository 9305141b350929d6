package openclaw_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"deadman"
)

// TestInit: a gateway that somebody has started by hand. What `deadman init` writes of
// it guards it, with nothing changed and nothing told.
func TestInit(t *testing.T) {
	w := newWorld(t)
	// Under load it may end of a deadline of its own; a person would start it again.
	ended := make(chan struct{})
	close(ended)
	var gateway *exec.Cmd
	until(t, "the gateway", func() bool {
		select {
		case <-ended:
			cmd, over := w.command(os.Getenv(programs)+"/openclaw", "gateway", "run"), make(chan struct{})
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				_ = cmd.Wait()
				close(over)
			}()
			gateway, ended = cmd, over
		default:
		}
		return answers("/healthz")
	})
	t.Cleanup(func() {
		_ = gateway.Process.Kill()
		<-ended
	})

	written := w.dm(t, "init")
	for _, want := range []string{"preset: openclaw\n", `root: "` + w.root + `"`, "port: 18789"} {
		if !strings.Contains(written, want) {
			t.Errorf("init does not write %s:\n%s", want, written)
		}
	}
	if strings.Contains(written, "checks:") || strings.Contains(written, "files:") {
		t.Errorf("init writes what the preset says:\n%s", written)
	}
	// Where the state is, and a probation that a test can wait for.
	if err := os.WriteFile(w.yaml, []byte("state-dir: "+w.home+"/state\ndefaults: {probation: 2s}\n"+written), 0o600); err != nil {
		t.Fatal(err)
	}
	// The gateway makes files beside its config, so nobody can tell by the directory what
	// was there when it started: the known good is provisional until its next start.
	until(t, "a known good", func() bool {
		w.dm(t, "check")
		return w.status(t).KnownGood != nil
	})
	w.write(t, w.good()[:len(w.good())/2])
	kill(t, w.status(t))
	until(t, "the gateway", func() bool {
		w.dm(t, "check")
		return w.count(t, "rollback", "") > 0 && answers("/healthz")
	})
	if got := w.live(t); got != w.good() {
		t.Errorf("the config is\n%s", got)
	}
	if n := w.count(t, "rollback", deadman.LiveInvalid.String()); n != 1 {
		t.Errorf("%d rollbacks", n)
	}
	if a := w.status(t); a.Process != nil {
		_ = syscall.Kill(a.Process.PID, syscall.SIGKILL)
	}
}
