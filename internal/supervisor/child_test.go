package supervisor_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

func child(t *testing.T, dir string, argv ...string) *supervisor.Child {
	return &supervisor.Child{
		Argv: append([]string{self(t), "agent"}, argv...), StateDir: dir, KillDelay: 300 * time.Millisecond,
	}
}

func TestChildExit(t *testing.T) {
	t.Parallel()
	c := child(t, t.TempDir(), "-exit", "42")
	start(t, c, token(t, "one"))
	eventually(t, "it is gone", func() bool { return inspect(t, c).Presence == deadman.Gone })
	if got := inspect(t, c); got.Exit != "exit 42" {
		t.Errorf("exit: %q", got.Exit)
	}
	// How it ended is not written down; another deadman does not know, and says so.
	if got := inspect(t, child(t, c.StateDir)); got.Exit != "" || got.Presence != deadman.Gone {
		t.Errorf("to another: %+v", got)
	}
}

func TestChildStartIsExact(t *testing.T) {
	t.Parallel()
	c := child(t, t.TempDir())
	before := proc.Uptime()
	start(t, c, token(t, "one"))
	got := inspect(t, c)
	if !got.Exact || got.Started < before || got.Started >= got.Process.Start+proc.Tick {
		t.Errorf("%+v, asked at %v", got, before)
	}
}

func TestChildThatCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]*supervisor.Child{
		"missing":       {Argv: []string{"no-such-program-anywhere"}},
		"not a program": {Argv: []string{dir}},
		"no directory":  {Argv: []string{self(t), "agent"}, Dir: dir + "/none"},
	} {
		c.StateDir = t.TempDir()
		_, err := c.Start(t.Context(), token(t, name))
		var failed *supervisor.StartError
		if !errors.As(err, &failed) {
			t.Errorf("%s: %v", name, err)
		}
		if got := inspect(t, c); got.Presence != deadman.Gone {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestChildRunsAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	c := &supervisor.Child{
		Argv: []string{"sleep", "1000"}, StateDir: t.TempDir(), KillDelay: time.Second,
		Credential: &supervisor.Credential{UID: 65534, GID: 65534},
	}
	p := start(t, c, token(t, "one"))
	real, effective, err := proc.UIDs(p.PID)
	if real != 65534 || effective != 65534 || err != nil {
		t.Errorf("runs as %d/%d, %v", real, effective, err)
	}
	if root, _ := proc.Carries(p.PID, "HOME="+os.Getenv("HOME")); root {
		t.Error("it has our home")
	}
}

func TestChildOfUnreadableState(t *testing.T) {
	t.Parallel()
	c := child(t, t.TempDir())
	p := start(t, c, token(t, "one"))
	text, err := os.ReadFile(c.StateDir + "/child.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.StateDir+"/child.json", text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := child(t, c.StateDir)
	if got := inspect(t, other); got.Presence != deadman.Obscured {
		t.Errorf("with nothing recorded: %+v", got)
	}
	other.Known.Process = p
	if got := inspect(t, other); got.Presence != deadman.Running || got.Process != p {
		t.Errorf("with the process recorded: %+v", got)
	}
}

// A deadman that was upgraded by exec has children that nothing in it waits for.
func TestChildIsReapedAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	c := child(t, t.TempDir())
	cmd := exec.Command(self(t), "agent")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Look(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	state, _ := json.Marshal(map[string]any{"version": 1, "process": p, "attempt": token(t, "one")})
	if err := os.WriteFile(c.StateDir+"/child.json", state, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inspect(t, c); got.Presence != deadman.Running || got.Exact {
		t.Fatalf("adopted: %+v", got)
	}
	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return inspect(t, c).Presence == deadman.Gone })
	if got := inspect(t, c); got.Exit != "killed by SIGKILL" {
		t.Errorf("exit: %q", got.Exit)
	}
	if _, err := proc.Read(p.PID); !errors.Is(err, proc.ErrGone) {
		t.Errorf("a zombie is left: %v", err)
	}
}

// However early a deadman dies while it starts a child: the next one either finds
// it or starts one, and there is never a second.
func TestChildSurvivesACrashAtAnyMoment(t *testing.T) {
	t.Parallel()
	found := 0
	for i := range 8 {
		dir := t.TempDir()
		c := child(t, dir, "-pid-file", dir+"/up")
		order, err := json.Marshal(map[string]any{
			"Argv": c.Argv, "StateDir": dir, "Env": map[string]string{"TEST_STARTER": ""},
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self(t))
		cmd.Env = append(os.Environ(), "TEST_STARTER="+string(order))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// From before it takes the lock until after the agent runs.
		pause := time.NewTimer(time.Duration(i) * 12 * time.Millisecond)
		<-pause.C
		cmd.Process.Kill()
		cmd.Wait()

		t.Cleanup(func() { c.Stop(t.Context()) })
		// The second start waits for a shim under way, and refuses beside its agent.
		p, err := c.Start(t.Context(), "attempt-2 "+strconv.Itoa(i))
		var refused *supervisor.Refused
		switch {
		case errors.As(err, &refused):
			found++
			first, ok, err := c.Started(t.Context(), "attempt-1")
			if !ok || err != nil || refused.PID != first.PID {
				t.Errorf("refused for %d, found %v %v %v", refused.PID, first, ok, err)
			}
			p = first
		case err != nil:
			t.Fatal(err)
		}
		eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
		table, err := proc.Scan()
		if err != nil {
			t.Fatal(err)
		}
		agents := table.Where(func(s proc.Stat) bool {
			argv, _ := proc.Argv(s.PID)
			return len(argv) > 3 && argv[3] == dir+"/up"
		})
		if len(agents) != 1 || agents[0].Process != p {
			t.Errorf("%d agents, want %v alone: %v", len(agents), p, agents)
		}
		if _, err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d of 8 starts had happened before the crash", found)
}

func TestLogIsPutAside(t *testing.T) {
	t.Parallel()
	c := child(t, t.TempDir())
	c.LogFile = c.StateDir + "/log"
	if err := os.WriteFile(c.LogFile, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(c.LogFile, 10<<20+1); err != nil {
		t.Fatal(err)
	}
	start(t, c, token(t, "one"))
	old, err := os.Stat(c.LogFile + ".1")
	if err != nil || old.Size() != 10<<20+1 {
		t.Errorf("the old log: %v %v", old, err)
	}
	eventually(t, "the new log is written", func() bool {
		text, _ := os.ReadFile(c.LogFile)
		return string(text) == "agent is up\n"
	})
	if err := os.Remove(c.LogFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(c.LogFile+".1", c.LogFile); err != nil {
		t.Fatal(err)
	}
	stop(t, c)
	if _, err := c.Start(t.Context(), token(t, "two")); err == nil {
		t.Error("it wrote its log through a link")
	}
}
