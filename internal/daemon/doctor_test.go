package daemon_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

func doctor(t *testing.T, m *machine) []api.Finding {
	t.Helper()
	findings, err := m.d.Doctor(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	noValues(t, findings)
	return findings
}

// finds fails unless doctor says something with this text, at this level.
func finds(t *testing.T, m *machine, level, text string) {
	t.Helper()
	all := doctor(t, m)
	for _, f := range all {
		if f.Level == level && strings.Contains(f.Message, text) {
			if f.Hint == "" && level == "bad" {
				t.Errorf("bad without a hint: %+v", f)
			}
			return
		}
	}
	t.Errorf("no %s finding with %q:\n%s", level, text, lines(all))
}

func lines(findings []api.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.Level + " " + f.Subject + ": " + f.Message + "\n")
	}
	return b.String()
}

func TestDoctorOfAFitSwitch(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	// However long the doctor takes on a loaded machine, it comes in good time.
	soon := time.Now().Add(time.Minute)
	try(t, os.Chtimes(m.path("state/agents/a/last-check"), soon, soon))
	for _, f := range doctor(t, m) {
		if f.Level != "ok" && !strings.Contains(f.Message, "MiB are free") {
			t.Errorf("%+v", f)
		}
	}
	for _, text := range []string{"byte for byte", "hold together", "is its", "was checked", "rows can be delivered", "and parse", "alive check is healthy"} {
		finds(t, m, "ok", text)
	}
}

func TestDoctorBeforeAnything(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, f := range doctor(t, m) {
		if f.Level == "bad" {
			t.Errorf("%+v", f)
		}
	}
	for _, text := range []string{"does not exist yet", "nothing is stored", "never been checked", "does not run"} {
		finds(t, m, "warn", text)
	}
	if _, err := os.Stat(m.path("state")); err == nil {
		t.Error("doctor has made a state directory")
	}
}

// Each of these is a machine on which a death would not be seen or not be cured.
func TestDoctorFindsWhatIsBad(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		checked bool // the machine has been checked before
		harm    func(t *testing.T, m *machine)
		text    string
	}{
		"others can read the state": {false, func(t *testing.T, m *machine) { try(t, os.Mkdir(m.path("state"), 0o755)) }, "mode 0755"},
		"the state is a file":       {false, func(t *testing.T, m *machine) { m.write("state", "") }, "not a directory"},
		"the state is another's": {false, func(t *testing.T, m *machine) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			try(t, os.Mkdir(m.path("state"), 0o700))
			try(t, os.Chown(m.path("state"), 4711, -1))
		}, "belongs to user 4711"},
		"the database is damaged": {true, func(t *testing.T, m *machine) {
			m.d.Close()
			m.write("state/deadman.db", "not a database, and not a short text either, so that it is read as one")
		}, "damaged"},
		"the log was altered": {true, func(t *testing.T, m *machine) {
			m.d.Close()
			sqlite(t, m.path("state/deadman.db"), "DROP TRIGGER record_no_update; UPDATE record SET reason='nothing' WHERE id=2")
		}, "2 was altered"},
		"request_log is another's": {false, func(t *testing.T, m *machine) {
			try(t, os.Mkdir(m.path("state"), 0o700))
			sqlite(t, m.path("state/request_log.db"), "CREATE TABLE request_log (a)")
		}, "other columns"},
		"the root is gone":   {false, func(t *testing.T, m *machine) { try(t, os.Rename(m.path("etc"), m.path("etc2"))) }, "does not exist"},
		"a file is missing":  {false, func(t *testing.T, m *machine) { try(t, os.Remove(m.path("etc/config.yaml"))) }, "is listed and does not exist"},
		"nothing is matched": {false, func(t *testing.T, m *machine) { m.edit("files: [config.yaml]", `files: ["*.toml"]`) }, "nothing in"},
		"it does not parse":  {false, func(t *testing.T, m *machine) { m.write("etc/config.yaml", "provider: [sk-secret\n") }, "config.yaml"},
		"no such validator":  {false, func(t *testing.T, m *machine) { m.edit("period: 1s", "period: 1s\n    validate: [no-such-validator]") }, `validate: cannot find "no-such-validator"`},
		"no such start":      {false, func(t *testing.T, m *machine) { m.edit("start: [", `start: [/no/such/start, `) }, "supervisor.command.start: cannot find"},
		"overlap by a link": {false, func(t *testing.T, m *machine) {
			try(t, os.Symlink(m.dir, m.path("alias")))
			m.edit("root: "+m.path("etc"), "root: "+m.path("alias"))
			m.edit("files: [config.yaml]", `files: ["**"]`)
		}, "overlap"},
		"the root in the state": {false, func(t *testing.T, m *machine) {
			try(t, os.Mkdir(m.path("state"), 0o700))
			try(t, os.Rename(m.path("etc"), m.path("state/etc")))
			try(t, os.Symlink("state/etc", m.path("etc")))
		}, "overlap"},
		"a damaged known good": {true, func(t *testing.T, m *machine) {
			m.write("state/agents/a/last-known-good/config.yaml", "other: bytes\n")
		}, "not those that were stored"},
		"a broken manifest": {true, func(t *testing.T, m *machine) {
			found, err := filepath.Glob(m.path("state/agents/a/snapshots/*/manifest.json"))
			if err != nil || len(found) == 0 {
				t.Fatal("no manifest", err)
			}
			try(t, os.WriteFile(found[0], []byte("{"), 0o600))
		}, "cannot read snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			if tt.checked {
				m.until("a known good", func() bool { return m.check().KnownGood != nil })
			}
			tt.harm(t, m)
			finds(t, m, "bad", tt.text)
		})
	}
}

func TestDoctorWarns(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	long := time.Now().Add(-time.Hour)
	try(t, os.Chtimes(m.path("state/agents/a/last-check"), long, long))
	finds(t, m, "warn", "checked last 1h0m")

	m.edit("files: [config.yaml]", `files: [config.yaml, "*.toml", notes], preserve: ["config.yaml#gone.key"]`)
	m.edit("period: 1s", "period: 1s\n    recovery: {mode: observe}")
	try(t, os.Symlink(m.path("pid"), m.path("etc/notes")))
	m.kill(m.pid())
	for _, text := range []string{`pattern "*.toml" matches nothing`, "notes is a link", "preserve config.yaml#gone.key: there is no such key", "does not run", "check web is unhealthy", "mode is observe"} {
		finds(t, m, "warn", text)
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// edit changes the config and opens it anew.
func (m *machine) edit(old, now string) {
	m.t.Helper()
	if !strings.Contains(m.text, old) {
		m.t.Fatalf("the config has no %q", old)
	}
	m.open(strings.Replace(m.text, old, now, 1))
}

// sqlite changes a database behind deadman's back.
func sqlite(t *testing.T, path, statements string) {
	t.Helper()
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("no sqlite3 here")
	}
	if out, err := exec.Command("sqlite3", path, statements).CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v: %s", err, out)
	}
}

func TestCgroup(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0::/system.slice/hermes.service\n": "/system.slice/hermes.service",
		"0::/\n":                            "",
		"":                                  "",
		"9:name=systemd:/\n4:memory:/box/1\n0::/\n":                                   "",
		"12:cpu:/\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n":         "/user.slice/user-0.slice/session-3.scope",
		"1:name=systemd:/init.scope\n0::/system.slice/a:b::c.service\n3:pids:/x::/\n": "/system.slice/a:b::c.service",
	} {
		if got := daemon.ParseCgroup(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
