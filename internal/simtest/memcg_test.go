package simtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// memoryGroup is a directory of a memory controller beneath which a control group
// can be made, or "" where none can. Version 1 is mounted in dir if it is nowhere
// else; unmount takes it down.
func memoryGroup(dir string) string {
	if os.Geteuid() != 0 {
		return ""
	}
	groups, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mounts")
	mounted := func(kind, option string) string {
		for line := range strings.Lines(string(mounts)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[2] == kind && (option == "" || slices.Contains(strings.Split(f[3], ","), option)) {
				return f[1]
			}
		}
		return ""
	}
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || !slices.Contains(strings.Split(f[1], ","), "memory") {
			continue
		}
		root := mounted("cgroup", "memory")
		if root == "" && dir != "" && os.MkdirAll(dir, 0o700) == nil && syscall.Mount("cgroup", dir, "cgroup", 0, "memory") == nil {
			root = dir
		}
		if root != "" {
			return filepath.Join(root, f[2])
		}
	}
	// In version 2 only the root may hold processes beside groups with limits.
	if root := mounted("cgroup2", ""); root != "" {
		if on, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control")); err == nil && slices.Contains(strings.Fields(string(on)), "memory") {
			return root
		}
	}
	return ""
}

// memcg makes a control group with a limit of so many MiB and sets $CGROUP to its
// directory.
func memcg(ts *testscript.TestScript, neg bool, args []string) {
	mib, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	parent := memoryGroup(ts.MkAbs("cgroup"))
	group, err := os.MkdirTemp(parent, "deadman-test-")
	ts.Check(err)
	ts.Defer(func() {
		// What is in it must be gone first, and a killed process goes by itself.
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			pids, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			for _, word := range strings.Fields(string(pids)) {
				if pid, err := strconv.Atoi(word); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if err := os.Remove(group); err == nil || os.IsNotExist(err) || time.Now().After(deadline) {
				return
			}
		}
	})
	limit := filepath.Join(group, "memory.max")
	if _, err := os.Stat(limit); err != nil {
		limit = filepath.Join(group, "memory.limit_in_bytes")
	}
	ts.Check(os.WriteFile(limit, fmt.Appendf(nil, "%d", mib<<20), 0o600))
	ts.Setenv("CGROUP", group)
}
