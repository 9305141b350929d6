package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/cli"
)

func TestWorst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		exits []int
		want  int
	}{
		{nil, 0},
		{[]int{0, 0}, 0},
		{[]int{0, 75, 0}, 75},
		{[]int{75, 3}, 3},
		{[]int{3, 1, 75}, 1},
		{[]int{1, 2, 3}, 2},
		{[]int{0, 7}, 1}, // what nobody knows is never healthy
	} {
		var agents []api.Agent
		for _, exit := range tt.exits {
			agents = append(agents, api.Agent{Exit: exit})
		}
		if got := cli.Worst(agents); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.exits, got, tt.want)
		}
	}
}

type hinted struct{ error }

func (hinted) Hint() string { return "turn it off and on" }

func TestFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("cannot x"), "deadman: error: cannot x\n"},
		{hinted{errors.New("cannot x")}, "deadman: error: cannot x\ndeadman: hint: turn it off and on\n"},
		{fmt.Errorf("cannot y: %w", hinted{errors.New("cannot x")}), "deadman: error: cannot y: cannot x\ndeadman: hint: turn it off and on\n"},
	} {
		var out bytes.Buffer
		cli.Fail(&out, tt.err)
		if out.String() != tt.want {
			t.Errorf("%q, want %q", out.String(), tt.want)
		}
	}
}

func TestStatusTable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	report := api.Report{Schema: api.Schema, Agents: []api.Agent{
		{
			Name: "bezalel", State: deadman.Probation, Since: now.Add(-90 * time.Second), LastCheck: now.Add(-20 * time.Second),
			KnownGood: &api.Config{ID: "20261120T081500Z-0a1b2c3d", Standing: deadman.Proven},
			Live:      &api.Config{ID: "20261120T081500Z-0a1b2c3d", Standing: deadman.Proven},
			Process:   &api.Process{PID: 4194303}, Cause: deadman.ConfigInvalid, Reason: deadman.LiveInvalid,
			Incident: "bezalel-7", Undo: "deadman restore bezalel 20261124T115800Z-ffffffff",
		},
		{
			Name: "ezra", State: deadman.Waiting, Since: now.Add(-50 * time.Hour), Next: now.Add(4 * time.Minute),
			KnownGood: &api.Config{ID: "20261120T081500Z-0a1b2c3d", Standing: deadman.Candidate, Provisional: true},
			Live:      &api.Config{Standing: deadman.Candidate}, Proof: "in probation",
		},
		{Name: "new", Findings: []string{"it has never been checked"}},
	}}
	want := `AGENT    STATE      SINCE  KNOWN GOOD         LIVE       PID      CHECKED  NEXT
bezalel  probation  1m     20261120T081500Z   proven     4194303  20s      -
ezra     waiting    2d     20261120T081500Z?  candidate  -        -        4m
new      -          -      -                  -          -        -        -
bezalel: incident bezalel-7, cause config-invalid: the live config does not validate and the target does
bezalel: to undo the rollback: deadman restore bezalel 20261124T115800Z-ffffffff
ezra: what is live is not proven: in probation
new: it has never been checked
`
	var out bytes.Buffer
	cli.PrintStatus(&out, report, now)
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	for i, line := range strings.Split(out.String(), "\n")[:4] {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("line %d of the table is %d characters wide", i+1, n)
		}
	}
}

func TestAgentLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cli.PrintAgent(&out, api.Agent{
		Name: "bezalel", State: deadman.Failed, Exit: 1, Action: "failed", Reason: deadman.Exhausted, Cause: deadman.PortTaken,
		Checks:   []api.Check{{Name: "gateway", Result: deadman.Unhealthy, Detail: "status 500"}, {Name: "beat", Result: deadman.Healthy}},
		Findings: []string{"config.yaml does not parse"}, Proof: "it does not validate", Undo: "deadman restore bezalel x",
	})
	want := `bezalel: failed, failed (exhausted), cause port-taken
  check gateway: unhealthy, status 500
  config.yaml does not parse
  not proven yet: it does not validate
  to undo: deadman restore bezalel x
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"", ""},
		{"a b", "a b"},
		{"aaaa bbbb cc", "aaaa bbbb\n    cc"},
		{"  aaaa bbb c dd", "  aaaa bbb\n      c dd"},
		{"aaaaaaaaaaaaaa b", "aaaaaaaaaaaaaa\n    b"},
		{"ääää ääää ä", "ääää ääää\n    ä"},
	} {
		if got := cli.Fold(tt.line, 10); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h00m", 47*time.Hour + 59*time.Minute: "47h59m", 48 * time.Hour: "2d", 900 * time.Hour: "37d",
	} {
		if got := cli.Brief(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestPauseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "90m": 90 * time.Minute, "1d": 24 * time.Hour, "30d": 720 * time.Hour, "720h": 720 * time.Hour,
		"999ms": 0, "0d": 0, "31d": 0, "300d": 0, "-1d": 0, "-5m": 0, "721h": 0, "": 0, "d": 0, "5": 0, "1d2h": 0, "for ever": 0,
	} {
		got, ok := cli.PauseTime(text)
		if ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
}

func TestAdHocNames(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		"hermes": "hermes", "My Agent.py": "my-agent.py", "_x": "x", "…": "agent", strings.Repeat("a", 80): strings.Repeat("a", 63),
	} {
		if got := cli.AgentName(program); got != want {
			t.Errorf("%q: %q, want %q", program, got, want)
		}
	}
	for _, tt := range []struct {
		files []string
		root  string
		names string
	}{
		{[]string{"/etc/a/x.yaml"}, "/etc/a", "x.yaml"},
		{[]string{"/etc/a/d/y", "/etc/a/x"}, "/etc/a", "d/y x"},
		{[]string{"/etc/a/x", "/etc/ab/y"}, "", ""},
		{[]string{"/etc/a/../b/x"}, "/etc/b", "x"},
	} {
		root, names, err := cli.RootOf(tt.files)
		if err != nil || root != tt.root || strings.Join(names, " ") != tt.names {
			t.Errorf("%v: %q %q %v, want %q %q", tt.files, root, names, err, tt.root, tt.names)
		}
	}
}

// TestPlain: nothing of an agent's words does anything to a terminal, or begins a
// line of its own.
func TestPlain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, line, lines string }{
		{"plain äöü 日本 \\n \"", "plain äöü 日本 \\n \"", "plain äöü 日本 \\n \""},
		{"x\ny\tz", `x\ny\tz`, "x\ny\tz"},
		{"\x1b[2J\a\r\x00\x7f", `\x1b[2J\a\r\x00\x7f`, `\x1b[2J\a\r\x00\x7f`},
		{"\u009b31m\u202e\ufeff", `\u009b31m\u202e\ufeff`, `\u009b31m\u202e\ufeff`}, // C1, bidi, BOM
		{"\xff\xfe�", `\xff\xfe�`, `\xff\xfe�`},
	} {
		if got := cli.Plain(tt.text); got != tt.line {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.line)
		}
		if got := cli.PlainLines(tt.text); got != tt.lines {
			t.Errorf("%q in lines: %q, want %q", tt.text, got, tt.lines)
		}
	}
	const evil = "x\n\x1b[2Jdeadman: a: all is well"
	var out bytes.Buffer
	cli.PrintStatus(&out, api.Report{Agents: []api.Agent{{
		Name: evil, Findings: []string{evil}, Proof: evil, Incident: evil, Undo: evil, KnownGood: &api.Config{ID: evil},
	}}}, time.Now())
	cli.PrintAgent(&out, api.Agent{Name: evil, Action: evil, Checks: []api.Check{{Name: evil, Detail: evil}}, Findings: []string{evil}, Undo: evil})
	cli.Fail(&out, hinted{errors.Join(errors.New(evil), errors.New(evil))})
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "\ndeadman: a:") {
		t.Errorf("printed as it is:\n%q", out.String())
	}
}

// TestFullOutput: a result that could not be written is a failure, said once.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "deadman.yaml")
	text := "state-dir: " + dir + "/state\nagents: {a: {config: {root: " + dir + ", files: [x.yaml]}, supervisor: {child: [sleep, 9]}}}\n"
	for path, text := range map[string]string{config: text, filepath.Join(dir, "x.yaml"): "a: 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]int{
		"status": 1, "status --json": 1, "history --verify": 1, "snapshots a": 1, "show a live": 1, "explain --list": 1,
		"explain --list --json": 1, "version": 1, "--version": 1, "--help": 1, "help check": 1, "check --help": 1, "doctor": 1,
		"install-service": 1, "init --files /etc/passwd -- sleep 9": 1, "check -v": 3, "check --json": 3, "status nosuch": 2, "frobnicate": 2,
	} {
		var said bytes.Buffer
		status := cli.Main(append([]string{"--config", config}, strings.Fields(args)...), nil, full, &said)
		if status != want || want != 2 && strings.Count(said.String(), "deadman: error: cannot write: ") != 1 {
			t.Errorf("deadman %s: status %d, want %d\n%s", args, status, want, said.String())
		}
	}
}
