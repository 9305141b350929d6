package confine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/confine"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needLandlock(t *testing.T) {
	t.Helper()
	if confine.Landlock() == 0 {
		t.Skip("this kernel has no Landlock, or a container forbids it")
	}
}

// Whoever it is, confined work reaches what its rules name.
func TestWhatCanBeReached(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	dir := t.TempDir()
	for _, name := range []string{"read", "write", "list", "outside"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name, "f"), nil, 0o644))
	}
	must(t, os.Symlink("outside", filepath.Join(dir, "link")))
	must(t, os.Symlink("../outside/f", filepath.Join(dir, "read/link")))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	rules := confine.Rules{
		Read:  []string{filepath.Join(dir, "read"), filepath.Join(dir, "link"), filepath.Join(dir, "not-there")},
		Write: []string{filepath.Join(dir, "write")},
		List:  []string{filepath.Join(dir, "list")},
	}
	open := func(name string) error {
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			f.Close()
		}
		return err
	}
	write := func(name string) error { return os.WriteFile(filepath.Join(dir, name), nil, 0o644) }
	rename := func(a, b string) error { return os.Rename(filepath.Join(dir, a), filepath.Join(dir, b)) }
	confine.Do(rules, func() {
		for _, tt := range []struct {
			what    string
			err     error
			allowed bool
		}{
			{"read", open("read/f"), true},
			{"read a directory", open("read"), true},
			{"read by a link out", open("read/link"), false},
			{"write what may be read", write("read/f"), false},
			{"write", write("write/new"), true},
			{"a directory", os.Mkdir(filepath.Join(dir, "write/d"), 0o755), true},
			{"rename to another directory", rename("write/new", "write/d/new"), true},
			{"a FIFO out of the way", errors.Join(unix.Mkfifo(filepath.Join(dir, "write/fifo"), 0o644), rename("write/fifo", "write/aside")), true},
			{"rename out", rename("write/d/new", "outside/new"), false},
			{"remove", os.RemoveAll(filepath.Join(dir, "write/d")), true},
			{"list", open("list"), true},
			{"read what may be listed", open("list/f"), false},
			{"read outside", open("outside/f"), false},
			{"list outside", open("outside"), false},
			{"write outside", write("outside/new"), false},
			{"remove outside", os.Remove(filepath.Join(dir, "outside/f")), false},
			{"by a rule that is a link", open("link/f"), false},
			{"read a program", open("../../../../../../bin/sh"), false},
		} {
			if tt.allowed != (tt.err == nil) {
				t.Errorf("%s: %v", tt.what, tt.err)
			}
			if tt.err != nil && !tt.allowed && !errors.Is(tt.err, fs.ErrPermission) && !errors.Is(tt.err, unix.EXDEV) {
				t.Errorf("%s: %v", tt.what, tt.err)
			}
		}
		if confine.Landlock() >= 4 {
			if _, err := net.Dial("tcp", l.Addr().String()); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("connect: %v", err)
			}
		}
	})
	if err := errors.Join(open("outside/f"), write("outside/new")); err != nil {
		t.Errorf("when the work is done: %v", err)
	}
}

// status is what the kernel says of a thread or process, but its ids and figures.
func status(path string) (string, error) {
	text, err := os.ReadFile(path)
	var lines []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp", "Seccomp_filters"}, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n"), err
}

// What is started while confined work is under way has nothing of it: no thread of
// ours, and no process. Some are started from within the work, where the runtime
// has to find a thread for them.
func TestNothingIsInherited(t *testing.T) {
	t.Parallel()
	before, err := status("/proc/self/status")
	must(t, err)
	outside := t.TempDir()
	var mu sync.Mutex
	var all sync.WaitGroup
	look := func(n int) {
		runtime.LockOSThread() // so that each takes a thread of its own
		defer runtime.UnlockOSThread()
		is, err := status("/proc/thread-self/status")
		out, execErr := exec.Command("sh", "-c", fmt.Sprintf("echo x >%s/%d && cat /proc/self/status >%s/%d", outside, n, outside, n)).CombinedOutput()
		child, childErr := status(fmt.Sprintf("%s/%d", outside, n))
		mu.Lock()
		defer mu.Unlock()
		if err := errors.Join(err, execErr, childErr); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if is != before {
			t.Errorf("thread %d has\n%s\nand not\n%s", n, is, before)
		}
		if child != before {
			t.Errorf("process %d has\n%s\nand not\n%s", n, child, before)
		}
	}
	release := make(chan struct{})
	var working sync.WaitGroup
	for n := range 8 {
		working.Add(1)
		all.Go(func() {
			confine.Do(confine.Rules{}, func() {
				for i := range 3 {
					all.Go(func() { look(100 + 10*n + i) })
				}
				is, err := confinedStatus()
				mu.Lock()
				if err != nil || is == before || !strings.Contains(is, "NoNewPrivs:\t1") {
					t.Errorf("work has\n%s\n%v", is, err)
				}
				mu.Unlock()
				working.Done()
				<-release
			})
		})
	}
	working.Wait()
	for n := range 16 {
		all.Go(func() { look(n) })
	}
	close(release)
	all.Wait()
	if now, err := status("/proc/self/status"); err != nil || now != before {
		t.Errorf("the process has\n%s\nand not\n%s", now, before)
	}
}

// confinedStatus is status of the calling thread, which can open no file.
func confinedStatus() (string, error) {
	privs, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return fmt.Sprintf("NoNewPrivs:\t%d", privs), err
}

// Work after work, threads do not gather.
func TestThreadsEnd(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		must(t, err)
		return len(entries)
	}
	before := count()
	for range 300 {
		confine.Do(confine.Rules{}, func() {})
	}
	if n := count(); n > before+50 {
		t.Errorf("there were %d threads, and there are %d", before, n)
	}
}

// Each capability that is kept is needed by something that a capture or a restore
// does: it can be done with those that are kept, and cannot without that one.
func TestEachCapabilityIsNeeded(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const other = 65534
	file := func(t *testing.T, uid int, mode uint32) string {
		path := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chown(path, uid, uid))
		must(t, unix.Chmod(path, mode))
		return path
	}
	for _, tt := range []struct {
		name       string
		capability int
		do         func(t *testing.T) func() error
	}{
		{"write a file of the agent's", unix.CAP_DAC_OVERRIDE, func(t *testing.T) func() error {
			path := file(t, other, 0o400)
			return func() error { return os.WriteFile(path, nil, 0) }
		}},
		{"read in a directory of the agent's", unix.CAP_DAC_OVERRIDE, func(t *testing.T) func() error {
			path := file(t, other, 0o600)
			must(t, os.Chown(filepath.Dir(path), other, other))
			must(t, os.Chmod(filepath.Dir(path), 0o700))
			return func() error { _, err := os.ReadFile(path); return err }
		}},
		{"give a file its owner", unix.CAP_CHOWN, func(t *testing.T) func() error {
			path := file(t, 0, 0o600)
			return func() error { return os.Chown(path, other, other) }
		}},
		{"give the agent's file its mode", unix.CAP_FOWNER, func(t *testing.T) func() error {
			path := file(t, other, 0o600)
			return func() error { return os.Chmod(path, 0o640) }
		}},
		{"give it setgid", unix.CAP_FSETID, func(t *testing.T) func() error {
			path := file(t, other, 0o600)
			return func() error {
				var st unix.Stat_t
				err := errors.Join(unix.Chmod(path, 0o2750), unix.Stat(path, &st))
				if err == nil && st.Mode&unix.S_ISGID == 0 {
					err = errors.New("setgid was cleared")
				}
				return err
			}
		}},
		{"give it its capabilities", unix.CAP_SETFCAP, func(t *testing.T) func() error {
			path := file(t, other, 0o700)
			value := []byte{0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // CAP_NET_BIND_SERVICE
			return func() error { return unix.Setxattr(path, "security.capability", value, 0) }
		}},
		{"give the agent a file that is over its quota", unix.CAP_SYS_RESOURCE, func(t *testing.T) func() error {
			dir := t.TempDir()
			if err := unix.Mount("none", dir, "tmpfs", 0, "usrquota,usrquota_block_hardlimit=16k"); err != nil {
				t.Skipf("no file system with quotas: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			path := dir + "/f"
			must(t, os.WriteFile(path, make([]byte, 100<<10), 0o600))
			return func() error { return os.Chown(path, other, other) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			do := tt.do(t)
			var without, with error
			less := slices.DeleteFunc(slices.Clone(confine.Kept), func(c int) bool { return c == tt.capability })
			confine.DoKeeping(less, func() { without = do() })
			confine.DoKeeping(confine.Kept, func() { with = do() })
			if without == nil || with != nil {
				t.Errorf("without the capability: %v; with it: %v", without, with)
			}
		})
	}
	for _, c := range confine.Kept {
		if !slices.Contains([]int{unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_SETFCAP, unix.CAP_SYS_RESOURCE}, c) {
			t.Errorf("capability %d is kept for nothing", c)
		}
	}
}

// BenchmarkDo is what confinement costs a look.
func BenchmarkDo(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		confine.Do(confine.Rules{Read: []string{dir}, Write: []string{dir}}, func() {})
	}
}
