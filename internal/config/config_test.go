package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v4"

	"deadman/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files and docs")

// golden compares got with the file at path, or rewrites it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); -update rewrites it:\n%s", path, diff)
	}
}

func parse(t *testing.T, src string) (config.Config, config.Problems) {
	t.Helper()
	return config.Parse("/var/lib/deadman", config.Source{File: "deadman.yaml", Data: []byte(src)})
}

// agents returns the names of the agents that are served.
func agents(c config.Config) []string {
	names := []string{}
	for _, a := range c.Agents {
		names = append(names, a.Name)
	}
	return names
}

const minimal = `
agents:
  a:
    config: {root: /srv/a, files: [a.yaml]}
    supervisor: {child: [run]}
`

// The defaults of DESIGN.md, section 7.
func TestDefaults(t *testing.T) {
	t.Parallel()
	c, problems := parse(t, minimal)
	if problems != nil {
		t.Fatal(problems)
	}
	want := config.Config{
		StateDir:   "/var/lib/deadman",
		RequestLog: "/var/lib/deadman/request_log.db",
		Agents: []config.Agent{{
			Name: "a", File: "deadman.yaml", Line: 3,
			Config:          []config.Set{{Root: "/srv/a", Files: []string{"a.yaml"}, Settle: 5 * time.Second}},
			Supervisor:      config.Supervisor{Child: &config.Child{Argv: []string{"run"}}},
			Period:          30 * time.Second,
			Timeout:         5 * time.Second,
			Threshold:       3,
			Retry:           time.Second,
			GoneGrace:       3 * time.Second,
			KillDelay:       10 * time.Second,
			Probation:       time.Minute,
			HealthyDeadline: 2 * time.Minute,
			StartMax:        10 * time.Minute,
			StartTimeout:    30 * time.Second,
			StopTimeout:     30 * time.Second,
			Limits:          config.Limits{File: 16 << 20, Set: 64 << 20, Files: 10000},
			Retention:       config.Retention{Newest: 20, Proven: 3},
			Recovery: config.Recovery{
				Mode: config.Enforce, First: config.FirstAuto,
				StartLimitBurst: 5, StartLimitInterval: 10 * time.Minute,
				BackoffDelay: time.Second, BackoffFactor: 2, BackoffLimit: 15 * time.Minute,
			},
			FollowWrite: config.FollowRecord,
		}},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// Every key that is not at its default arrives, and what an agent does not say
// comes from `defaults:`.
func TestEveryKeyArrives(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, problems := parse(t, string(src))
	if problems != nil {
		t.Fatal(problems)
	}
	golden(t, "testdata/full.golden.json", dump(t, c))
}

// The forms that this version refuses are decoded all the same.
func TestLaterKeysArrive(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/later.yaml")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/later.golden.json", dump(t, config.BuildUnjudged(string(src))))
}

func dump(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// The two files above use every row of the table, so that a row that nothing
// reads shows.
func TestEveryKeyIsTested(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		for _, c := range n.Content {
			if n.Kind != yaml.MappingNode {
				walk(c, path)
			}
		}
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if path == "agents" || path == "agents.*.checks" {
				name = "*"
			}
			p := strings.TrimPrefix(path+"."+name, ".")
			used[p] = true
			if p == "defaults" {
				p = "agents.*"
			}
			walk(n.Content[i+1], p)
		}
	}
	for _, file := range []string{"testdata/full.yaml", "testdata/later.yaml"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc yaml.Node
		if err := yaml.Load(src, &doc); err != nil {
			t.Fatal(err)
		}
		walk(&doc, "")
	}
	for _, path := range config.Paths() {
		if !used[path] {
			t.Errorf("no test file uses %s", path)
		}
	}
}

// A default timeout that is longer than a short period gives way; nobody wrote
// it, so nobody is to blame.
func TestTimeoutFollowsShortPeriod(t *testing.T) {
	t.Parallel()
	c, problems := parse(t, minimal+"    period: 2s\n    checks: {p: {process: {}}}\n")
	if problems != nil {
		t.Fatal(problems)
	}
	if a := c.Agents[0]; a.Timeout != 2*time.Second || a.Checks[0].Timeout != 2*time.Second {
		t.Errorf("timeouts %v and %v, want 2s", a.Timeout, a.Checks[0].Timeout)
	}
}

func TestEmptyFileIsNoProblem(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"", "# nothing\n", "agents: {}\n"} {
		c, problems := parse(t, src)
		if problems != nil || len(c.Agents) != 0 {
			t.Errorf("%q: %v, %v", src, c.Agents, problems)
		}
	}
}

// An alias stands for what it names; aliases that would fill the memory are
// refused.
func TestAliases(t *testing.T) {
	t.Parallel()
	c, problems := parse(t, `
agents:
  a: {config: {root: /srv/a, files: [x]}, supervisor: &s {child: [run]}, checks: &c {up: {process: {}}}}
  b: {config: {root: /srv/b, files: [x]}, supervisor: *s, checks: *c}
`)
	if problems != nil {
		t.Fatal(problems)
	}
	c.Agents[1].Name, c.Agents[1].Line, c.Agents[1].Config = "a", 3, c.Agents[0].Config
	if diff := cmp.Diff(c.Agents[0], c.Agents[1]); diff != "" {
		t.Error(diff)
	}

	var b strings.Builder
	b.WriteString("agents:\n  a0: &a\n    checks:\n")
	for i := range 400 {
		fmt.Fprintf(&b, "      c%d: {process: {}}\n", i)
	}
	for i := range 400 {
		fmt.Fprintf(&b, "  b%d: *a\n", i)
	}
	_, problems = parse(t, b.String())
	if !strings.Contains(problems.Error(), "cannot read more than 100000 values in one file") {
		t.Errorf("%d problems, the first: %v", len(problems), problems[0])
	}
}

// Two agents from two files are sorted by name, and say where they are from.
func TestDropInsUseDefaultsOfTheMainFile(t *testing.T) {
	t.Parallel()
	c, problems := config.Parse("/s",
		config.Source{File: "deadman.yaml", Data: []byte("defaults: {period: 7s}\n" + strings.TrimSpace(minimal))},
		config.Source{File: "b.yaml", Data: []byte(strings.NewReplacer("  a:", "  B:", "/a", "/b").Replace(strings.TrimSpace(minimal)))},
		config.Source{File: "0.yaml", Data: []byte(strings.NewReplacer("  a:", "  0:", "/a", "/0").Replace(strings.TrimSpace(minimal)))})
	if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), `b.yaml:2:3: cannot use name "B"`) {
		t.Fatal(problems)
	}
	if got := agents(c); !slices.Equal(got, []string{"0", "a"}) {
		t.Fatal(got)
	}
	if a := c.Agents[0]; a.File != "0.yaml" || a.Line != 2 || a.Period != 7*time.Second {
		t.Errorf("%s:%d, period %v", a.File, a.Line, a.Period)
	}
}

func TestProblemsPrint(t *testing.T) {
	t.Parallel()
	_, problems := parse(t, minimal+"    treshold: 3\n")
	var b bytes.Buffer
	if err := problems.Print(&b); err != nil {
		t.Fatal(err)
	}
	want := `deadman.yaml:6:5: cannot use key "treshold" in agents.a: there is no such key
    6 |     treshold: …
      |     ^
hint: did you mean "threshold"?
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if problems.Err() == nil || config.Problems(nil).Err() != nil {
		t.Error("Err is not nil exactly when there are no problems")
	}
}

// The short cuts of defaultNode give what YAML gives, also for what is no default
// yet.
func TestDefaultNode(t *testing.T) {
	for _, def := range append(config.Defaults(), "0", "12", "012", "1.5", "true", "false", "yes", "null", "~", "10s", "1e3", "0x1f", "abcdef", "Abcdef", "[]", "{}", "[200]", "a: b") {
		var doc yaml.Node
		if err := yaml.Load([]byte(def), &doc); err != nil {
			t.Fatal(err)
		}
		want := doc.Content[0]
		got, err := config.DefaultNode(def)
		if err != nil || got.Kind != want.Kind || got.ShortTag() != want.ShortTag() || got.Value != want.Value || len(got.Content) != len(want.Content) {
			t.Errorf("%q: %v %s %q, %v; want %v %s %q", def, got.Kind, got.ShortTag(), got.Value, err, want.Kind, want.ShortTag(), want.Value)
		}
	}
}
