package supervisor_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners, owner{
		form: "tmux", kind: "real", program: "tmux", install: installTmux, transient: true,
	})
}

// tmuxSocket is one that no server uses yet. It must be a short path.
func tmuxSocket(t *testing.T) string {
	socket := filepath.Join(shortDir(t), "tmux")
	t.Cleanup(func() { exec.Command("tmux", "-S", socket, "kill-server").Run() })
	return socket
}

func installTmux(t *testing.T, dir string, argv []string) ways {
	socket := tmuxSocket(t)
	return ways{
		owner: &supervisor.Tmux{Session: "agents", Window: "one", Argv: argv, Socket: socket},
		vanish: func(t *testing.T) {
			out, err := exec.Command("tmux", "-S", socket, "display-message", "-p", "#{pid}").Output()
			pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
			p, lost := proc.Look(pid)
			if err != nil || lost != nil {
				t.Fatal(err, lost)
			}
			kill(t, p)
		},
	}
}

// An agent with a window in a session that has others: only its own is touched,
// a name is no prefix and no pattern, arguments reach it as they are, and its end
// is told.
func TestTmuxWindows(t *testing.T) {
	t.Parallel()
	owner{form: "tmux", program: "tmux"}.require(t)
	socket := tmuxSocket(t)
	run(t, "tmux", "-S", socket, "new-session", "-d", "-s", "agents-of-mine", "-n", "window", "sleep", "600")
	run(t, "tmux", "-S", socket, "new-session", "-d", "-s", "agents", "-n", "onemore", "sleep", "600")
	broken := filepath.Join(t.TempDir(), "broken")
	const patience = 10 * time.Second
	argv := []string{self(t), "agent", "-broken", broken, "$HOME 'x';", "*;", ";"}
	f := &supervisor.Owned{
		Owner:    &supervisor.Tmux{Session: "agents", Window: "one", Argv: argv, Socket: socket},
		StateDir: t.TempDir(), StartTimeout: patience, StopTimeout: patience, KillDelay: patience,
	}
	if got := inspect(t, f); got.Presence != deadman.Gone {
		t.Fatalf("before: %+v", got)
	}
	p := start(t, f, token(t, "one"))
	eventually(t, "it is the agent", func() bool { got, _ := proc.Argv(p.PID); return slices.Equal(got, argv) })
	if marked, err := proc.Carries(p.PID, "DEADMAN_START="+token(t, "one")); !marked || err != nil {
		t.Errorf("marked: %v %v", marked, err)
	}
	windows := func() string {
		out, err := exec.Command("tmux", "-S", socket, "list-windows", "-a", "-F", "#{session_name}:#{window_name}").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	if got, want := windows(), "agents:onemore agents:one agents-of-mine:window"; got != want {
		t.Errorf("windows %q, want %q", got, want)
	}
	kill(t, p)
	// tmux overlooks an end at times, until another one: how is then not known.
	gone := func(exit string) func() bool {
		return func() bool {
			got := inspect(t, f)
			if got.Exit != "" && got.Exit != exit {
				t.Fatalf("exit: %q, want %q", got.Exit, exit)
			}
			return got.Presence == deadman.Gone
		}
	}
	eventually(t, "it is gone", gone("killed by SIGKILL"))
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(t.Context(), token(t, "two")); err == nil {
		eventually(t, "it is gone again", func() bool { return inspect(t, f).Presence == deadman.Gone })
	}
	eventually(t, "its end is told", gone("exit 3"))
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	start(t, f, token(t, "three"))
	if got, want := windows(), "agents:onemore agents:one agents-of-mine:window"; got != want {
		t.Errorf("windows %q, want %q", got, want)
	}
	// A window whose agent is not dead but somebody's shell is not taken.
	stop(t, f)
	run(t, "tmux", "-S", socket, "respawn-pane", "-k", "-t", "=agents:=one", "sleep", "600")
	var refused *supervisor.Refused
	if _, err := f.Start(t.Context(), token(t, "four")); !errors.As(err, &refused) {
		t.Errorf("it starts in a window that is in use: %v", err)
	}
}

// A server that may not be asked is no absence of one.
func TestTmuxThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	owner{form: "tmux", program: "tmux"}.require(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &supervisor.Owned{
		Owner:    &supervisor.Tmux{Session: "s", Window: "w", Argv: []string{"true"}, Socket: filepath.Join(file, "below")},
		StateDir: t.TempDir(),
	}
	if got := inspect(t, f); got.Presence != deadman.Obscured || got.Detail == "" {
		t.Errorf("%+v", got)
	}
}
