package config_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deadman/internal/config"
)

// Every file of a preset is listed, and says in its first line what it is for.
func TestPresets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("preset/*")
	if err != nil {
		t.Fatal(err)
	}
	var names, want []string
	for _, p := range config.Presets() {
		names = append(names, p.Name)
		if p.Summary == "" || len(p.Summary) > 70 || strings.HasSuffix(p.Summary, ".") || !strings.HasPrefix(string(p.Text), "# "+p.Summary+".\n") {
			t.Errorf("%s: summary %q", p.Name, p.Summary)
		}
	}
	for _, f := range files {
		want = append(want, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	if !slices.Equal(names, want) {
		t.Errorf("presets %v, files %v", names, files)
	}
}

// Each preset is a whole agent as soon as it is told what only its owner knows, and
// what each of them has to know is in it.
func TestPresetsAreAgents(t *testing.T) {
	t.Parallel()
	c, problems := parse(t, `
agents:
  hermes: {preset: hermes, config: {root: /home/a/.hermes}, supervisor: {systemd: hermes-gateway, user: true}}
  openclaw: {preset: openclaw, config: {root: /home/a/.openclaw}, supervisor: {child: [openclaw, gateway, run]}}
  nginx: {preset: nginx}
`)
	if problems != nil {
		t.Fatal(problems)
	}
	if len(c.Agents) != len(config.Presets()) {
		t.Fatalf("a preset is not tested: %d agents", len(c.Agents))
	}
	hermes, nginx, openclaw := c.Agents[0], c.Agents[1], c.Agents[2]
	if s := hermes.Config[0]; !slices.Contains(s.Exclude, "auth*.json") || !slices.Contains(s.Preserve, "config.yaml#onboarding.seen") || len(hermes.Validate) > 0 {
		t.Errorf("%+v", hermes)
	}
	if nginx.Config[0].Root != "/etc/nginx" || nginx.Supervisor.Systemd.Unit != "nginx.service" || nginx.Validate[len(nginx.Validate)-1] != "/etc/nginx/nginx.conf" {
		t.Errorf("%+v", nginx)
	}
	if want := []string{"env", "OPENCLAW_STATE_DIR=/home/a/.openclaw", "OPENCLAW_CONFIG_PATH=/home/a/.openclaw/openclaw.json", "openclaw", "config", "validate"}; !slices.Equal(openclaw.Validate, want) {
		t.Errorf("validate %q", openclaw.Validate)
	}
	// Three boots of its own in five minutes trip the breaker of OpenClaw.
	if r := openclaw.Recovery; r.StartLimitBurst >= 3 || r.StartLimitInterval <= 5*time.Minute {
		t.Errorf("%d starts in %v", r.StartLimitBurst, r.StartLimitInterval)
	}
	if len(openclaw.Checks) != 2 || openclaw.Preset != "openclaw" || openclaw.Line != 4 {
		t.Errorf("%+v", openclaw)
	}
}

// What the file says wins, the agent's word over that of defaults; groups are filled in
// key by key, and everything else is replaced.
func TestPresetsYield(t *testing.T) {
	t.Parallel()
	c, problems := parse(t, `
defaults: {kill-delay: 7s, timeout: 3s, recovery: {start-limit-burst: 9}}
agents:
  a:
    preset: openclaw
    config: {root: /srv/a, exclude: [mine]}
    supervisor: {child: [run]}
    timeout: 4s
    version: {file: /srv/version}
    validate: [true]
    checks:
      gateway: {tcp: {address: "127.0.0.1:1"}}
      more: {process: {}}
`)
	if problems != nil {
		t.Fatal(problems)
	}
	a := c.Agents[0]
	if a.KillDelay != 7*time.Second || a.Timeout != 4*time.Second || a.Recovery.StartLimitBurst != 9 {
		t.Errorf("kill-delay %v, timeout %v, burst %d", a.KillDelay, a.Timeout, a.Recovery.StartLimitBurst)
	}
	if s := a.Config[0]; !slices.Equal(s.Exclude, []string{"mine"}) || s.Files[0] != "openclaw.json" || s.Root != "/srv/a" {
		t.Errorf("%+v", s)
	}
	if a.Recovery.StartLimitInterval != 6*time.Minute || a.Version.File != "/srv/version" || a.Version.Exec != nil || !slices.Equal(a.Validate, []string{"true"}) {
		t.Errorf("%+v", a)
	}
	var checks []string
	for _, check := range a.Checks {
		checks = append(checks, check.Name)
	}
	if !slices.Equal(checks, []string{"channels", "gateway", "more"}) || a.Checks[1].TCP == nil || a.Checks[1].HTTP != nil {
		t.Errorf("checks %v, %+v", checks, a.Checks[1])
	}

	// A list of sets takes the keys of a preset's set, each for itself.
	c, problems = parse(t, `
agents:
  a:
    preset: hermes
    config: [{label: one, root: /srv/one}, {label: two, root: /srv/two, files: [config.yaml, .env]}]
    supervisor: {child: [run]}
`)
	if problems != nil {
		t.Fatal(problems)
	}
	if s := c.Agents[0].Config; len(s) != 2 || s[0].Files[0] != "config.yaml" || s[1].Files[1] != ".env" || len(s[1].Exclude) == 0 {
		t.Errorf("%+v", s)
	}
}

// What does not go together stands at the line that names the preset.
func TestPresetErrors(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"    preset: opnclaw\n": `deadman.yaml:5:13: cannot use agents.a.preset: it is not hermes, nginx or openclaw`,
		"    preset: hermes\n":  "deadman.yaml:5:5: cannot use agents.a.config: root is missing",
		"    preset: hermes\n    config: {root: /srv/a, files: [x]}\n":       "deadman.yaml:5:5: cannot use agents.a.config.preserve[0]: no pattern of files matches its file (agents.a.config.files: line 6)",
		"    preset: openclaw\n    config: {root: /srv/a}\n    period: 8s\n": "deadman.yaml:5:5: cannot use agents.a.timeout: it is longer than period, so rounds would overtake each other (agents.a.period: line 7)",
	} {
		_, problems := parse(t, "\nagents:\n  a:\n    supervisor: {child: [run]}\n"+src)
		if problems == nil || !strings.HasPrefix(problems.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", src, problems, want)
		}
	}
}
