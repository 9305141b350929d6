package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/simtest/machine"
)

// booted is a machine in a test.
type booted struct {
	*machine.Machine
	flags []string // of nspawn, more than it always has
}

// need skips the test, or fails it where DEADMAN_REQUIRE says so.
func need(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "systemd") {
		t.Fatal(err)
	}
	t.Skip(err)
}

// build puts the programs into the machine, at /t.
func build(t *testing.T, root string) {
	t.Helper()
	for name, args := range map[string][]string{
		"deadman":         {"build", "-o", root + "/t/deadman", "deadman/cmd/deadman"},
		"agent":           {"build", "-o", root + "/t/agent", "deadman/internal/simtest/agent/scripted"},
		"supervisor.test": {"test", "-c", "-o", root + "/t/supervisor.test", "deadman/internal/supervisor"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build %s: %v\n%s", name, err, out)
		}
	}
}

// newMachine copies the image and boots it.
func newMachine(t *testing.T, flags ...string) booted {
	t.Helper()
	if !strings.Contains(os.Getenv("DEADMAN_RUN")+os.Getenv("DEADMAN_REQUIRE"), "systemd") {
		t.Skip("it takes a minute: `make test-systemd` runs it")
	}
	image, err := machine.Image()
	if err != nil {
		need(t, err)
	}
	m, err := machine.Copy(image, filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	build(t, m.Root)
	b := booted{m, append([]string{"--private-network"}, flags...)}
	b.boot(t)
	t.Cleanup(m.Cut)
	return b
}

func (m booted) boot(t *testing.T) {
	t.Helper()
	if err := m.Boot(m.flags...); err != nil {
		need(t, err)
	}
}

// run runs a shell command that must succeed.
func (m booted) run(t *testing.T, command string) string {
	t.Helper()
	out, status := m.Try(command)
	if status != 0 {
		t.Fatalf("%s: status %d\n%s", command, status, out)
	}
	return out
}

// until waits until a shell command succeeds.
func (m booted) until(t *testing.T, command string) {
	t.Helper()
	if !machine.Wait(func() bool { _, status := m.Try(command); return status == 0 }) {
		out, status := m.Try(command)
		journal, _ := m.Try("journalctl -n 20 --no-pager")
		t.Fatalf("never: %s: status %d\n%s\n%s", command, status, out, journal)
	}
}

// write writes a file in the machine.
func (m booted) write(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m booted) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.Root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
