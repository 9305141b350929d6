package rival_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman/internal/proc"
	"deadman/internal/rival"
)

// loop is a watchdog that does nothing: its unit does not exist, and it never gets to
// it either.
const loop = `echo up; while true; do if false; then systemctl restart rivaltest-nowhere.service; fi; sleep 1; done`

// start runs a command until the test ends, and waits for its first line.
func start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%v: %q %v", argv, line, err)
	}
	return cmd
}

func nowhere() []rival.Agent {
	return []rival.Agent{{Name: "nowhere", Unit: "rivaltest-nowhere.service"}}
}

// TestLoops: loops that run are found, by what their shell was given and by the
// script that it reads, and only with Kill are they ended.
func TestLoops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "guard.sh")
	if err := os.WriteFile(script, []byte("#!/bin/bash\n"+loop+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	once := filepath.Join(dir, "once.sh")
	if err := os.WriteFile(once, []byte("#!/bin/bash\necho up\nsleep 600\nsystemctl is-active rivaltest-nowhere || systemctl restart rivaltest-nowhere\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	typed, scripted := start(t, "bash", "-c", loop), start(t, script)
	reader, single := start(t, "bash", "-c", "echo up; while read -r unit; do systemctl restart rivaltest-nowhere; done < <(sleep 600)"), start(t, once)
	h := rival.Host{Root: "/", Config: "/nowhere/deadman.yaml"}
	found, err := rival.Find(&h, nowhere())
	if err != nil {
		t.Fatal(err)
	}
	byPID := func(cmd *exec.Cmd) int {
		return slices.IndexFunc(found, func(r rival.Rival) bool { return r.Process.PID == cmd.Process.Pid })
	}
	for _, cmd := range []*exec.Cmd{typed, scripted} {
		i := byPID(cmd)
		if i < 0 {
			t.Fatalf("%v was not found", cmd.Args)
		}
		if r := found[i]; r.Form != rival.Process || r.Sure() != rival.Certain || !slices.Equal(r.Reasons(), []rival.Reason{rival.Restarts}) {
			t.Errorf("found %s", describe(r))
		}
	}
	for _, cmd := range []*exec.Cmd{reader, single} {
		if byPID(cmd) >= 0 {
			t.Errorf("%v is no loop that goes on", cmd.Args)
		}
	}
	// Nobody else's, whatever else runs on this machine.
	found = []rival.Rival{found[byPID(typed)], found[byPID(scripted)]}
	journal := filepath.Join(dir, "rivals")
	outcomes, err := rival.Disable(t.Context(), &h, journal, found, rival.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if _, err := proc.Look(found[i].Process.PID); o.Deed != "" || o.Err != nil || err != nil {
			t.Errorf("without Kill: %+v, process %v", o, err)
		}
	}
	outcomes, err = rival.Disable(t.Context(), &h, journal, found, rival.Options{Kill: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Deed != rival.Killed || o.Err != nil {
			t.Errorf("with Kill: %+v", o)
		}
		if _, err := proc.Look(found[i].Process.PID); err == nil {
			t.Errorf("process %d is still there", found[i].Process.PID)
		}
	}
	// A pid that is another's by now is not shot.
	stale := found[0]
	stale.Process.PID = single.Process.Pid
	if _, err := rival.Disable(t.Context(), &h, journal, []rival.Rival{stale}, rival.Options{Kill: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Look(single.Process.Pid); err != nil {
		t.Errorf("a stranger was ended: %v", err)
	}
	restored, err := rival.Restore(t.Context(), &h, journal, nil, rival.Options{})
	if err != nil || len(restored) == 0 {
		t.Fatalf("%v %v", restored, err)
	}
	for _, o := range restored {
		if o.Err != nil || !strings.Contains(o.Note, "by hand") {
			t.Errorf("a process does not come back, and that is said: %+v", o)
		}
	}
}

// TestPanes: a loop in a window of tmux is one, and is said to be in it.
func TestPanes(t *testing.T) {
	t.Parallel()
	tmux, err := exec.LookPath("tmux")
	if err != nil {
		if slices.Contains(strings.Fields(os.Getenv("DEADMAN_REQUIRE")), "tmux") {
			t.Fatal(err)
		}
		t.Skip("tmux is not installed")
	}
	dir, err := os.MkdirTemp("", "dm") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server := func(words ...string) ([]byte, error) {
		return exec.Command(tmux, append([]string{"-S", filepath.Join(dir, "s"), "-f", "/dev/null"}, words...)...).CombinedOutput()
	}
	if out, err := server("new-session", "-d", "-s", "watchdog", loop); err != nil {
		t.Skipf("tmux cannot run here: %v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = server("kill-server") })
	h := rival.Host{Root: "/"}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found, err := rival.Find(&h, nowhere())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(found, func(r rival.Rival) bool { return r.Form == rival.Process && r.Pane != "" }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it was not found: %v", found)
		}
	}
}
