package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"deadman/internal/proc"
)

// subjectOf reads all that a running process tells. It refuses what is no agent,
// or cannot be seen well enough to be started again.
func subjectOf(pid int) (subject, error) {
	refuse := func(why, hint string) (subject, error) {
		return subject{}, &saidError{fmt.Sprintf("cannot write a config for process %d: %s", pid, why), hint}
	}
	switch {
	case pid == os.Getpid() || pid == os.Getppid():
		return refuse("it is deadman itself, or what started it", "give the pid of the agent")
	case pid == 1:
		return refuse("it is what starts everything else", "give the pid of the agent; in a container, run deadman as pid 1: deadman run")
	case pid < 0:
		return refuse("that is no pid", "give the pid of the agent")
	}
	s := subject{}
	leader, err := proc.Look(pid)
	switch {
	case errors.Is(err, proc.ErrGone):
		return refuse("there is none", "ps -e lists those that there are")
	case err != nil:
		return refuse("it cannot be seen", "run deadman init as root or as the user that it runs as")
	}
	if s.process, err = proc.Read(pid); err != nil || s.process.Process != leader {
		return refuse("it has just ended", "give the pid of a process that stays")
	}
	if s.argv, err = proc.Argv(pid); err == nil && len(s.argv) == 0 {
		return refuse("it is a thread of the kernel", "give the pid of the agent")
	}
	if proc.Contained(pid) {
		return refuse("it runs in a container, and cannot be started from here", "run deadman inside the container")
	}
	// A worker that was forked says of itself what its master does.
	for parent := s.process.Parent; parent > 1 && parent != os.Getpid(); {
		argv, err := proc.Argv(parent)
		up, err2 := proc.Read(parent)
		if err != nil || err2 != nil || !slices.Equal(argv, s.argv) {
			break
		}
		s.process, pid, parent = up, up.PID, up.Parent
	}
	var exeErr, dirErr error
	s.exe, exeErr = proc.Exe(pid)
	s.dir, dirErr = os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if exeErr != nil || dirErr != nil {
		return refuse("its program and directory cannot be seen", "run deadman init as root or as the user that it runs as")
	}
	s.exe, s.dir = strings.TrimSuffix(s.exe, " (deleted)"), strings.TrimSuffix(s.dir, " (deleted)")
	for _, word := range append([]string{s.dir}, s.argv...) {
		if !utf8.ValidString(word) {
			return refuse("its command line is not UTF-8", "start it by a script with another name, and give that as the command")
		}
	}
	if _, s.uid, err = proc.UIDs(pid); err != nil {
		return refuse("its user cannot be seen", "run deadman init as root or as the user that it runs as")
	}
	s.gid = s.uid
	if u, err := user.LookupId(strconv.Itoa(s.uid)); err == nil {
		s.home = u.HomeDir
		if gid, err := strconv.Atoi(u.Gid); err == nil {
			s.gid = gid
		}
	}
	s.unit = unitOf(cgroup(pid))
	s.userUnit = strings.Contains(cgroup(pid), "/user@")
	s.lacks, s.environ = lacks(pid), environ(pid)
	s.name = nameFor(s.argv)
	return s, nil
}

// runnable makes sure that argv[0] leads to a program, by its path if need be.
func (s *subject) runnable() error {
	if s.process.PID == 0 || executable(s.argv[0], s.dir) == nil {
		return nil
	}
	if strings.ContainsAny(s.argv[0], " \t") || executable(s.exe, "") != nil {
		return &saidError{
			fmt.Sprintf("cannot write a config for process %d: it has written over its command line, so nobody can tell how it was started", s.process.PID),
			"give the command instead: deadman init -- COMMAND…",
		}
	}
	// A login shell is called -bash, and many programs are not in our PATH.
	s.argv = append([]string{s.exe}, s.argv[1:]...)
	return nil
}

// unitOf is the systemd service that a cgroup belongs to, "" if none.
func unitOf(group string) string {
	if unit := filepath.Base(group); strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "user@") {
		return unit
	}
	return ""
}

// usual are variables that everything has or that mean nothing to an agent.
var usual = []string{"_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLORTERM", "LS_COLORS", "MAIL", "LOGNAME", "USER", "HOME", "SHELL", "LANG", "PATH", "HOSTNAME", "EDITOR", "PAGER", "LESSOPEN", "LESSCLOSE", "STY", "TMUX", "TMUX_PANE", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "DEADMAN_START"}

// lacks names the variables of a process that we have not, or have otherwise.
// Names only: values are secrets as often as not.
func lacks(pid int) []string {
	ours := os.Environ()
	var names []string
	for name, value := range environ(pid) {
		if slices.Contains(ours, name+"="+value) || slices.Contains(usual, name) || !utf8.ValidString(name) {
			continue
		}
		if strings.HasPrefix(name, "SSH_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LC_") {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// environ are the variables that a process was started with, empty if they cannot be
// seen.
func environ(pid int) map[string]string {
	variables := map[string]string{}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return variables
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			variables[name] = value
		}
	}
	return variables
}

// listeners are the addresses on which the process or its descendants listen, by
// port.
func (s subject) listeners() []netip.AddrPort {
	if s.process.PID == 0 {
		return nil
	}
	family := []int{s.process.PID}
	if more, err := proc.Descendants(s.process.Process); err == nil {
		for _, p := range more {
			family = append(family, p.PID)
		}
	}
	var found []netip.AddrPort
	for _, port := range listeningPorts() {
		sockets, err := proc.Listening(port)
		if err != nil {
			continue
		}
		for _, socket := range sockets {
			held := slices.ContainsFunc(family, func(pid int) bool {
				ok, _ := proc.Holds(pid, []proc.Socket{socket})
				return ok
			})
			if held {
				found = append(found, socket.Addr)
			}
		}
	}
	slices.SortFunc(found, func(a, b netip.AddrPort) int {
		if a.Port() != b.Port() {
			return int(a.Port()) - int(b.Port())
		}
		return a.Addr().Compare(b.Addr())
	})
	return found
}

// listeningPorts are all TCP ports on which anybody here listens.
func listeningPorts() []int {
	var ports []int
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// proc_net_tcp: sl, local_address, rem_address, st (0A is LISTEN).
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != "0A" {
				continue
			}
			if _, hex, ok := strings.Cut(fields[1], ":"); ok {
				if port, err := strconv.ParseInt(hex, 16, 32); err == nil {
					ports = append(ports, int(port))
				}
			}
		}
		f.Close()
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
