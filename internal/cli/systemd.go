package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// notifier returns what tells systemd of our state (sd_notify). The variable
// goes: what we start must not speak for us.
func notifier() func(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET")
	return func(state string) {
		if socket == "" {
			return
		}
		// Without an answer there is nobody to tell that it did not arrive.
		if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"}); err == nil {
			_, _ = c.Write([]byte(state))
			_ = c.Close()
		}
	}
}

// watchdogPace is how often systemd wants to hear that we go on: half of the
// unit's WatchdogSec, as sd_watchdog_enabled(3) recommends. 0 is never. These
// variables go too.
func watchdogPace() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	_ = os.Unsetenv("WATCHDOG_USEC")
	_ = os.Unsetenv("WATCHDOG_PID")
	if err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// watchdog tells systemd at this pace that we go on, until ctx ends or a guard
// hangs. Then silence makes systemd end this process and start another: agents
// live on meanwhile, and are adopted.
func watchdog(ctx context.Context, pace time.Duration, hangs func() (string, bool), tell, warn func(string)) {
	if pace == 0 {
		return
	}
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		if agent, ok := hangs(); ok {
			warn(fmt.Sprintf("the guard of %s hangs, so the watchdog is told nothing more", agent))
			return
		}
		tell("WATCHDOG=1")
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
