package validate_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman/internal/validate"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("good\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	noExec := filepath.Join(dir, "config")
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script, "validator", "{dir}"} }
	tests := []struct {
		name    string
		argv    []string
		env     []string
		kind    validate.Kind // "" is accepted
		message string
	}{
		{"accepts", sh(`grep -q good "$1/config"`), nil, "", ""},
		{"refuses", sh(`grep -q bad "$1/config"`), nil, validate.KindCommandRefused, "exit status 1, 0 bytes"},
		{"its words are not repeated", sh(`echo hunter2; echo hunter2 >&2; exit 3`), nil, validate.KindCommandRefused, "exit status 3, 16 bytes"},
		{"much output", sh(`head -c 5000000 /dev/zero; exit 1`), nil, validate.KindCommandRefused, "5000000 bytes"},
		{"dir within an argument", []string{"/bin/sh", "-c", "test -f {dir}/config && test -d {dir}"}, nil, "", ""},
		{"environment", sh(`test "$A" = b && test -z "$HOME"`), []string{"A=b"}, "", ""},
		{"stdin is empty", sh(`test -z "$(cat)"`), nil, "", ""},
		{"own session", sh(`set -- $(cat /proc/$$/stat); test "$6" = $$`), nil, "", ""},
		{"a child left behind", sh(`sleep 5 & exit 0`), nil, "", ""},
		{"not there", []string{"/no/such/validator"}, nil, validate.KindCommandUnknown, "it is not there"},
		{"not there by name", []string{"no-such-validator-here"}, nil, validate.KindCommandUnknown, "it is not there"},
		{"not executable", []string{noExec}, nil, validate.KindCommandUnknown, "permission denied"},
		{"not there for a shell", sh(`no-such-validator-here`), nil, validate.KindCommandUnknown, "127"},
		{"killed", sh(`kill -9 $$`), nil, validate.KindCommandUnknown, "signal"},
		{"no command", nil, nil, validate.KindCommandUnknown, "no command"},
		{"empty command", []string{""}, nil, validate.KindCommandUnknown, "no command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found, ok := validate.Command(t.Context(), tt.argv, dir, tt.env, 20*time.Second)
			if ok != (tt.kind == "") || found.Kind != tt.kind || !strings.Contains(found.Message, tt.message) {
				t.Errorf("got %+v, %v; want %s …%s…", found, ok, tt.kind, tt.message)
			}
			if ok && found != (validate.Finding{}) {
				t.Errorf("accepted with a finding: %+v", found)
			}
			if strings.Contains(found.Message, "hunter2") || strings.Contains(found.Message, dir) {
				t.Errorf("the message repeats what it must not: %s", found.Message)
			}
		})
	}
}

// On timeout the whole group dies: a grandchild holds the write end of a fifo,
// and the reader sees its end.
func TestCommandTimeoutKillsTheGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if _, ok := validate.Command(t.Context(), []string{"mkfifo", fifo}, dir, nil, 10*time.Second); !ok {
		t.Fatal("no fifo")
	}
	ended := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(fifo) // returns when every writer is gone
		ended <- err
	}()
	found, ok := validate.Command(t.Context(), []string{"/bin/sh", "-c", `trap '' TERM; (exec >{dir}/fifo; sleep 60; :) & wait`}, dir, nil, 300*time.Millisecond)
	if ok || found.Kind != validate.KindCommandUnknown || !strings.Contains(found.Message, "300ms") {
		t.Errorf("got %+v, %v", found, ok)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a grandchild outlived the timeout")
	}
}

func TestCommandInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found, ok := validate.Command(ctx, []string{"/bin/sh", "-c", "sleep 60"}, t.TempDir(), nil, time.Minute)
	if ok || found.Kind != validate.KindCommandUnknown {
		t.Errorf("got %+v, %v", found, ok)
	}
}
