package proc_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/proc"
)

func TestLook(t *testing.T) {
	t.Parallel()
	before := proc.Uptime()
	_, p, _ := play(t, "wait", false)
	after := proc.Uptime()
	if p.Start <= before-proc.Tick || p.Start > after {
		t.Errorf("started %v, between %v and %v", p.Start, before, after)
	}
	if got, err := proc.Look(p.PID); got != p || err != nil {
		t.Errorf("look: %v %v, want %v", got, err, p)
	}
	if got := proc.Alive(p); got != deadman.Running {
		t.Errorf("alive: %s", got)
	}
	s, err := proc.Read(p.PID)
	if err != nil || s.Parent != os.Getpid() || s.Group != syscall.Getpgrp() {
		t.Errorf("%+v %v", s, err)
	}
	if exe, err := proc.Exe(p.PID); exe != mustExe(t) || err != nil {
		t.Errorf("exe: %q %v", exe, err)
	}
	if argv, err := proc.Argv(p.PID); !slices.Equal(argv, []string{os.Args[0], "with an", "argument"}) || err != nil {
		t.Errorf("argv: %q %v", argv, err)
	}
	for entry, want := range map[string]bool{"PROC_TEST_MARK=a=b": true, "PROC_TEST_MARK=a": false, "TEST_MARK=a=b": false} {
		if got, err := proc.Carries(p.PID, entry); got != want || err != nil {
			t.Errorf("carries %s: %v %v", entry, got, err)
		}
	}
	if real, effective, err := proc.UIDs(p.PID); real != os.Getuid() || effective != os.Geteuid() || err != nil {
		t.Errorf("uids: %d %d %v", real, effective, err)
	}
	if proc.Contained(p.PID) || proc.Networked(p.PID) {
		t.Error("in a namespace of its own")
	}
	wall := time.Now()
	if at := proc.WallOf(p.Start, wall, proc.Uptime()); at.After(wall) || wall.Sub(at) > time.Minute {
		t.Errorf("started at %v, now %v", at, wall)
	}
}

func mustExe(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// TestCarriesFromTheStart: whoever has started a process is told so before the kernel
// has laid out its environment.
func TestCarriesFromTheStart(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		cmd := exec.Command("sleep", "60")
		cmd.Env = []string{"MARK=here"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := proc.Carries(cmd.Process.Pid, "MARK=here")
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if !got || err != nil {
			t.Fatalf("start %d: %v %v", n, got, err)
		}
	}
}

func TestNameOfParentheses(t *testing.T) {
	t.Parallel()
	cmd, _, _ := play(t, "named", true)
	s, err := proc.Read(cmd.Process.Pid)
	if err != nil || s.Comm != ") Z 1 (x) S" || s.Dead() || s.Parent != os.Getpid() {
		t.Errorf("%+v %v", s, err)
	}
}

// What is not the process any more: another start, another boot, a zombie, a
// thread, nothing.
func TestGone(t *testing.T) {
	t.Parallel()
	cmd, p, _ := play(t, "wait", false)
	later, boot := p, p
	later.Start += proc.Tick
	boot.Boot = "another"
	for _, other := range []deadman.Process{later, boot, {}} {
		if got := proc.Alive(other); got != deadman.Gone {
			t.Errorf("%v: %s", other, got)
		}
		if err := proc.Signal(other, syscall.SIGKILL); !errors.Is(err, proc.ErrGone) {
			t.Errorf("signal %v: %v", other, err)
		}
	}
	if got := proc.Alive(p); got != deadman.Running {
		t.Fatalf("the pid's present owner was hit: %s", got)
	}
	if got := proc.Alive(deadman.Process{PID: p.PID, Start: p.Start}); got != deadman.Obscured {
		t.Errorf("of no boot: %s", got)
	}

	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		if got, err := proc.Look(tid); tid != os.Getpid() && !errors.Is(err, proc.ErrGone) {
			t.Errorf("thread %d: %v %v", tid, got, err)
		}
	}

	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Nobody has reaped it yet.
	eventually(t, "a zombie is gone", func() bool { return proc.Alive(p) == deadman.Gone })
	if s, err := proc.Read(p.PID); err != nil || !s.Dead() {
		t.Errorf("a zombie: %+v %v", s, err)
	}
	if _, err := proc.Look(p.PID); !errors.Is(err, proc.ErrGone) {
		t.Errorf("look at a zombie: %v", err)
	}
	cmd.Wait()
	if _, err := proc.Read(p.PID); !errors.Is(err, proc.ErrGone) {
		t.Errorf("reaped: %v", err)
	}
}

// A process in network and pid namespaces of its own, as a container's is.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	if !proc.Contained(cmd.Process.Pid) || !proc.Networked(cmd.Process.Pid) {
		t.Error("it is not seen to have namespaces of its own")
	}
}

func TestDescendants(t *testing.T) {
	t.Parallel()
	_, p, _ := play(t, "parent", false)
	eventually(t, "it has a child", func() bool {
		d, err := proc.Descendants(p)
		return err == nil && len(d) == 1
	})
	mine, err := proc.Look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	d, err := proc.Descendants(mine)
	if err != nil || !slices.Contains(d, p) || slices.Contains(d, mine) {
		t.Errorf("%v %v", d, err)
	}
	table, err := proc.Scan()
	if err != nil {
		t.Fatal(err)
	}
	child := table.Descendants(p.PID)[0]
	parent, ok := table.Get(child.Parent)
	if !ok || parent.Process != p || !table.Has(child.Process) {
		t.Errorf("the parent of %+v is %+v", child, parent)
	}
	family := append(table.Descendants(p.PID), parent)
	if roots := proc.Roots(family); len(roots) != 1 || roots[0].Process != p {
		t.Errorf("roots: %+v", roots)
	}
}

func TestListener(t *testing.T) {
	t.Parallel()
	_, p, line := play(t, "listen", true)
	port, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := proc.Listener(port); !slices.Equal(pids, []int{p.PID}) || err != nil {
		t.Errorf("%v %v, want %d", pids, err, p.PID)
	}
	sockets, err := proc.Listening(port)
	if err != nil || len(sockets) != 1 || sockets[0].Addr.String() != "127.0.0.1:"+line {
		t.Fatalf("%v %v", sockets, err)
	}
	// The two ways to ask agree.
	if table, err := proc.ListeningByTable(port); !slices.Equal(table, sockets) || err != nil {
		t.Errorf("by table: %v %v, want %v", table, err, sockets)
	}
	for pid, want := range map[int]bool{p.PID: true, os.Getpid(): false} {
		if got, err := proc.Holds(pid, sockets); got != want || err != nil {
			t.Errorf("%d holds it: %v %v", pid, got, err)
		}
	}
	// A connection is no listener.
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	port = listener.Addr().(*net.TCPAddr).Port
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if pids, err := proc.Listener(port); !slices.Equal(pids, []int{os.Getpid()}) || err != nil {
		t.Errorf("IPv6: %v %v", pids, err)
	}
	sockets, err = proc.Listening(port)
	table, tableErr := proc.ListeningByTable(port)
	if len(sockets) != 1 || !slices.Equal(sockets, table) || err != nil || tableErr != nil {
		t.Errorf("IPv6: %v %v, by table %v %v", sockets, err, table, tableErr)
	}
	listener.Close()
	// A child that is being forked for another test may have it for a moment.
	eventually(t, "it is closed", func() bool { pids, err := proc.Listener(port); return len(pids) == 0 && err == nil })
}

func TestAnswering(t *testing.T) {
	t.Parallel()
	at := func(s string) proc.Socket { return proc.Socket{Addr: netip.MustParseAddrPort(s)} }
	loop, all, all6, lan := at("127.0.0.1:80"), at("0.0.0.0:80"), at("[::]:80"), at("10.0.0.1:80")
	for name, c := range map[string]struct{ bound, want []proc.Socket }{
		"the very address goes first": {[]proc.Socket{all, lan, loop}, []proc.Socket{loop}},
		"else those on all":           {[]proc.Socket{all, all6, lan}, []proc.Socket{all, all6}},
		"another address cannot":      {[]proc.Socket{lan}, nil},
	} {
		got := proc.Answering(c.bound, netip.MustParseAddr("::ffff:127.0.0.1"))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{"exit": "exit 42", "wait": "killed by SIGKILL"} {
		cmd, p, _ := play(t, part, false)
		ends := proc.Watch(t.Context(), p)
		if part == "wait" {
			select {
			case e := <-ends:
				t.Fatalf("an end while it lives: %+v", e)
			default:
			}
			if err := proc.Signal(p, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		go cmd.Wait() // it is ours, so it is ours to reap
		e, ok := <-ends
		if !ok || e.At < p.Start || e.At > proc.Uptime() {
			t.Errorf("%s: %+v", part, e)
		}
		// An old kernel does not tell, and then the word is empty.
		if e.Known && e.String() != want || !e.Known && e.String() != "" {
			t.Errorf("%s: %q, want %q", part, e, want)
		}
		if _, more := <-ends; more {
			t.Error("two ends")
		}
	}
}

// A watch on what is gone already, or never was on this pid, ends at once and
// does not wait for the pid's present owner.
func TestWatchOfAReusedPID(t *testing.T) {
	t.Parallel()
	_, p, _ := play(t, "wait", false)
	p.Start -= time.Minute
	e, ok := <-proc.Watch(t.Context(), p)
	if !ok || e.Known || e.String() != "" {
		t.Errorf("%+v %v", e, ok)
	}
}

func TestWatchIsCancelled(t *testing.T) {
	t.Parallel()
	_, p, _ := play(t, "wait", false)
	ctx, cancel := context.WithCancel(t.Context())
	ends := proc.Watch(ctx, p)
	cancel()
	if e, ok := <-ends; ok {
		t.Errorf("an end: %+v", e)
	}
	if got := proc.Alive(p); got != deadman.Running {
		t.Error("the watch hurt it")
	}
}

// The benchmarks hold the figures of the comments.
func BenchmarkScan(b *testing.B) {
	t, err := proc.Scan()
	if err != nil {
		b.Fatal(err)
	}
	n := len(t.Where(func(proc.Stat) bool { return true }))
	for b.Loop() {
		proc.Scan()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/process")
}

func BenchmarkListening(b *testing.B) {
	for b.Loop() {
		proc.Listening(22)
	}
}

func BenchmarkAlive(b *testing.B) {
	p, err := proc.Look(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		proc.Alive(p)
	}
}

func TestOfMonotonic(t *testing.T) {
	var mono unix.Timespec
	before := proc.Uptime()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		t.Fatal(err)
	}
	after := proc.Uptime()
	const grain = time.Millisecond // the offset between the clocks is known to that
	if got := proc.OfMonotonic(time.Duration(mono.Nano())); got < before-grain || got > after+grain {
		t.Errorf("now is %v, want %v to %v", got, before, after)
	}
}

func TestInCgroup(t *testing.T) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("no control groups here: ", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		own := f[1] == "" || f[1] == "name=systemd"
		if in, err := proc.InCgroup(os.Getpid(), f[2]); own && (!in || err != nil) {
			t.Errorf("not in its own group %q: %v", f[2], err)
		}
		if in, _ := proc.InCgroup(os.Getpid(), f[2]+"-2"); in {
			t.Errorf("in a group whose name only begins like its own")
		}
	}
	if _, err := proc.InCgroup(1<<22+1, "/"); !errors.Is(err, proc.ErrGone) {
		t.Errorf("nobody: %v", err)
	}
}
