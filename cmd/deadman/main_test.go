package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"deadman/internal/supervisor"
)

func TestMain(m *testing.M) {
	// A child agent begins as the program that guards it, which here is this
	// test.
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	testscript.Main(m, map[string]func(){"deadman": main})
}

// TestScripts runs the real program, in testdata/script/*.txt, where it is
// `deadman`. What needs an agent to guard is in internal/simtest.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config-home"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state-home"))
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			// The race detector waits a second at the end of every process.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
	})
}
