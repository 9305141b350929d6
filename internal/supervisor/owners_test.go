package supervisor_test

import (
	"testing"

	"deadman/internal/supervisor"
)

// owner is a program that owns agents: a supervisor proper. Each file of a form
// adds its owners to the list, the real program and the stand-in.
type owner struct {
	// form is the word of the config; kind "real" or "stand-in".
	form, kind string
	// install makes an agent with this argument list known to the supervisor,
	// down, and gives back how a deadman opens it. It skips where the machine has
	// no such supervisor. What it installed is gone after the test.
	install func(t *testing.T, dir string, argv []string) func(supervisor.Known) form
}

var owners []owner
