package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"deadman/internal/config"
	"deadman/internal/daemon"
)

// A guard is late when it has not been heard beyond what it may take; one that
// has ended is not.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p daemon.Pulse
		a := config.Agent{Name: "a", StartTimeout: time.Minute, StopTimeout: time.Minute, KillDelay: time.Minute, Timeout: time.Minute}
		b := a
		b.Name = "b"
		p.Beat(a, time.Minute)
		p.Beat(b, time.Hour)
		time.Sleep(10 * time.Minute)
		if agent, ok := p.Late(); ok {
			t.Errorf("%s is late on time", agent)
		}
		time.Sleep(time.Second)
		if agent, ok := p.Late(); !ok || agent != "a" {
			t.Errorf("late: %q, %v", agent, ok)
		}
		p.Forget("a")
		if agent, ok := p.Late(); ok {
			t.Errorf("%s is late, though it has ended", agent)
		}
	})
}
