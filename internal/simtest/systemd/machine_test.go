package systemd_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// packages are in the image beside what debootstrap always takes.
const packages = "systemd,systemd-sysv,dbus,libpam-systemd,dbus-user-session,cron,strace"

// patience bounds what a test waits for; passing never takes that long, except
// where cron does.
var patience = 100 * time.Second

// machine is a booted one.
type machine struct {
	root   string
	flags  []string // of nspawn, more than it always has
	nspawn *exec.Cmd
	leader int
}

// need skips the test, or fails it where DEADMAN_REQUIRE says so.
func need(t *testing.T, format string, args ...any) {
	t.Helper()
	if strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "systemd") {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// image is the directory of the image, which is made once and kept.
func image(t *testing.T) string {
	t.Helper()
	if !strings.Contains(os.Getenv("DEADMAN_RUN")+os.Getenv("DEADMAN_REQUIRE"), "systemd") {
		t.Skip("it takes a minute: `make test-systemd` runs it")
	}
	if os.Geteuid() != 0 {
		need(t, "needs root, to boot a machine in systemd-nspawn")
	}
	for _, program := range []string{"debootstrap", "systemd-nspawn", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			need(t, "needs %s (Debian packages debootstrap, systemd-container, util-linux)", program)
		}
	}
	mirror, suite := source()
	if mirror == "" {
		need(t, "needs a Debian whose apt sources name a mirror, for the image")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(suite + packages))
	dir := filepath.Join(cache, "deadman-test", fmt.Sprintf("systemd-%x", sum[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	if out, err := exec.Command("debootstrap", "--variant=minbase", "--include="+packages, suite, temp, mirror).CombinedOutput(); err != nil {
		need(t, "cannot make the image: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// source is where this machine gets its Debian from: the first mirror in its apt
// sources that has the whole of its suite.
func source() (mirror, suite string) {
	release, _ := os.ReadFile("/etc/os-release")
	if m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)`).FindSubmatch(release); m != nil {
		suite = string(m[1])
	}
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		text, _ := os.ReadFile(file)
		for stanza := range strings.SplitSeq(string(text), "\n\n") {
			uri := regexp.MustCompile(`(?m)^URIs:\s*(\S+)`).FindStringSubmatch(stanza)
			has := regexp.MustCompile(`(?m)^Suites:(?:.*\s)?` + suite + `(?:\s|$)`).MatchString(stanza)
			if uri != nil && has {
				return uri[1], suite
			}
		}
		line := regexp.MustCompile(`(?m)^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+` + suite + `\s+main`).FindSubmatch(text)
		if line != nil {
			return string(line[1]), suite
		}
	}
	return "", suite
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
func newMachine(t *testing.T, flags ...string) *machine {
	t.Helper()
	from := image(t)
	m := &machine{root: filepath.Join(t.TempDir(), "root"), flags: flags}
	if out, err := exec.Command("cp", "-a", "--reflink=auto", from, m.root).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy the image: %v\n%s", err, out)
	}
	build(t, m.root)
	m.boot(t)
	t.Cleanup(func() { m.cut() })
	return m
}

// boot boots the machine and waits until it is up.
func (m *machine) boot(t *testing.T) {
	t.Helper()
	log, err := os.Create(m.root + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := []string{"--quiet", "--directory=" + m.root, "--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--boot"}
	m.nspawn = exec.Command("systemd-nspawn", append(args, m.flags...)...)
	m.nspawn.Stdout, m.nspawn.Stderr = log, log
	if err := m.nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	up := func() bool {
		if m.leader = first(m.nspawn.Process.Pid); m.leader == 0 {
			return false
		}
		state, _ := m.try("systemctl is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	}
	if !wait(up) {
		m.cut()
		text, _ := os.ReadFile(log.Name())
		need(t, "the machine does not boot:\n%s", text[max(0, len(text)-2000):])
	}
}

// cut cuts the power: everything in the machine ends at once. What it has written
// is on the disk, since the kernel is ours and lives on.
func (m *machine) cut() {
	// nspawn ends when the first process of the machine does, and has reaped it
	// then. Killed itself, it would leave the machine running.
	if m.leader == 0 || syscall.Kill(m.leader, syscall.SIGKILL) != nil {
		_ = m.nspawn.Process.Kill()
	}
	_ = m.nspawn.Wait()
	m.leader = 0
}

// first is the process below nspawn that is number 1 inside.
func first(nspawn int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	for child := range strings.FieldsSeq(string(text)) {
		status, _ := os.ReadFile("/proc/" + child + "/status")
		comm, _ := os.ReadFile("/proc/" + child + "/comm")
		if regexp.MustCompile(`(?m)^NSpid:.*\s1$`).Match(status) && strings.TrimSpace(string(comm)) == "systemd" {
			pid, _ := strconv.Atoi(child)
			return pid
		}
	}
	return 0
}

func wait(cond func() bool) bool {
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// try runs a shell command in the machine, as root.
func (m *machine) try(command string) (output string, status int) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"--", "/bin/bash", "-c", command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/t", "HOME=/root", "DEADMAN_REQUIRE=systemd"}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}

// run runs a shell command that must succeed.
func (m *machine) run(t *testing.T, command string) string {
	t.Helper()
	out, status := m.try(command)
	if status != 0 {
		t.Fatalf("%s: status %d\n%s", command, status, out)
	}
	return out
}

// until waits until a shell command succeeds.
func (m *machine) until(t *testing.T, command string) {
	t.Helper()
	if !wait(func() bool { _, status := m.try(command); return status == 0 }) {
		out, status := m.try(command)
		t.Fatalf("never: %s: status %d\n%s", command, status, out)
	}
}

// write writes a file in the machine.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
