package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Patience bounds how long one waits for a machine; passing never takes that
// long, except where cron does.
var Patience = 100 * time.Second

// Pause is between two looks of one who waits.
var Pause = 50 * time.Millisecond

// Machine is a booted one.
type Machine struct {
	// Root is its file system.
	Root string
	// Leader is its first process, as this machine knows it; 0 while it is off.
	Leader int

	nspawn *exec.Cmd
}

// Copy makes a machine, switched off, of an image.
func Copy(image, root string) (*Machine, error) {
	if out, err := exec.Command("cp", "-a", "--reflink=auto", image, root).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot copy the image: %v\n%s", err, out)
	}
	return &Machine{Root: root}, nil
}

// Boot boots the machine and waits until it is up. The options are systemd-nspawn's.
func (m *Machine) Boot(options ...string) error {
	log, err := os.Create(m.Root + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	argv := append([]string{"--quiet", "--directory=" + m.Root, "--register=no", "--keep-unit", "--link-journal=no", "--boot"}, options...)
	m.nspawn = exec.Command("systemd-nspawn", argv...)
	m.nspawn.Stdout, m.nspawn.Stderr = log, log
	if err := m.nspawn.Start(); err != nil {
		return err
	}
	up := func() bool {
		if m.Leader = first(m.nspawn.Process.Pid); m.Leader == 0 {
			return false
		}
		state, _ := m.Try("systemctl is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	}
	if !Wait(up) {
		m.Cut()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the machine does not boot:\n%s", text[max(0, len(text)-2000):])
	}
	return nil
}

// Cut cuts the power: everything in the machine ends at once. What it has written
// is on the disk, since the kernel is ours and lives on.
func (m *Machine) Cut() {
	// nspawn ends when the first process of the machine does, and has reaped it
	// then. Killed itself, it would leave the machine running.
	if m.Leader == 0 || syscall.Kill(m.Leader, syscall.SIGKILL) != nil {
		_ = m.nspawn.Process.Kill()
	}
	_ = m.nspawn.Wait()
	m.Leader = 0
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

// Wait waits until a condition holds.
func Wait(cond func() bool) bool {
	for deadline := time.Now().Add(Patience); !cond(); time.Sleep(Pause) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Try runs a shell command in the machine, as root.
func (m *Machine) Try(command string) (output string, status int) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.Leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"--", "/bin/bash", "-c", command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/t", "HOME=/root", "DEADMAN_REQUIRE=systemd"}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}
