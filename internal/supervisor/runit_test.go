package supervisor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deadman"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners, owner{
		form: "runit", kind: "real", program: "runsv",
		install: installRunit, restarts: true, counts: true, holds: true,
	})
}

// installRunit makes a service directory and starts a runsv for it, as runsvdir
// would.
func installRunit(t *testing.T, dir string, argv []string) ways {
	service := filepath.Join(dir, "service")
	if err := os.Mkdir(service, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec '" + strings.Join(argv, "' '") + "'\n"
	if err := os.WriteFile(filepath.Join(service, "run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(service, "down"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	vanish := daemon(t, "runsv", service)
	r := &supervisor.Runit{Service: service}
	eventually(t, "runsv is up", func() bool { return exec.Command("sv", "status", service).Run() == nil })
	return ways{
		owner: r, vanish: vanish,
		person: func(t *testing.T) { run(t, "sv", "down", service) },
	}
}

// Nobody has ever run the service: that is not a service which is down.
func TestRunitWithoutRunsv(t *testing.T) {
	t.Parallel()
	f := &supervisor.Owned{Owner: &supervisor.Runit{Service: t.TempDir()}, StateDir: t.TempDir()}
	if got := inspect(t, f); got.Presence != deadman.Obscured || got.Detail == "" {
		t.Errorf("%+v", got)
	}
}
