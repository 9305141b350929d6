package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
)

// BootID is the kernel's id of this boot. It cannot change under a process.
//
// It is asked of where pid 1 lives, if that may be seen: a container's manager mounts
// an id of its own over the kernel's (systemd-nspawn does), and a unit there that has
// its /proc/sys mounted anew (ProtectKernelTunables=) finds the kernel's again. Two
// deadmans would each take the other's processes for those of another boot.
var BootID = sync.OnceValues(func() (string, error) {
	const at = "/proc/sys/kernel/random/boot_id"
	b, err := os.ReadFile("/proc/1/root" + at)
	if err != nil {
		b, err = os.ReadFile(at)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
})

// Uptime is the time since boot, sleep included (CLOCK_BOOTTIME), on the clock of
// every Process.Start.
func Uptime() time.Duration {
	var ts unix.Timespec
	// It cannot fail: the clock is there since Linux 2.6.39.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// OfMonotonic turns a stamp of CLOCK_MONOTONIC into a time since boot, sleep
// included, as if the machine has not slept since: after a sleep it is too late
// by that.
func OfMonotonic(at time.Duration) time.Duration {
	var mono, boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	slept := time.Duration(boot.Nano() - mono.Nano())
	if slept < time.Millisecond { // the two were not read at the same instant
		return at
	}
	return at + slept
}

func path(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// Read reads what the kernel says of pid, zombies and threads included.
func Read(pid int) (Stat, error) {
	boot, err := BootID()
	if err != nil {
		return Stat{}, err
	}
	b, err := readFile(pid, "stat")
	if err != nil {
		return Stat{}, err
	}
	s, err := parseStat(b)
	s.Boot = boot
	return s, err
}

// readFile reads a file of /proc/PID. A pid without a directory is gone, unless
// the directory is hidden from us (hidepid): kill tells.
func readFile(pid int, name string) ([]byte, error) {
	if pid <= 0 {
		return nil, ErrGone
	}
	b, err := os.ReadFile(path(pid, name))
	if absent(err) && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		// Hidden, or born just now.
		if b, err = os.ReadFile(path(pid, name)); absent(err) {
			return nil, fmt.Errorf("%w %d: /proc hides it", ErrUnseen, pid)
		}
	}
	return b, seen(pid, err)
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// seen sorts an error of /proc/PID into gone, unseen and the rest.
func seen(pid int, err error) error {
	switch {
	case err == nil:
		return nil
	case absent(err):
		return ErrGone
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w %d: not permitted", ErrUnseen, pid)
	}
	return fmt.Errorf("cannot read of process %d: %v", pid, err)
}

// parseStat reads a line of /proc/PID/stat. The name in parentheses may itself
// hold blanks and parentheses; what follows it cannot, so the last one ends it.
func parseStat(line []byte) (Stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Stat{}, errors.New("cannot read a line of /proc: no name in it")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	f := strings.Fields(string(line[end+1:]))
	// f[0] is field 3 of proc(5).
	if err != nil || len(f) < 20 {
		return Stat{}, errors.New("cannot read a line of /proc: too short")
	}
	var bad error
	number := func(field int) int64 {
		n, err := strconv.ParseInt(f[field-3], 10, 64)
		bad = errors.Join(bad, err)
		return n
	}
	s := Stat{
		Process: deadman.Process{PID: pid, Start: time.Duration(number(22)) * Tick},
		Comm:    string(line[open+1 : end]),
		State:   f[0][0],
		Parent:  int(number(4)),
		Group:   int(number(5)),
		Session: int(number(6)),
		Threads: int(number(20)),
	}
	if bad != nil {
		return Stat{}, errors.New("cannot read a line of /proc: not a number")
	}
	return s, nil
}

// status is what /proc/PID/status tells and stat does not.
type status struct {
	leader          int // pid of the process that the thread belongs to
	real, effective int // uids
}

func readStatus(pid int) (status, error) {
	b, err := readFile(pid, "status")
	if err != nil {
		return status{}, err
	}
	s := status{leader: -1, real: -1, effective: -1}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "Tgid:":
			s.leader, _ = strconv.Atoi(f[1])
		case len(f) >= 3 && f[0] == "Uid:":
			s.real, _ = strconv.Atoi(f[1])
			s.effective, _ = strconv.Atoi(f[2])
		}
	}
	return s, nil
}

// UIDs are the real and the effective user of a process.
func UIDs(pid int) (real, effective int, err error) {
	s, err := readStatus(pid)
	return s.real, s.effective, err
}

// Exe is the path of the program that a process runs. A program that has been
// replaced on disk ends in " (deleted)".
func Exe(pid int) (string, error) {
	exe, err := os.Readlink(path(pid, "exe"))
	return exe, seen(pid, err)
}

// Argv is the command line of a process, as it stands in its memory now; many
// programs overwrite it. It is empty for a kernel thread and for a zombie.
func Argv(pid int) ([]string, error) {
	b, err := readFile(pid, "cmdline")
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
}

// Carries reports whether a process was started with entry ("NAME=value") in its
// environment. Children inherit it across new sessions and past the death of
// their parent, which makes it the mark of a family. A program that writes over
// its environment loses it: false is not proof.
func Carries(pid int, entry string) (bool, error) {
	b, err := environ(pid)
	if err != nil {
		return false, err
	}
	return bytes.Contains(append([]byte{0}, b...), []byte("\x00"+entry+"\x00")), nil
}

// environ is the environment that a process was started with. In the middle of an
// exec there is neither that nor an argument list for a moment, which is long on a
// busy machine: then it is waited for. Only once there are arguments is an empty
// environment believed.
func environ(pid int) ([]byte, error) {
	laidOut := false
	for range 100 {
		b, err := readFile(pid, "environ")
		if err != nil || len(b) > 0 || laidOut {
			return b, err
		}
		// A thread of the kernel has no program, and what is dead neither.
		argv, err := readFile(pid, "cmdline")
		if _, eerr := Exe(pid); err != nil || eerr != nil {
			return nil, err
		}
		laidOut = len(argv) > 0
		time.Sleep(time.Millisecond)
	}
	return nil, nil
}

// Variable is a variable of the environment that a process was started with, ""
// if there is none. What Carries says of programs that write over it holds here.
func Variable(pid int, name string) (string, error) {
	b, err := environ(pid)
	if err != nil {
		return "", err
	}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, nil
		}
	}
	return "", nil
}

// Dir is the working directory of a process.
func Dir(pid int) (string, error) {
	dir, err := os.Readlink(path(pid, "cwd"))
	return dir, seen(pid, err)
}

// Contained reports whether a process lives in another pid namespace than ours
// (a container's), where it cannot be an agent that was started beside us. When
// that cannot be seen it is false.
func Contained(pid int) bool { return namespaced(pid, "pid") }

// Networked reports whether a process lives in another network namespace than
// ours, so that what listens on a port here is at best a proxy of it. When that
// cannot be seen it is false.
func Networked(pid int) bool { return namespaced(pid, "net") }

func namespaced(pid int, kind string) bool {
	theirs, err := os.Readlink(path(pid, "ns/"+kind))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/" + kind)
	return err == nil && ours != theirs
}

// InCgroup reports whether a process is in the control group that systemd calls
// group ("/system.slice/x.service"), or in one below it.
func InCgroup(pid int, group string) (bool, error) {
	b, err := readFile(pid, "cgroup")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		// number:controllers:path; systemd's own hierarchy is the unified one, or
		// the one with its name.
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers != "" && controllers != "name=systemd" {
			continue
		}
		if below, ok := strings.CutPrefix(path, group); ok && (below == "" || below[0] == '/') {
			return true, nil
		}
	}
	return false, nil
}
