package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// The tests of this file ask the systemd that runs this machine, if one does: as
// root the system's, else the user's own. internal/simtest/systemd runs them in a
// machine of its own.

// directory is where units are put that are gone after a reboot.
func directory(t *testing.T) string {
	t.Helper()
	at, units := "/run/systemd", "system"
	if os.Geteuid() != 0 {
		at, units = fmt.Sprintf("/run/user/%d/systemd", os.Geteuid()), "user"
	}
	if _, err := os.Stat(at + "/private"); err != nil {
		if strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "systemd") {
			t.Fatal("no systemd runs here")
		}
		t.Skip("no systemd runs here; see internal/simtest/systemd")
	}
	return filepath.Join(at, units)
}

// install makes an enabled unit of a command, with what more it is to say.
func install(t *testing.T, dir string, argv []string, lines ...string) string {
	t.Helper()
	name := unitName(dir)
	path := filepath.Join(directory(t), name)
	text := "[Service]\nExecStart="
	for _, arg := range argv {
		text += fmt.Sprintf("%q ", arg)
	}
	text += "\nWorkingDirectory=" + dir + "\n" + strings.Join(lines, "\n") + "\n[Install]\nWantedBy=default.target\n"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = ctl("stop", name)
		_, _ = ctl("disable", "--runtime", name)
		_ = os.Remove(path)
		_, _ = ctl("daemon-reload")
	})
	systemctl(t, "daemon-reload")
	systemctl(t, "enable", "--runtime", name)
	return name
}

func unitName(dir string) string {
	h := fnv.New64a()
	fmt.Fprint(h, dir)
	return fmt.Sprintf("deadman-test-%x.service", h.Sum64())
}

func ctl(args ...string) ([]byte, error) {
	if os.Geteuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	return exec.Command("systemctl", args...).CombinedOutput()
}

func systemctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := ctl(args...); err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func open(unit, dir string, port int, known supervisor.Known) *supervisor.Systemd {
	return &supervisor.Systemd{
		Unit: unit, User: os.Geteuid() != 0, StateDir: dir, CheckPort: port, Known: known,
		StartTimeout: 10 * time.Second, StopTimeout: 10 * time.Second, KillDelay: 300 * time.Millisecond,
	}
}

func agentArgv(t *testing.T, dir string, habits ...string) []string {
	return append([]string{self(t), "agent", "-pid-file", dir + "/up"}, habits...)
}

// TestSystemdForm has the form pass the suite that every form passes. What a
// unit of systemd inherits, and where its output goes, is systemd's business.
func TestSystemdForm(t *testing.T) {
	directory(t)
	for name, scenario := range map[string]func(*testing.T, subject){
		"a life":               aLife,
		"ignores SIGTERM":      ignoresTerm,
		"orphan on the port":   orphanOnPort,
		"unmarked orphan":      unmarkedOrphan,
		"stranger on the port": strangerOnPort,
		"death is seen":        deathIsSeen,
	} {
		t.Run(name, func(t *testing.T) {
			known := map[string]bool{}
			scenario(t, subject{"systemd", func(dir string, port int, k supervisor.Known, habits ...string) form {
				if !known[dir] {
					known[dir] = true
					argv := append(agentArgv(t, dir, "-port", fmt.Sprint(port)), habits...)
					install(t, dir, argv, "KillMode=process", "TimeoutStopSec=300ms")
				}
				return open(unitName(dir), dir, port, k)
			}})
		})
	}
}

// A person's stop is told from ours, also by a deadman that comes after a crash,
// and from an end with status 0.
func TestSystemdStops(t *testing.T) {
	dir := t.TempDir()
	unit := install(t, dir, agentArgv(t, dir))
	s := open(unit, dir, 0, supervisor.Known{})
	fresh := func() *supervisor.Systemd { return open(unit, dir, 0, s.Known) }
	p := start(t, s, token(t, "one"))
	if got := inspect(t, fresh()); got.Process != p || got.Started != p.Start || got.Restarts != 0 {
		t.Errorf("running: %+v", got)
	}
	stop(t, s)
	if got := inspect(t, fresh()); got.Presence != deadman.Gone || got.Stopped {
		t.Errorf("stopped by us: %+v", got)
	}
	systemctl(t, "start", unit)
	eventually(t, "the agent is up", func() bool { return inspect(t, fresh()).Presence == deadman.Running })
	systemctl(t, "stop", unit)
	if got := inspect(t, fresh()); got.Presence != deadman.Gone || !got.Stopped {
		t.Errorf("stopped by a person: %+v", got)
	}
	// It may have been stopped before it was up.
	if err := os.Remove(dir + "/up"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	p = start(t, fresh(), token(t, "two"))
	eventually(t, "the agent is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	// The agent ends with status 0 at SIGTERM.
	if err := proc.Signal(p, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return inspect(t, fresh()).Presence == deadman.Gone })
	eventually(t, "systemd knows", func() bool { return !inspect(t, fresh()).Activating })
	if got := inspect(t, fresh()); got.Stopped || got.Exit != "exit 0" {
		t.Errorf("ended by itself: %+v", got)
	}
}

// A unit that has used up its start limit is latched; Start clears that.
func TestSystemdLatch(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, []string{self(t), "agent", "-exit", "78"}, "Restart=always", "RestartSec=10ms")
	s := open(unitName(dir), dir, 0, supervisor.Known{})
	_, _ = s.Start(t.Context(), token(t, "one")) // It may have been seen, or not.
	eventually(t, "systemd gives up", func() bool { return inspect(t, s).Latched != "" })
	if got := inspect(t, s); got.Restarts != 5 || got.Exit != "exit 78" || got.Activating || got.Stopped {
		t.Errorf("given up: %+v", got)
	}
	if _, err := ctl("start", unitName(dir)); err == nil {
		t.Fatal("systemd starts it all the same, so this test proves nothing")
	}
	systemctl(t, "stop", unitName(dir))
	install(t, dir, agentArgv(t, dir))
	p := start(t, s, token(t, "two"))
	if got := inspect(t, s); got.Process != p || got.Latched != "" || got.Restarts != 0 {
		t.Errorf("started: %+v", got)
	}
}

// A start that comes to nothing says so, and where a person sees more.
func TestSystemdFailedStart(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, agentArgv(t, dir), "ExecStartPre=/bin/false")
	s := open(unitName(dir), dir, 0, supervisor.Known{})
	_, err := s.Start(t.Context(), token(t, "one"))
	failed := (*supervisor.StartError)(nil)
	if !errors.As(err, &failed) || !strings.Contains(failed.Hint(), "journalctl") || failed.Exit != "" {
		t.Errorf("start: %v", err)
	}
	if got := inspect(t, s); got.Presence != deadman.Gone || got.Stopped || got.Activating {
		t.Errorf("after it: %+v", got)
	}
}

// A deadman that dies over a start finds it, also while systemd is at it.
func TestSystemdStartInProgress(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, agentArgv(t, dir), "ExecStartPre=/bin/sleep 1")
	s := open(unitName(dir), dir, 0, supervisor.Known{})
	t.Cleanup(func() { s.Stop(context.Background()) })
	s.StartTimeout = 50 * time.Millisecond
	if p, err := s.Start(t.Context(), token(t, "one")); err != nil || !p.IsZero() {
		t.Fatalf("start: %v %v", p, err)
	}
	if got := inspect(t, s); !got.Activating || got.Presence != deadman.Gone {
		t.Fatalf("starting: %+v", got)
	}
	next := open(unitName(dir), dir, 0, supervisor.Known{})
	p, ok, err := next.Started(t.Context(), token(t, "one"))
	if !ok || err != nil || inspect(t, next).Process != p {
		t.Errorf("started: %v %v %v", p, ok, err)
	}
	stop(t, next)
	if got := inspect(t, next); got.Presence != deadman.Gone || got.Stopped {
		t.Errorf("stopped: %+v", got)
	}
}

func TestSystemdUnknownUnit(t *testing.T) {
	directory(t)
	s := open("deadman-test-none", t.TempDir(), 0, supervisor.Known{})
	if got := inspect(t, s); got.Presence != deadman.Obscured || got.Detail == "" {
		t.Errorf("inspect: %+v", got)
	}
	if _, err := s.Start(t.Context(), token(t, "one")); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("start: %v", err)
	}
	stop(t, s)
}
