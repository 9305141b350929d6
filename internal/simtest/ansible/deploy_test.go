package ansible_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deploys: config comes by plays. What the agent does not come up on is reverted, ends
// the play before the next host, and is not brought back by the one after it.
func (f *fleet) deploys(t *testing.T) {
	bezalel, ezra := f.agent("bezalel"), f.agent("ezra")
	newer := []string{"-e", "wizard_model=claude-sonnet-5"}
	worse := append([]string{"-e", "wizard_provider=anthropic-fallback"}, newer...)
	want := map[string]string{}
	for _, a := range []agent{bezalel, ezra} {
		want[a.name] = strings.Replace(f.config(t, a.name), "claude-opus-4-6", "claude-sonnet-5", 1)
	}

	was := bezalel.pid(t)
	f.play(t, append(newer, anew...)...).came(t, map[string]int{"vps1": some, "vps2": some})
	for _, a := range []agent{bezalel, ezra} {
		if diff := cmp.Diff(want[a.name], a.config(t)); diff != "" {
			t.Errorf("%s has not what was deployed:\n%s", a.name, diff)
		}
		a.run(t, a.answers())
		a.known(t, want[a.name])
	}
	if now := bezalel.pid(t); now == was {
		t.Error("bezalel was not restarted")
	}

	untouched := ezra.pid(t)
	o := f.play(t, worse...)
	if c, ok := o.hosts["vps1"]; !ok || c.failed != 1 || len(o.hosts) != 1 || !strings.Contains(o.out, "reverted") {
		t.Fatalf("the play came out as %v\n%s", o.hosts, o.out)
	}
	bezalel.run(t, bezalel.answers())
	was = bezalel.pid(t)
	o = f.play(t, worse...)
	if c, ok := o.hosts["vps1"]; !ok || c.failed != 1 || len(o.hosts) != 1 || !strings.Contains(o.out, "is held") {
		t.Fatalf("the next play came out as %v\n%s", o.hosts, o.out)
	}
	if now := bezalel.pid(t); now != was {
		t.Error("the next play has restarted bezalel")
	}
	if now := ezra.pid(t); now != untouched {
		t.Error("the play went on to the next host")
	}
	for _, a := range []agent{bezalel, ezra} {
		if diff := cmp.Diff(want[a.name], a.config(t)); diff != "" {
			t.Errorf("%s was not reverted:\n%s", a.name, diff)
		}
	}
	f.play(t, append(newer, anew...)...).came(t, map[string]int{"vps1": 0, "vps2": 0})

	// Over what the agent has written itself, if somebody asks for that.
	bezalel.write(t, bezalel.home+"/config.yaml", strings.Replace(want["bezalel"], "max_turns: 60", "max_turns: 90", 1), 0o644)
	f.play(t, append(newer, "--limit", "vps1", "-e", "deadman_overwrite=true")...).came(t, map[string]int{"vps1": some})
	if diff := cmp.Diff(want["bezalel"], bezalel.config(t)); diff != "" {
		t.Errorf("the edit is not overwritten:\n%s", diff)
	}
}

// startup: git cannot be reached, so the agent starts on the last known good.
func (f *fleet) startup(t *testing.T) {
	bezalel := f.agent("bezalel")
	good := bezalel.config(t)
	bezalel.known(t, good)
	bezalel.write(t, bezalel.home+"/config.yaml", strings.Replace(good, "max_turns: 60", "max_turns: 9", 1), 0o644)
	o := f.play(t, "deadman.fleet.startup", "-e", "deadman_hosts=vps1", "-e", "deadman_agent=bezalel", "-e", "deadman_repo=https://127.0.0.1:1/timmy-config.git")
	if c := o.hosts["vps1"]; c.failed != 0 || c.changed == 0 || !strings.Contains(o.out, "bezalel starts on /var/lib/deadman/agents/bezalel/last-known-good") {
		t.Fatalf("startup came out as %v\n%s", o.hosts, o.out)
	}
	bezalel.run(t, bezalel.answers())
	if diff := cmp.Diff(good, bezalel.config(t)); diff != "" {
		t.Errorf("bezalel runs on another config:\n%s", diff)
	}
}
