package simtest_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The figures of the README. Each is a ratio against a peer that is measured in
// the same run, in turn, so that a machine that is slow today is slow for both;
// medians, because machines stumble. Run them with `make bench`.

// bench is a machine with one healthy, proven agent.
type bench struct {
	dir, deadman, hello, agent, yaml, url, addr string
}

// newBench builds what is measured, as it is shipped.
func newBench(b *testing.B, supervisor string) *bench {
	b.Helper()
	dir := b.TempDir()
	port, err := freePort()
	if err != nil {
		b.Fatal(err)
	}
	w := &bench{
		dir: dir, deadman: filepath.Join(dir, "deadman"), hello: filepath.Join(dir, "hello"), agent: filepath.Join(dir, "agent"),
		yaml: filepath.Join(dir, "deadman.yaml"), addr: fmt.Sprintf("127.0.0.1:%d", port), url: fmt.Sprintf("http://127.0.0.1:%d/health", port),
	}
	b.Cleanup(func() { sweep(dir) })
	w.write(b, "hello.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello, world\") }\n")
	w.build(b, w.deadman, "deadman/cmd/deadman")
	w.build(b, w.hello, filepath.Join(dir, "hello.go"))
	w.build(b, w.agent, "deadman/internal/simtest/agent/scripted")
	w.write(b, "etc/config.yaml", w.good())
	w.write(b, "deadman.yaml", fmt.Sprintf(`
state-dir: %[1]s/state
agents:
  a:
    config: {root: %[1]s/etc, files: [config.yaml], settle: 0s}
    supervisor: %[2]s
    checks:
      http: {http: {url: "%[3]s"}}
    period: 1s
    threshold: 2
    retry: 50ms
    gone-grace: 200ms
    probation: 1s
    recovery: {start-limit-burst: 100, start-limit-interval: 10s, backoff-delay: 10ms, backoff-limit: 10ms}
`, dir, strings.ReplaceAll(supervisor, "DIR", dir), w.url))
	return w
}

func (w *bench) good() string { return "listen: " + w.addr + "\nmodel: m1\n" }

func (w *bench) write(b *testing.B, name, text string) {
	b.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		b.Fatal(err)
	}
}

func (w *bench) build(b *testing.B, out, pkg string) {
	b.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
}

// timed runs a command to its end.
func timed(b *testing.B, argv ...string) time.Duration {
	b.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %v", argv, err)
	}
	return time.Since(began)
}

// median in milliseconds.
func median(times []time.Duration) float64 {
	times = slices.Clone(times)
	slices.Sort(times)
	return float64(times[len(times)/2].Microseconds()) / 1000
}

// ratio is the median of the ratios of what was measured in turn.
func ratio(a, b []time.Duration) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = float64(a[i]) / float64(b[i])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// await polls the agent's port until it answers, as often as it can.
func (w *bench) await(b *testing.B) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", w.addr, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
	b.Fatal("the agent does not answer")
}

// prove waits until the known good is proven; each look is a `deadman check`
// unless a watch makes them.
func (w *bench) prove(b *testing.B, check bool) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if check {
			timed(b, w.deadman, "check", "--config", w.yaml)
		}
		out, err := exec.Command(w.deadman, "status", "--config", w.yaml, "--json").Output()
		if err == nil && strings.Contains(string(out), `"standing":"proven"`) && !strings.Contains(string(out), `"provisional":true`) {
			return
		}
	}
	b.Fatal("it was never proven")
}

// BenchmarkHealthyCheck is `deadman check` of one healthy unchanged agent as a
// whole process, against a Go program that says hello, and against a shell
// script that reads the same. Its parts: a start of the program alone, and
// that with config and saved state.
func BenchmarkHealthyCheck(b *testing.B) {
	w := newBench(b, "{command: {start: [DIR/agent, -daemon, -config, DIR/etc/config.yaml, -pid-file, DIR/agent.pid]}, process: {pid-file: DIR/agent.pid}}")
	timed(b, w.agent, "-daemon", "-config", filepath.Join(w.dir, "etc/config.yaml"), "-pid-file", filepath.Join(w.dir, "agent.pid"))
	w.await(b)
	w.prove(b, true)
	script := filepath.Join(w.dir, "script")
	w.write(b, "script", fmt.Sprintf(`#!/bin/sh
curl -sf -o /dev/null %s || exit 1
cmp -s %s/etc/config.yaml %s/state/agents/a/last-known-good/config.yaml || exit 1
sqlite3 -readonly %s/state/deadman.db 'select state from state where agent = "a"' >/dev/null
`, w.url, w.dir, w.dir, w.dir))
	var check, hello, shell, start, status []time.Duration
	for b.Loop() {
		check = append(check, timed(b, w.deadman, "check", "--config", w.yaml))
		hello = append(hello, timed(b, w.hello))
		shell = append(shell, timed(b, script))
		start = append(start, timed(b, w.deadman, "version"))
		status = append(status, timed(b, w.deadman, "status", "--config", w.yaml))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(check), "check-ms")
	b.ReportMetric(median(hello), "hello-ms")
	b.ReportMetric(median(shell), "script-ms")
	b.ReportMetric(median(start), "part-start-ms")
	b.ReportMetric(median(status)-median(start), "part-config+state-ms")
	b.ReportMetric(median(check)-median(status), "part-round-ms")
	b.ReportMetric(ratio(check, hello), "check/hello")
	b.ReportMetric(ratio(check, shell), "check/script")
}

// BenchmarkWatch is the time from SIGKILL of a child until its replacement
// answers, against a shell loop that restarts the same program on its good
// config; and the same with a corrupt config on top, rollback included.
func BenchmarkWatch(b *testing.B) {
	w := newBench(b, "{child: [DIR/agent, -config, DIR/etc/config.yaml, -pid-file, DIR/agent.pid]}")
	watch := exec.Command(w.deadman, "watch", "--config", w.yaml)
	if err := watch.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = watch.Process.Kill(); _ = watch.Wait() })
	w.await(b)
	w.prove(b, false)

	peer := newBench(b, "{child: [DIR/agent]}")
	peer.write(b, "loop", fmt.Sprintf("#!/bin/sh\nwhile :; do %[1]s/agent -config %[1]s/etc/config.yaml -pid-file %[1]s/agent.pid; done\n", peer.dir))
	loop := exec.Command(filepath.Join(peer.dir, "loop"))
	loop.Dir = peer.dir
	if err := loop.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = loop.Process.Kill(); _ = loop.Wait() })
	peer.await(b)

	var restart, rollback, shell []time.Duration
	for b.Loop() {
		shell = append(shell, peer.killed(b))
		restart = append(restart, w.killed(b))
		w.settled(b)
		w.write(b, "etc/config.yaml", "listen: [\n")
		rollback = append(rollback, w.killed(b))
		w.settled(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(restart), "restart-ms")
	b.ReportMetric(median(rollback), "rollback-ms")
	b.ReportMetric(median(shell), "loop-ms")
	b.ReportMetric(ratio(restart, shell), "restart/loop")
	b.ReportMetric(ratio(rollback, shell), "rollback/loop")
}

// killed kills the agent and returns how long it took until another answered.
func (w *bench) killed(b *testing.B) time.Duration {
	b.Helper()
	pid := w.pid(b)
	// It is over when the last thread has ended, and with it the listener. That
	// the process is a zombie says only that the first one has.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	for n := 0; n == 0; {
		if n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			b.Fatal(err)
		}
		n = max(n, 0)
	}
	w.await(b)
	return time.Since(began)
}

// pid is the agent's, which writes its pid file just after it has begun to
// answer.
func (w *bench) pid(b *testing.B) int {
	b.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		text, err := os.ReadFile(filepath.Join(w.dir, "agent.pid"))
		if pid, aerr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && aerr == nil && runs(pid) {
			return pid
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("there is no agent")
	return 0
}

// settled waits until the incident is over.
func (w *bench) settled(b *testing.B) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		out, err := exec.Command(w.deadman, "status", "--config", w.yaml, "--json").Output()
		if err == nil && strings.Contains(string(out), `"state":"up"`) && !strings.Contains(string(out), `"incident"`) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	out, _ := exec.Command(w.deadman, "history", "-n", "30", "--all", "--config", w.yaml).Output()
	b.Fatalf("the incident did not end\n%s", out)
}
