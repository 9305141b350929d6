package daemon_test

import (
	"strings"
	"testing"

	"deadman/internal/daemon"
)

// TestAcceptRefusesWhatDoesNotValidate: a person's word overrides the guards, and
// makes no syntax error a config.
func TestAcceptRefusesWhatDoesNotValidate(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	known := m.check().KnownGood.ID
	m.write("etc/config.yaml", "listen: x\nprovider: [sk-secret\n")
	broken := m.check().Live.ID
	for _, name := range []string{"", broken} {
		_, err := m.d.Tell(t.Context(), "a", "accept", daemon.Arg{Snapshot: name}, 0)
		if err == nil || !strings.Contains(err.Error(), "config.yaml:3:") || strings.Contains(err.Error(), "secret") || hint(err) == "" {
			t.Errorf("accept %q: %v", name, err)
		}
	}
	if a := m.check(); a.KnownGood.ID != known {
		t.Errorf("%+v", a.KnownGood)
	}
	// The guard that objects to a placeholder is overridden.
	m.write("etc/config.yaml", m.config("api_key: '[REDACTED]'"))
	a, err := m.d.Tell(t.Context(), "a", "accept", daemon.Arg{}, 0)
	if err != nil || a.KnownGood.ID == known {
		t.Errorf("accept: %+v, %v", a, err)
	}
	// The user's own validator is asked too.
	m.edit("settle: 0}", "settle: 0}\n    validate: ['false']")
	m.write("etc/config.yaml", m.config("model: model-two"))
	if _, err = m.d.Tell(t.Context(), "a", "accept", daemon.Arg{}, 0); err == nil || !strings.Contains(err.Error(), "does not validate") {
		t.Errorf("accept against the validator: %v", err)
	}
}
