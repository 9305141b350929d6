package cause_test

import (
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/cause"
)

// Where a process's memory is accounted to is a directory below a mount point that
// the kernel has named, or nothing; and a counter is the one that is there.
func FuzzCgroup(f *testing.F) {
	f.Add("0::/system.slice/a.service\n", "36 35 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "oom 1\noom_kill 3\n")
	f.Add("5:memory:/a\n0::/b\n", "36 35 0:30 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n", "oom_kill x")
	f.Add("0::/../../x\n", "1 1 0:1 /.. /m rw - cgroup2 c rw\n", "oom_kill -1")
	f.Add("0::/ab/c\n", "36 35 0:30 /a /sys/fs/cgroup rw - cgroup2 c rw\n", "oom_kill 1")
	f.Add("0::/../other\n", "36 35 0:30 / /sys/fs/cgroup rw - cgroup2 c rw\n", "oom_kill 1")
	f.Add("::", "- - - - - -", "")
	f.Fuzz(func(t *testing.T, groups, mounts, counters string) {
		if n, err := cause.ParseKills(counters); err == nil && !strings.Contains(counters, "oom_kill") {
			t.Fatalf("%d of %q", n, counters)
		}
		dir := cause.ParseGroup(groups, mounts)
		if dir == "" {
			return
		}
		below := false
		for line := range strings.Lines(mounts) {
			words := strings.Fields(line)
			if len(words) < 5 {
				continue
			}
			rel, err := filepath.Rel(words[4], dir)
			below = below || err == nil && filepath.IsLocal(rel) && rel != "."
		}
		if !below {
			t.Fatalf("%q, which is beneath none of %q", dir, mounts)
		}
	})
}
