package openclaw_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
)

// child is a gateway that deadman owns. Its own limits of starts are tested where a
// test takes no more of them than a person would.
const child = `    supervisor:
      child: [openclaw, gateway, run]
      env: {OPENCLAW_NO_RESPAWN: "1"}
    recovery: {start-limit-burst: 100}
`

// TestRun: the gateway in the foreground of `deadman run`, as in a container. What
// breaks it are the incidents that this program is for.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.guard(t, child)
	run := w.start(t, "run", "gateway")
	a := w.proven(t)

	// It wrote beside its config, and nothing of that is in the set.
	files, err := os.ReadDir(w.home + "/state/agents/gateway/last-known-good")
	if err != nil || len(files) != 1 || files[0].Name() != "openclaw.json" {
		t.Errorf("the known good is %v, %v", files, err)
	}

	// Incidents 1, 2, 6: a key that the model invented, written past the validator
	// while the gateway is green. Incidents 22, 23: a file that is cut off.
	for name, broken := range map[string]string{
		"invalid key": strings.Replace(w.good(), "bind:", `thinking: "high", bind:`, 1),
		"truncated":   w.good()[:len(w.good())/2],
	} {
		t.Run(name, func(t *testing.T) {
			said, rollbacks := w.count(t, "", deadman.BrokenUnderGreen.String()), w.count(t, "rollback", "")
			w.write(t, broken)
			until(t, "a word of it", func() bool { return w.count(t, "", deadman.BrokenUnderGreen.String()) > said })
			if !answers("/healthz") {
				t.Fatal("it does not serve on")
			}
			before := a.Process.PID
			kill(t, a)
			until(t, "another process", func() bool {
				a = w.status(t)
				return a.Process != nil && a.Process.PID != before
			})
			a = w.proven(t)
			if got := w.live(t); got != w.good() || !answers("/healthz") {
				t.Errorf("the config is\n%s", got)
			}
			// Nothing was started on a config that cannot load.
			if n := w.count(t, "rollback", deadman.LiveInvalid.String()); n != rollbacks+1 || w.count(t, "rollback", "") != n {
				t.Errorf("%d rollbacks for an invalid config, %d before", n, rollbacks)
			}
		})
	}

	// OpenClaw writes its config itself: bytes, mode and backups beside it. That is a
	// good change. Its start on it proves it, and nothing is taken back.
	t.Run("own write", func(t *testing.T) {
		rollbacks := w.count(t, "rollback", "")
		if out, err := w.command(os.Getenv(programs)+"/openclaw", "config", "set", "agents.defaults.heartbeat.every", `"2h"`, "--strict-json").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		written := w.live(t)
		if !strings.Contains(written, "lastTouchedVersion") {
			t.Errorf("it stamps nothing any more:\n%s", written)
		}
		if _, err := os.Stat(w.root + "/openclaw.json.bak"); err != nil {
			t.Error(err)
		}
		// It earns its start by the probation under a healthy process.
		var found, since time.Time
		until(t, "a candidate that was there for the probation", func() bool {
			now := w.status(t)
			switch {
			case now.Live == nil || now.Live.Standing != deadman.Candidate || now.Live.ID == "":
			case found.IsZero():
				found = now.LastCheck // That of the round before the one in which it was found.
			case since.IsZero():
				if now.LastCheck.After(found) {
					since = now.LastCheck
				}
			default:
				return now.LastCheck.Sub(since) > 3*time.Second
			}
			return false
		})
		before := a.Process.PID
		kill(t, a)
		until(t, "another process", func() bool {
			a = w.status(t)
			return a.Process != nil && a.Process.PID != before
		})
		a = w.proven(t)
		if got := w.live(t); got != written {
			t.Errorf("the config is\n%s", got)
		}
		if n := w.count(t, "rollback", ""); n != rollbacks {
			t.Errorf("%d rollbacks, %d before", n, rollbacks)
		}
		if files, err := os.ReadDir(w.home + "/state/agents/gateway/last-known-good"); err != nil || len(files) != 1 {
			t.Errorf("the known good is %v, %v", files, err)
		}

		// Its doctor stamps when it ran. That is no change; see below.
		w.write(t, strings.TrimSuffix(strings.TrimSpace(written), "}")+`, "wizard": {"lastRunAt": "2026-01-01T00:00:00Z", "lastRunCommand": "doctor"}}`)
		w.dm(t, "check")
	})

	// Incident 54: somebody else has its port. No config of its frees it.
	t.Run("port taken", func(t *testing.T) {
		a = w.status(t)
		rollbacks, live := w.count(t, "rollback", ""), w.live(t)
		// deadman looks away for as long as it takes to take the port.
		if err := run.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		killAll(t, a)
		var holder net.Listener
		until(t, "the port", func() (ok bool) {
			var err error
			holder, err = net.Listen("tcp", strings.TrimPrefix(gateway, "http://"))
			return err == nil
		})
		defer holder.Close()
		if err := run.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		incident := ""
		until(t, "the cause", func() bool {
			for _, e := range w.history(t) {
				if e.Kind == "start" && e.Cause == deadman.PortTaken.String() {
					incident = e.Incident
					if e.Reason != deadman.LiveIsKnownGood.String() {
						t.Errorf("started because %s: is a stamp a change?", e.Reason)
					}
				}
			}
			return incident != ""
		})
		want := fmt.Sprintf("process %d (openclaw.test) listens on port 18789", os.Getpid())
		if why := w.dm(t, "explain", incident); !strings.Contains(why, want) {
			t.Errorf("explain does not say %q:\n%s", want, why)
		}
		holder.Close()
		until(t, "the gateway", func() bool { return w.status(t).State == deadman.Up && answers("/healthz") })
		if n := w.count(t, "rollback", ""); n != rollbacks || w.live(t) != live {
			t.Errorf("%d rollbacks, %d before; the config is\n%s", n, rollbacks, w.live(t))
		}
	})
	w.dm(t, "history", "--verify")
}
