package simtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrashInApply kills deadman before and after everything that it records or does
// in an apply. Whenever an agent runs it is on the old set or on the new one, whole;
// the checks that follow bring the trial to its end, without whoever asked for it:
// the new set is the known good, or, killed before anything was said, the old one is.
func TestCrashInApply(t *testing.T) {
	asked(t, "apply")
	w := newCrashWorld(t)
	pidFile := filepath.Join(w.dir, "agent.pid")
	start := func() {
		_ = os.Remove(pidFile)
		w.run(t, w.agent, "-daemon", "-config", filepath.Join(w.dir, "etc/config.yaml"), "-pid-file", pidFile)
		w.await(t, func() bool { _, err := os.Stat(pidFile); return err == nil })
	}
	w.prove(t, fmt.Sprintf(`
      command: {start: [%[2]s, -daemon, -config, %[1]s/etc/config.yaml, -pid-file, %[1]s/agent.pid, -starts, %[1]s/starts]}
      process: {pid-file: %[1]s/agent.pid}`, w.dir, w.agent), start)
	w.save(t)
	fresh := w.good + "token: new\n"
	w.write(t, "new/config.yaml", fresh)
	w.write(t, "new/extra.env", "A=3\n")
	set := func() string {
		config, _ := os.ReadFile(filepath.Join(w.dir, "etc/config.yaml"))
		env, _ := os.ReadFile(filepath.Join(w.dir, "etc/extra.env"))
		switch string(config) + string(env) {
		case w.good + "A=1\n":
			return "old"
		case fresh + "A=3\n":
			return "new"
		}
		return fmt.Sprintf("%q %q", config, env)
	}
	applied := 0
	for k := 1; ; k++ {
		w.reset(t)
		start()
		died := w.command(t, k, "apply", "a", "--from", filepath.Join(w.dir, "new"))
		if got := set(); len(w.pids()) > 0 && got != "old" && got != "new" {
			t.Errorf("killed at point %d: an agent runs on %s", k, got)
		}
		yaml := filepath.Join(w.dir, "deadman.yaml")
		w.await(t, func() bool {
			w.check(t, 0)
			out, err := exec.Command(w.deadman, "status", "--json", "--config", yaml).Output()
			return err == nil && strings.Contains(string(out), `"state":"up"`)
		})
		out, err := exec.Command(w.deadman, "history", "--json", "--config", yaml).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := "old"
		if strings.Contains(string(out), `"kind":"apply"`) {
			want = "new"
			applied++
		}
		if got := set(); got != want {
			t.Errorf("killed at point %d: in the end there is %s, and not the %s set", k, got, want)
		}
		if n := strings.Count(string(out), "trial-passed"); want == "new" && n != 1 {
			t.Errorf("killed at point %d: the log tells of the end of the trial %d times", k, n)
		}
		if pids := w.pids(); len(pids) != 1 {
			t.Errorf("killed at point %d: processes %v", k, pids)
		}
		if out, err := exec.Command(w.deadman, "history", "--verify", "--config", yaml).CombinedOutput(); err != nil {
			t.Errorf("killed at point %d: history --verify: %v: %s", k, err, out)
		}
		if !died {
			if applied < crashPointsMin {
				t.Fatalf("only %d of %d points were in the apply", applied, k-1)
			}
			t.Logf("%d points, %d of them after the word", k-1, applied-1)
			return
		}
		if k > 200 {
			t.Fatal("the apply does not end")
		}
	}
}
