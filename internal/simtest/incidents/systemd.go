package incidents

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"deadman/internal/simtest/machine"
)

// Systemd is a unit in a booted machine that shares this one's network, and the
// directory of the worlds, at the same path.
type Systemd struct {
	peer
	Machine *machine.Machine
	// Why there is none.
	Why string

	inner, outer int // a process as the machine numbers it, and as we do
}

// Name is the column's.
func (*Systemd) Name() string { return "systemd" }

// Missing is the machine.
func (p *Systemd) Missing() string { return p.Why }

// Configs is its unit.
func (*Systemd) Configs() []string { return []string{"agent.service"} }

func unit(w *World) string { return fmt.Sprintf("agent-%d", w.Port) }

// Begin installs the unit and starts it.
func (p *Systemd) Begin(w *World) error {
	p.log = "run/journal.log"
	w.seen = p.pid
	if err := p.configure(w, "agent.service", "agent.service", 0o644); err != nil {
		return err
	}
	p.end = func() {
		p.Machine.Try("systemctl stop " + unit(w) + "; rm /run/systemd/system/" + unit(w) + ".service; systemctl daemon-reload")
	}
	command := "cp " + w.Path("agent.service") + " /run/systemd/system/" + unit(w) + ".service && systemctl daemon-reload && systemctl start " + unit(w)
	if out, status := p.Machine.Try(command); status != 0 {
		return fmt.Errorf("cannot start the unit: %s", out)
	}
	return nil
}

// Ready as soon as it runs.
func (p *Systemd) Ready(w *World) bool {
	p.Told(w)
	return p.peer.Ready(w)
}

// Restart is its command.
func (p *Systemd) Restart(w *World) error {
	p.Machine.Try("systemctl restart " + unit(w))
	return nil
}

// Told is its journal.
func (p *Systemd) Told(w *World) []string {
	out, _ := p.Machine.Try("journalctl --quiet --no-pager --output=short --unit=" + unit(w))
	_ = os.WriteFile(w.Path(p.log), []byte(out), 0o644)
	return p.peer.Told(w)
}

// pid is how we know a process of the machine, 0 if it is not there.
func (p *Systemd) pid(inner int) int {
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/proc/%d", p.Machine.Leader, inner)); err != nil {
		return 0
	}
	if inner == p.inner && numbered(strconv.Itoa(p.outer), inner) {
		return p.outer
	}
	home, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.Machine.Leader))
	names, _ := os.ReadDir("/proc")
	for _, name := range names {
		outer, err := strconv.Atoi(name.Name())
		if err != nil || !numbered(name.Name(), inner) {
			continue
		}
		if space, _ := os.Readlink(filepath.Join("/proc", name.Name(), "ns/pid")); space == home {
			p.inner, p.outer = inner, outer
			return outer
		}
	}
	return 0
}

// numbered reports whether the innermost number of one of our processes is pid.
func numbered(process string, pid int) bool {
	status, _ := os.ReadFile(filepath.Join("/proc", process, "status"))
	_, after, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	numbers := strings.Fields(line)
	return len(numbers) > 1 && numbers[len(numbers)-1] == strconv.Itoa(pid)
}
