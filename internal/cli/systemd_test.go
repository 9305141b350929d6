package cli_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"deadman/internal/cli"
)

func TestWatchdogPace(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"60000000", "", 30 * time.Second},
		{"60000000", fmt.Sprint(os.Getpid()), 30 * time.Second},
		{"60000000", "1", 0}, // another's
		{"", "", 0},
		{"0", "", 0},
		{"-1", "", 0},
		{"soon", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := cli.WatchdogPace(); got != c.want {
			t.Errorf("%q of %q: %v, want %v", c.usec, c.pid, got, c.want)
		}
		for _, name := range []string{"WATCHDOG_USEC", "WATCHDOG_PID"} {
			if _, ok := os.LookupEnv(name); ok {
				t.Errorf("%s is left for children", name)
			}
		}
	}
}

// systemd hears of us at its pace, until a guard hangs; that is said once.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := time.Now()
		hung := begun.Add(75 * time.Second)
		var told []time.Duration
		var said []string
		cli.Watchdog(ctx, 30*time.Second, func() (string, bool) { return "a", time.Now().After(hung) },
			func(string) { told = append(told, time.Since(begun)) }, func(s string) { said = append(said, s) })
		if want := []time.Duration{0, 30 * time.Second, 60 * time.Second}; !slices.Equal(told, want) {
			t.Errorf("told at %v, want %v", told, want)
		}
		if len(said) != 1 {
			t.Errorf("said %q", said)
		}
	})
}

// TestNotifier: systemd hears of us, and what we start cannot speak for us.
func TestNotifier(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	tell := cli.Notifier()
	if _, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
		t.Error("the variable is left for children")
	}
	tell("READY=1")
	buf := make([]byte, 64)
	if n, err := listener.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("heard %q, %v", buf[:n], err)
	}
	cli.Notifier()("READY=1") // without a socket nobody is told, and nothing fails
}
