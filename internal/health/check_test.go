package health_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/health"
	"deadman/internal/proc"
)

func TestCheckIsOfOneKind(t *testing.T) {
	t.Parallel()
	for _, c := range []health.Check{{}, {TCP: &health.TCP{}, Process: &health.Process{}}} {
		if got := attempt(t, c); got.Result != deadman.Unknown || got.Detail == "" {
			t.Errorf("%+v", got)
		}
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]deadman.Result{
		listen(t, nil):       deadman.Healthy,
		closed(t):            deadman.Unhealthy,
		"agent.invalid:80":   deadman.Unknown,
		"127.0.0.1:no-port!": deadman.Unknown,
	} {
		if got := attempt(t, health.Check{TCP: &health.TCP{Address: address}}); got.Result != want {
			t.Errorf("%s: %+v, want %s", address, got, want)
		}
	}
}

// What is wrong with us is not the agent's fault: here we have no descriptor left.
// Not parallel: everybody else would have none either.
func TestOurOwnTrouble(t *testing.T) {
	address := listen(t, nil)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	got := attempt(t, health.Check{HTTP: &health.HTTP{URL: "http://" + address}})
	if got.Result != deadman.Unknown || !strings.Contains(got.Detail, "too many open files") {
		t.Errorf("%+v", got)
	}
}

// An answer counts only if the listener is the agent's, where that can be seen.
func TestOwner(t *testing.T) {
	t.Parallel()
	pid, address := serve(t)
	_, port, _ := net.SplitHostPort(address)
	self := os.Getpid()
	for name, c := range map[string]struct {
		owner health.Owner
		want  deadman.Result
	}{
		"nothing known":    {health.Owner{}, deadman.Healthy},
		"the main process": {health.Owner{Main: pid}, deadman.Healthy},
		"a child of it":    {health.Owner{Main: self, Family: func() []int { return []int{self, pid} }}, deadman.Healthy},
		"another":          {health.Owner{Main: self, Family: func() []int { return []int{self} }}, deadman.Unhealthy},
		"another, alone":   {health.Owner{Main: self}, deadman.Unhealthy},
	} {
		for _, check := range []health.Check{
			{HTTP: &health.HTTP{URL: "http://" + address + "/"}},
			{HTTP: &health.HTTP{URL: "http://localhost:" + port + "/"}},
			{TCP: &health.TCP{Address: address}},
		} {
			got := check.Attempt(t.Context(), time.Now(), c.owner)
			if got.Result != c.want {
				t.Errorf("%s: %+v, want %s", name, got, c.want)
			}
			if c.want == deadman.Unhealthy && !strings.Contains(got.Detail, fmt.Sprintf("port %s is held by process %d", port, pid)) {
				t.Errorf("%s: %q", name, got.Detail)
			}
		}
	}
	// The healthy case does not look further than the main process.
	owner := health.Owner{Main: pid, Family: func() []int { t.Error("the family was asked for"); return nil }}
	health.Check{TCP: &health.TCP{Address: address}}.Attempt(t.Context(), time.Now(), owner)
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		age   time.Duration
		want  deadman.Result
		stale bool
	}{
		"fresh":              {time.Minute, deadman.Healthy, false},
		"exactly":            {90 * time.Second, deadman.Healthy, false},
		"old":                {91 * time.Second, deadman.Unhealthy, true},
		"rounded ahead":      {-2 * time.Second, deadman.Healthy, false},
		"in the future":      {-time.Minute, deadman.Unknown, false},
		"missing":            {0, deadman.Unhealthy, true},
		"below a plain file": {0, deadman.Unhealthy, true},
	} {
		file := filepath.Join(dir, name)
		switch name {
		case "missing":
		case "below a plain file":
			file = filepath.Join(dir, "fresh", "beat")
			os.WriteFile(filepath.Dir(file), nil, 0o600)
		default:
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, now, now.Add(-c.age)); err != nil {
				t.Fatal(err)
			}
		}
		check := health.Check{Heartbeat: &health.Heartbeat{File: file, MaxAge: 90 * time.Second}}
		got := check.Attempt(t.Context(), now, health.Owner{})
		if got.Result != c.want || got.Stale != c.stale || strings.Contains(got.Detail, dir) {
			t.Errorf("%s: %+v, want %s, stale %v", name, got, c.want, c.stale)
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	for presence, want := range map[deadman.Presence]deadman.Result{
		deadman.Running: deadman.Healthy, deadman.Gone: deadman.Unhealthy,
		deadman.Obscured: deadman.Unknown, deadman.PresenceUnset: deadman.Unknown,
	} {
		got := health.Check{Process: &health.Process{}}.Attempt(t.Context(), time.Now(), health.Owner{Presence: presence})
		if got.Result != want {
			t.Errorf("%s: %+v, want %s", presence, got, want)
		}
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		exec   health.Exec
		want   deadman.Result
		detail string
	}{
		"exit 0":            {health.Exec{Command: []string{"true"}}, deadman.Healthy, ""},
		"exit 3":            {health.Exec{Command: []string{"sh", "-c", "echo hunter2; exit 3"}}, deadman.Unhealthy, "exit 3"},
		"dir and env":       {health.Exec{Command: []string{"sh", "-c", `[ "$PWD$A" = "` + dir + `b" ]`}, Dir: dir, Env: map[string]string{"A": "b"}}, deadman.Healthy, ""},
		"no stdin":          {health.Exec{Command: []string{"sh", "-c", "read x && exit 1; exit 0"}}, deadman.Healthy, ""},
		"much output":       {health.Exec{Command: []string{"sh", "-c", "head -c 1000000 /dev/zero"}}, deadman.Healthy, ""},
		"no such command":   {health.Exec{Command: []string{filepath.Join(dir, "hunter2")}}, deadman.Unknown, "cannot be run"},
		"not executable":    {health.Exec{Command: []string{plain}}, deadman.Unknown, "cannot be run"},
		"says the shell":    {health.Exec{Command: []string{"sh", "-c", "no-such-command-anywhere"}}, deadman.Unknown, "cannot be run (exit 127)"},
		"no such directory": {health.Exec{Command: []string{"true"}, Dir: plain + "/x"}, deadman.Unknown, "cannot be run"},
		"no command":        {health.Exec{}, deadman.Unknown, "no command"},
		"killed":            {health.Exec{Command: []string{"sh", "-c", "kill -KILL $$"}}, deadman.Unknown, "killed"},
		"too slow":          {health.Exec{Command: []string{"sleep", "1000"}}, deadman.Unhealthy, "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if name == "too slow" {
				timeout = 100 * time.Millisecond
			}
			got := attempt(t, health.Check{Exec: &c.exec, Timeout: timeout})
			if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || strings.Contains(got.Detail, "hunter2") {
				t.Errorf("%s %q, want %s %q", got.Result, got.Detail, c.want, c.detail)
			}
		})
	}
}

// Nothing of a command outlives its attempt, whether in time or not.
func TestExecLeavesNobody(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"in time": "exit 0", "too slow": "wait"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			note := filepath.Join(t.TempDir(), "pid")
			script := "sleep 1000 & echo $! >" + note + "; " + end
			attempt(t, health.Check{Exec: &health.Exec{Command: []string{"sh", "-c", script}}, Timeout: time.Second})
			text, err := os.ReadFile(note)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
				if p, err := proc.Look(pid); err != nil {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("%v is left", p)
				}
			}
		})
	}
}

// What the look at the owner costs beside the answer itself.
func BenchmarkHTTPNoOwner(b *testing.B) {
	_, address := serve(b)
	check := health.Check{HTTP: &health.HTTP{URL: "http://" + address}}
	for b.Loop() {
		check.Attempt(b.Context(), time.Now(), health.Owner{})
	}
}

func BenchmarkHTTP(b *testing.B) {
	pid, address := serve(b)
	check := health.Check{HTTP: &health.HTTP{URL: "http://" + address}}
	for b.Loop() {
		if got := check.Attempt(b.Context(), time.Now(), health.Owner{Main: pid}); got.Result != deadman.Healthy {
			b.Fatal(got)
		}
	}
}
