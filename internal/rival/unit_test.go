package rival_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deadman/internal/rival"
)

// manager is a systemd that notes what it is told, and in which timers run.
type manager struct {
	active map[string]bool
	told   []string
}

func (m *manager) run(_ context.Context, argv ...string) error {
	line := strings.Join(argv, " ")
	unit := argv[len(argv)-1]
	switch {
	case slices.Contains(argv, "is-active"):
		if !m.active[unit] {
			return errors.New("inactive")
		}
		return nil
	case slices.Contains(argv, "stop"):
		m.active[unit] = false
	case slices.Contains(argv, "start"):
		m.active[unit] = true
	}
	m.told = append(m.told, line)
	return nil
}

// TestManagerIsTold: a timer that ran is stopped, and runs again when it is back; a
// unit of a package is masked; a service that runs is stopped only with Kill.
func TestManagerIsTold(t *testing.T) {
	t.Parallel()
	h := host(t, "etc/passwd", "etc/systemd/system/wizard-health.service", "usr/local/sbin/wizard-health", "usr/local/lib/wizards/health.sh",
		"etc/systemd/system/timers.target.wants/wizard-health.timer", "etc/systemd/system/relay-loop.service", "opt/relay/loop.sh",
		"etc/systemd/system/multi-user.target.wants/relay-loop.service")
	packaged := filepath.Join(h.Root, "usr/lib/systemd/system/wizard-health.timer")
	for p, text := range map[string]string{packaged: "[Timer]\nOnCalendar=hourly\n"} {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := facts(t, h.Root, false)
	m := &manager{active: map[string]bool{"wizard-health.timer": true, "relay-loop.service": true}}
	journal := filepath.Join(t.TempDir(), "rivals")
	outcomes, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{Run: m.run})
	if err != nil || len(outcomes) != 2 {
		t.Fatalf("%+v %v", outcomes, err)
	}
	mask := filepath.Join(h.Root, "etc/systemd/system/wizard-health.timer")
	if target, err := os.Readlink(mask); err != nil || target != "/dev/null" {
		t.Errorf("not masked: %q %v", target, err)
	}
	if m.active["wizard-health.timer"] || !m.active["relay-loop.service"] || !slices.Contains(m.told, "systemctl daemon-reload") {
		t.Errorf("told %q", m.told)
	}
	if i := slices.IndexFunc(outcomes, func(o rival.Outcome) bool { return strings.Contains(o.Note, "--kill") }); i < 0 {
		t.Errorf("that a service runs on is not said: %+v", outcomes)
	}
	m.told = nil
	if _, err := rival.Restore(t.Context(), &h, journal, nil, rival.Options{Run: m.run}); err != nil {
		t.Fatal(err)
	}
	if !m.active["wizard-health.timer"] || slices.Contains(m.told, "systemctl start relay-loop.service") {
		t.Errorf("told %q", m.told)
	}
	if after := facts(t, h.Root, false); len(after) != len(before) {
		t.Errorf("there are %d files, and were %d", len(after), len(before))
	}
	if _, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{Run: m.run, Kill: true}); err != nil {
		t.Fatal(err)
	}
	if m.active["relay-loop.service"] {
		t.Errorf("with Kill: told %q", m.told)
	}
	// One that somebody has unmasked meanwhile, and put a unit of his own there, stays.
	if err := os.Remove(mask); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mask, []byte("[Timer]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	restored, err := rival.Restore(t.Context(), &h, journal, nil, rival.Options{Run: m.run})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range restored {
		var changed *rival.ChangedError
		if refused := errors.As(o.Err, &changed); refused != (o.Deed == rival.Masked) {
			t.Errorf("%+v", o)
		}
	}
	if !m.active["relay-loop.service"] {
		t.Errorf("what was stopped was not started: %q", m.told)
	}
}
