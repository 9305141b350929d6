package daemon_test

import (
	"testing"

	"deadman/internal/api"
)

// TestAnAgentNamedTwiceIsCheckedOnce: its second check would find the first at it.
func TestAnAgentNamedTwiceIsCheckedOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	r, err := m.d.Check(t.Context(), []string{"a", "a"}, 0)
	try(t, err)
	if len(r.Agents) != 1 || r.Agents[0].Exit != api.ExitOK {
		t.Errorf("%+v", r.Agents)
	}
}
