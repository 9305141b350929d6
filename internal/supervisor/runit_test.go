package supervisor_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners, owner{
		form: "runit", kind: "real", program: "runsv",
		install: installRunit, restarts: true, counts: true,
	})
}

// installRunit makes a service directory and starts a runsv for it, as runsvdir
// would.
func installRunit(t *testing.T, dir string, argv []string) ways {
	service := filepath.Join(dir, "service")
	if err := os.Mkdir(service, 0o755); err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Join(service, "run"), "#!/bin/sh\nexec '"+strings.Join(argv, "' '")+"'\n")
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

// A service directory may be the agent's own. It can make us neither stop another
// user's process nor write into a file.
func TestRunitOfSomebodyElse(t *testing.T) {
	t.Parallel()
	service := t.TempDir()
	supervise := filepath.Join(service, "supervise")
	if err := os.Mkdir(supervise, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	ok := filepath.Join(supervise, "ok")
	if err := errors.Join(syscall.Mkfifo(ok, 0o600), os.Symlink(precious, filepath.Join(supervise, "control"))); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(ok, os.O_RDWR, 0) // as a runsv has it
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	status := make([]byte, 20)
	binary.LittleEndian.PutUint32(status[12:], uint32(os.Getpid()))
	status[17], status[19] = 'u', 1
	if err := os.WriteFile(filepath.Join(supervise, "status"), status, 0o644); err != nil {
		t.Fatal(err)
	}
	f := &supervisor.Owned{Owner: &supervisor.Runit{Service: service}, StateDir: t.TempDir()}
	if got := inspect(t, f); got.Presence != deadman.Running || got.Process.PID != os.Getpid() {
		t.Errorf("a status of our own: %+v", got)
	}
	if _, err := f.Stop(t.Context()); err == nil {
		t.Error("it tells a file")
	}
	if text, err := os.ReadFile(precious); string(text) != "precious" {
		t.Errorf("the file that control leads to: %q %v", text, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: no file can be made another user's")
	}
	if err := os.Chown(filepath.Join(supervise, "status"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	f.Known = supervisor.Known{}
	if got := inspect(t, f); got.Presence != deadman.Obscured || !got.Process.IsZero() {
		t.Errorf("a status of nobody's: %+v", got)
	}
}

// runsv is killed and another one takes its place, which knows nothing of the
// agent that lives on: nothing is started beside it, and it can be stopped.
func TestRunitThatLostItsAgent(t *testing.T) {
	t.Parallel()
	o := owners[slices.IndexFunc(owners, func(o owner) bool { return o.form == "runit" })]
	o.require(t)
	i := o.put(t)
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	f.Known = knownOf(t, f, token(t, "one"))
	i.vanish(t)
	service := filepath.Join(i.dir, "service")
	daemon(t, "runsv", service)
	eventually(t, "the other runsv is up", func() bool { return exec.Command("sv", "status", service).Run() == nil })
	if got := inspect(t, f); got.Presence != deadman.Obscured || got.Process != p {
		t.Errorf("lost: %+v, want %v", got, p)
	}
	var refused *supervisor.Refused
	if _, err := f.Start(t.Context(), token(t, "two")); !errors.As(err, &refused) || refused.PID != p.PID {
		t.Errorf("start: %v", err)
	}
	if r := stop(t, f); len(r.Killed)+len(r.Survivors) > 0 || !r.PortFree || proc.Alive(p) != deadman.Gone {
		t.Errorf("stop: %+v", r)
	}
	i.up(t, f, "three")
}
