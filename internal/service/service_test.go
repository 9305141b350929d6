package service_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/service"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func services() map[string]service.Plan {
	machine := service.Service{Program: "/usr/local/bin/deadman"}
	odd := service.Service{Program: "/opt/100% of $it/dead man", Config: "/srv/a \"b\"/deadman.yaml", User: true, Home: "/home/u", ConfigHome: "/home/u/.config"}
	odd.Finish = []service.Unit{{Agent: "a", Name: "a.service"}, {Agent: "b", Name: "b", User: true}}
	check, user := machine, odd
	check.Check = true
	confined, confinedCheck := machine, check
	confined.Confine, confinedCheck.Confine = true, true
	user.Check = true
	return map[string]service.Plan{
		"systemd-watch": machine.Systemd(), "systemd-check": check.Systemd(), "systemd-user-finish": odd.Systemd(),
		"systemd-watch-confined": confined.Systemd(), "systemd-check-confined": confinedCheck.Systemd(),
		"launchd-watch": machine.Launchd("system"), "launchd-user-check": user.Launchd("gui/501"),
	}
}

func TestPlans(t *testing.T) {
	for name, plan := range services() {
		var b strings.Builder
		for _, f := range plan.Files {
			fmt.Fprintf(&b, "-- %s --\n%s", f.Path, f.Text)
			if !strings.Contains(f.Text, service.Mark) {
				t.Errorf("%s bears no mark", f.Path)
			}
		}
		fmt.Fprintf(&b, "-- commands --\nreload: %q\nenable: %q\ndisable: %q\nalso: %s\n", plan.Reload, plan.Enable, plan.Disable, plan.Also)
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// systemd itself reads the units, and has nothing to say.
func TestUnitsVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "dead man")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, check := range []bool{false, true} {
		s := service.Service{Program: program, Check: check}
		argv := []string{"verify", "--man=no"}
		for _, f := range s.Systemd().Files {
			path := filepath.Join(dir, filepath.Base(f.Path))
			if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
				t.Fatal(err)
			}
			argv = append(argv, path)
		}
		if out, err := exec.Command(analyze, argv...).CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
			t.Errorf("check %v: %v\n%s", check, err, out)
		}
	}
}

// A property list is well-formed, and its arguments are what was asked for.
func TestPropertyListParses(t *testing.T) {
	plan := services()["launchd-user-check"]
	var words []string
	for d := xml.NewDecoder(strings.NewReader(plan.Files[0].Text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			words = append(words, string(text))
		}
	}
	want := []string{"Label", "deadman", "ProgramArguments", "/opt/100% of $it/dead man", "check", "--config", `/srv/a "b"/deadman.yaml`, "RunAtLoad", "StartInterval", "60", "AbandonProcessGroup"}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Error(diff)
	}
}

// TestLineBreak: a path with a line break begins no line of its own.
func TestLineBreak(t *testing.T) {
	t.Parallel()
	s := service.Service{Program: "/bin/deadman", Config: "/srv/x\nExecStartPre=/bin/evil\r.yaml"}
	for _, f := range s.Systemd().Files {
		if strings.Contains(f.Text, "\nExecStartPre=") || !strings.Contains(f.Text, `/srv/x\nExecStartPre=/bin/evil\r.yaml`) {
			t.Errorf("%s", f.Text)
		}
	}
}
