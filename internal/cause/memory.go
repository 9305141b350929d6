package cause

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Memory is a control group that accounts for memory, and what it has counted.
type Memory struct {
	// Dir is the group's directory; "" is none.
	Dir string `json:"dir,omitempty"`
	// Kills counts processes in it that the kernel has killed for want of memory.
	Kills int64 `json:"kills,omitempty"`
	// Shared: deadman itself, and what else it runs, is in the same group.
	Shared bool `json:"shared,omitempty"`
}

// MemoryOf finds the control group of a process. The zero Memory is none: there
// are no such groups, or it cannot be seen.
func MemoryOf(pid int) Memory {
	dir := memoryGroup(pid)
	if dir == "" {
		return Memory{}
	}
	kills, err := oomKills(dir)
	if err != nil {
		return Memory{}
	}
	return Memory{Dir: dir, Kills: kills, Shared: dir == memoryGroup(os.Getpid())}
}

// Now is m with what is counted now.
func (m Memory) Now() Memory {
	if m.Dir == "" {
		return m
	}
	if kills, err := oomKills(m.Dir); err == nil {
		m.Kills = kills
	}
	return m
}

// memory: the kernel has killed something of it for want of memory.
func memory(_ context.Context, a Agent) *Finding {
	if a.Result == "oom-kill" {
		return holds("its supervisor says that it was killed for want of memory (oom-kill)")
	}
	m := a.Memory
	if m.Dir == "" {
		if a.Result == "" {
			return nil
		}
		return not("its supervisor says of its end: %s", a.Result)
	}
	now, err := oomKills(m.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return not("cannot tell: its control group is gone")
	case err != nil:
		return not("cannot tell: the counter of its control group cannot be read")
	case now <= m.Kills:
		return not("its control group counts no kill since it was seen well%s", atLimit(m.Dir))
	case m.Shared && a.Exit != "" && !strings.Contains(a.Exit, "SIGKILL"):
		// Whoever was killed there, it was not the agent.
		return not("%s since it was seen well in a control group that deadman shares, and it ended otherwise (%s)", kills(now-m.Kills), a.Exit)
	}
	return holds("%s in its control group since it was seen well%s", kills(now-m.Kills), atLimit(m.Dir))
}

func kills(n int64) string {
	if n == 1 {
		return "the kernel killed 1 process for want of memory"
	}
	return fmt.Sprintf("the kernel killed %d processes for want of memory", n)
}

// atLimit adds how often the group met its limit, where that is counted.
func atLimit(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, "memory.failcnt"))
	if err != nil {
		return ""
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
		return fmt.Sprintf("; it has met its limit %d times", n)
	}
	return ""
}

// oomKills reads the counter of a group, of whichever version.
func oomKills(dir string) (int64, error) {
	for _, name := range []string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return parseKills(string(text))
	}
	return 0, os.ErrNotExist
}

// parseKills reads `oom_kill N`, a line of memory.events (cgroup v2) and of
// memory.oom_control (v1, since Linux 4.13) alike. `oom` counts something else:
// how often the limit could not be kept, whether or not anything was killed.
func parseKills(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "oom_kill" {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, errors.New("cannot find the counter of kills")
}

// memoryGroup is the directory of the group that a process's memory is accounted
// to, "" if there is none that counts. The group of everything counts nothing.
func memoryGroup(pid int) string {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return parseGroup(string(groups), string(mounts))
}

// parseGroup finds the directory by /proc/PID/cgroup, whose lines are
// `hierarchy:controllers:path`, and by where that hierarchy is mounted.
func parseGroup(groups, mounts string) string {
	var v1, v2 string
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		switch {
		case len(f) != 3:
		case f[0] == "0" && f[1] == "":
			v2 = f[2]
		case slices.Contains(strings.Split(f[1], ","), "memory"):
			v1 = f[2]
		}
	}
	// Where both are mounted memory belongs to one of them: v1 if it is named.
	for line := range strings.Lines(mounts) {
		// 36 35 98:0 ROOT MOUNTPOINT options [fields] - TYPE source super-options
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if len(f) < 6 || dash < 0 || len(f) < dash+4 {
			continue
		}
		group := ""
		switch kind := f[dash+1]; {
		case kind == "cgroup" && slices.Contains(strings.Split(f[dash+3], ","), "memory"):
			group = v1
		case kind == "cgroup2" && v1 == "":
			group = v2
		}
		// The mount may show only a part of the hierarchy (in a container), and of a
		// group outside of it the kernel says /../other.
		rel, ok := strings.CutPrefix(group, strings.TrimSuffix(f[3], "/"))
		if !ok || rel == "/" || !strings.HasPrefix(rel, "/") || filepath.Clean(rel) != rel || !filepath.IsAbs(f[4]) {
			continue
		}
		return filepath.Join(f[4], rel)
	}
	return ""
}
