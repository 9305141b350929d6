package cause_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"deadman"
	"deadman/internal/cause"
)

// found is the one finding about c, and fails without.
func found(t *testing.T, a cause.Agent, c deadman.Cause) cause.Finding {
	t.Helper()
	var all []cause.Finding
	for _, f := range cause.Look(t.Context(), a) {
		if f.Cause == c {
			all = append(all, f)
		}
	}
	if len(all) != 1 {
		t.Fatalf("%d findings of %s, not one", len(all), c)
	}
	return all[0]
}

// expect compares a finding's answer and looks for a part of its line.
func expect(t *testing.T, f cause.Finding, holds bool, part string) {
	t.Helper()
	if f.Holds != holds || !strings.Contains(f.Evidence, part) {
		t.Errorf("%s holds: %v, %q; should be %v, with %q", f.Cause, f.Holds, f.Evidence, holds, part)
	}
}

// TestNothingKnown: an agent of whom nothing is known has no cause, and there is
// nothing to say.
func TestNothingKnown(t *testing.T) {
	if got := cause.Look(t.Context(), cause.Agent{}); len(got) != 0 {
		t.Errorf("found %v", got)
	}
}

// TestKills reads what kernels have answered.
func TestKills(t *testing.T) {
	for _, test := range []struct {
		name string
		want int64
		ok   bool
	}{
		{"v1-oom_control", 3, true},
		{"v1-oom_control-before-4.13", 0, false}, // It counted nothing then.
		{"v2-memory.events", 2, true},
		{"v2-memory.events-at-limit", 0, true}, // oom 7, and nothing was killed.
	} {
		text, err := os.ReadFile(filepath.Join("testdata", test.name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := cause.ParseKills(string(text))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %d, %v; should be %d", test.name, got, err, test.want)
		}
	}
}

// TestGroup finds control groups as machines have shown them.
func TestGroup(t *testing.T) {
	const (
		v1     = "34 24 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n"
		v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid = "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		inside = "612 600 0:26 /docker/9f /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	)
	for _, test := range []struct{ name, groups, mounts, want string }{
		{"systemd", "0::/system.slice/nginx.service\n", v2, "/sys/fs/cgroup/system.slice/nginx.service"},
		{"v1", "9:name=systemd:/\n4:memory:/a/b\n0::/\n", v1 + hybrid, "/sys/fs/cgroup/memory/a/b"},
		{"v1 with two controllers", "4:cpu,memory:/a:b\n", v1, "/sys/fs/cgroup/memory/a:b"},
		{"the root counts nothing", "0::/\n", v2, ""},
		{"v1 is named but mounted nowhere", "4:memory:/a\n0::/x\n", hybrid, ""},
		{"a part of the hierarchy", "0::/docker/9f/agent\n", inside, "/sys/fs/cgroup/agent"},
		{"outside of what is shown", "0::/docker/77/agent\n", inside, ""},
		{"no groups", "", v2, ""},
	} {
		if got := cause.ParseGroup(test.groups, test.mounts); got != test.want {
			t.Errorf("%s: %q, should be %q", test.name, got, test.want)
		}
	}
}

// group makes a directory like a control group's, with a count.
func group(t *testing.T, file string, kills int) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Appendf(nil, "low 0\noom 9\noom_kill %d\n", kills)
	if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOutOfMemory(t *testing.T) {
	v1, v2 := group(t, "memory.oom_control", 5), group(t, "memory.events", 5)
	if err := os.WriteFile(filepath.Join(v1, "memory.failcnt"), []byte("88\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		agent cause.Agent
		holds bool
		part  string
	}{
		{"risen", cause.Agent{Memory: cause.Memory{Dir: v2, Kills: 4}}, true, "killed 1 process "},
		{"risen, v1", cause.Agent{Memory: cause.Memory{Dir: v1, Kills: 3}}, true, "killed 2 processes for want of memory in its control group since it was seen well; it has met its limit 88 times"},
		{"not risen", cause.Agent{Memory: cause.Memory{Dir: v2, Kills: 5}}, false, "counts no kill"},
		{"a new group under the old name", cause.Agent{Memory: cause.Memory{Dir: v2, Kills: 6}}, false, "counts no kill"},
		{"gone", cause.Agent{Memory: cause.Memory{Dir: v2 + "/no", Kills: 4}}, false, "cannot tell"},
		{"shared, and it ended otherwise", cause.Agent{Memory: cause.Memory{Dir: v2, Kills: 4, Shared: true}, Exit: "exit 1"}, false, "ended otherwise (exit 1)"},
		{"shared, and it was killed", cause.Agent{Memory: cause.Memory{Dir: v2, Kills: 4, Shared: true}, Exit: "killed by SIGKILL"}, true, "killed 1 process"},
		{"systemd's word", cause.Agent{Result: "oom-kill"}, true, "oom-kill"},
		{"systemd's word, without its group", cause.Agent{Result: "oom-kill", Memory: cause.Memory{Dir: v2 + "/no"}}, true, "oom-kill"},
		{"another word of systemd's", cause.Agent{Result: "signal"}, false, "signal"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, found(t, test.agent, deadman.OutOfMemory), test.holds, test.part) })
	}
}

func TestDiskFull(t *testing.T) {
	for _, test := range []struct {
		name                       string
		total, free, files, unused uint64
		readOnly, full             bool
	}{
		{"room", 100 << 30, 1 << 30, 1000, 500, false, false},
		{"no byte", 100 << 30, 0, 1000, 500, false, true},
		{"no inode", 100 << 30, 1 << 30, 1000, 0, false, true},
		{"inodes that nobody counts", 100 << 30, 1 << 30, 0, 0, false, false},
		{"just under a megabyte", 100 << 30, 1<<20 - 1, 1000, 500, false, true},
		{"just a megabyte", 100 << 30, 1 << 20, 1000, 500, false, false},
		{"a small one that is half empty", 1 << 20, 512 << 10, 100, 50, false, false},
		{"a small one that is full", 1 << 20, 4 << 10, 100, 50, false, true},
		{"an image", 1 << 30, 0, 1000, 0, true, false},
	} {
		if got := cause.Full(test.total, test.free, test.files, test.unused, test.readOnly); got != "" != test.full {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	dirs := []cause.Dir{{Role: "config", Path: t.TempDir()}, {Role: "home", Path: "/does/not/exist"}}
	expect(t, found(t, cause.Agent{Dirs: dirs}, deadman.DiskFull), false, "there is room")
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	us := fmt.Sprintf("process %d (", os.Getpid())
	expect(t, found(t, cause.Agent{Port: port}, deadman.PortTaken), true, us)
	expect(t, found(t, cause.Agent{Port: port, Own: []int{os.Getpid()}}, deadman.PortTaken), false, "for the agent")
	l.Close()
	expect(t, found(t, cause.Agent{Port: port}, deadman.PortTaken), false, "nobody listens")
}

func TestPermission(t *testing.T) {
	good := cause.Access{Mode: 0o640, UID: 1000, GID: 1000}
	same := cause.File{Name: "a.yaml", Want: good, Have: good}
	root := cause.File{Name: "b.yaml", Want: good, Have: cause.Access{Mode: 0o640}}
	expect(t, found(t, cause.Agent{Files: []cause.File{same}}, deadman.Permission), false, "those of the known good")
	expect(t, found(t, cause.Agent{Files: []cause.File{same, root}}, deadman.Permission), true, "b.yaml is 0640 0:0 and was 0640 1000:1000")
	many := []cause.File{root, root, root, root, root, root, root}
	expect(t, found(t, cause.Agent{Files: many}, deadman.Permission), true, "and 2 more")
}

func TestVersionChanged(t *testing.T) {
	came := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		version cause.Version
		holds   bool
		part    string
	}{
		{"config older", cause.Version{Now: "2", Good: []string{"1"}, Changed: came, Written: came.Add(-time.Hour)}, true, "changed at 2026-01-01T03:00:00Z"},
		{"config written with it", cause.Version{Now: "2", Good: []string{"1"}, Changed: came, Written: came}, false, "written after"},
		{"a good start", cause.Version{Now: "2", Good: []string{"1", "2"}, Changed: came, Written: came.Add(-time.Hour)}, false, "started well"},
		{"not known when", cause.Version{Now: "2", Good: []string{"1"}, Written: came}, false, "cannot tell"},
	} {
		t.Run(test.name, func(t *testing.T) {
			expect(t, found(t, cause.Agent{Version: test.version}, deadman.VersionChanged), test.holds, test.part)
		})
	}
}

func TestStartLimit(t *testing.T) {
	expect(t, found(t, cause.Agent{Latched: "start-limit-hit"}, deadman.StartLimit), true, "start-limit-hit")
}

// TestProvider: only what is elsewhere is a provider. This machine's own silence
// says nothing of a network.
func TestProvider(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	expect(t, found(t, cause.Agent{Providers: []string{address}}, deadman.NetworkDown), false, "can be reached")
	// TCP to everybody at once: the kernel refuses before it sends anything.
	f := found(t, cause.Agent{Providers: []string{address, "255.255.255.255:443"}}, deadman.NetworkDown)
	expect(t, f, true, "255.255.255.255:443, which a ready check needs, cannot be connected to")
}

// TestDecoys: every cause that holds is named, in the order of what they explain.
func TestDecoys(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var held []string
	for _, f := range cause.Look(t.Context(), cause.Agent{
		Latched: "start-limit-hit", Result: "oom-kill", Port: l.Addr().(*net.TCPAddr).Port,
		Files: []cause.File{{Name: "a", Want: cause.Access{Mode: 0o600}, Have: cause.Access{Mode: 0o400}}},
	}) {
		if f.Holds {
			held = append(held, f.Cause.String())
		}
	}
	if got, want := strings.Join(held, " "), "out-of-memory port-taken permission start-limit"; got != want {
		t.Errorf("%s, should be %s", got, want)
	}
}

// TestLimit: what does not answer delays nobody, and is no cause. In virtual time;
// nothing that is asked here meets the kernel.
func TestLimit(t *testing.T) {
	defer cause.Hang()()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		findings := cause.Look(ctx, cause.Agent{Latched: "start-limit-hit"})
		if took := time.Since(began); took != cause.Limit {
			t.Errorf("it took %v", took)
		}
		if len(findings) != 2 || findings[0].Holds || findings[0].Evidence != "cannot tell: no answer in time" || !findings[1].Holds {
			t.Errorf("found %v", findings)
		}
		time.Sleep(2 * time.Hour) // Until it answers after all, into nobody's hands.
	})
}
