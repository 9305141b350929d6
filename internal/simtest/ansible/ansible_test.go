package ansible_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/simtest/machine"
)

// TestMain: cron looks at its tables once a minute, and who looks all that time has a
// core less for what is waited for.
func TestMain(m *testing.M) {
	machine.Patience, machine.Pause = 10*time.Minute, 500*time.Millisecond
	os.Exit(m.Run())
}

// anew has a play come to both hosts at once, for what needs no order.
var anew = []string{"-e", "deadman_serial=2"}

// TestFleet: from nothing to a guarded fleet by one playbook, and then everything that
// was asked of it, in the order of one day.
func TestFleet(t *testing.T) {
	f := newFleet(t)
	vps1, vps2 := f.hosts["vps1"], f.hosts["vps2"]
	allegro, bezalel, ezra, door := f.agent("allegro"), f.agent("bezalel"), f.agent("ezra"), f.agent("door")
	vps2.run(t, "GATEWAY_DAEMON=0 /opt/hermes/gateway /srv/knobs/door </dev/null >/dev/null 2>&1")
	for _, a := range []agent{allegro, bezalel, ezra, door} {
		a.until(t, a.answers())
	}
	vps1.run(t, "systemctl is-enabled hermes-watchdog.timer && systemctl is-active hermes-watchdog.timer")

	// What would be done is said, and nothing is.
	before := map[string]string{"vps1": vps1.digest(t), "vps2": vps2.digest(t)}
	f.play(t, append([]string{"--check"}, anew...)...).came(t, map[string]int{"vps1": some, "vps2": some})
	for name, was := range before {
		if diff := cmp.Diff(was, f.hosts[name].digest(t)); diff != "" {
			t.Fatalf("check mode has changed %s:\n%s", name, diff)
		}
	}

	// From nothing. The play makes no round: from here on there is only cron.
	o := f.play(t, "-e", "deadman_first_round=false").came(t, map[string]int{"vps1": some, "vps2": some})
	if first, second := strings.Index(o.out, "[vps1]"), strings.Index(o.out, "[vps2]"); first < 0 || second < first {
		t.Errorf("the hosts did not come one after another\n%s", o.out)
	}
	f.switches(t)
	vps1.jobs(t, "")
	vps2.jobs(t, "#Ansible: deadman\n* * * * * PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/local/bin/deadman check --quiet\n")

	// A healthy check saves the snapshot at its path, and a start on it is proof; meanwhile
	// the second play finds nothing to do.
	f.play(t, anew...).came(t, map[string]int{"vps1": 0, "vps2": 0})
	for _, a := range []agent{allegro, bezalel, ezra, door} {
		a.until(t, "deadman show "+a.name+" 2>/dev/null | grep -q proven")
		a.known(t, f.config(t, a.name))
	}
	// All is well, so nobody has been told anything.
	for _, h := range f.hosts {
		if mail := h.read(t, "/var/mail-of-cron"); strings.Contains(mail, "\ndeadman: ") {
			t.Errorf("%s: cron has sent mail while all was well:\n%s", h.name, mail)
		}
	}
	for _, part := range []struct {
		name string
		of   func(*testing.T)
	}{
		{"deaths", f.deaths},
		{"cascade", f.cascade},
		{"deploys", f.deploys},
		{"startup", f.startup},
		{"schedules", f.schedules},
		{"removal", f.removal},
	} {
		// Each begins with what the one before it has left.
		if !t.Run(part.name, part.of) {
			return
		}
	}
}

// switches: the old ones are gone, and nothing else is. A file of cron's may have other
// jobs too, so of that the lines are comments now; a timer's is renamed. What is in
// root's crontab is looked at with the jobs.
func (f *fleet) switches(t *testing.T) {
	vps1 := f.hosts["vps1"]
	want := strings.ReplaceAll(switchFile, switchJob, aside+switchJob)
	if diff := cmp.Diff(want, vps1.read(t, "/etc/cron.d/hermes-switch")); diff != "" {
		t.Errorf("the old switch of cron's is not aside:\n%s", diff)
	}
	if out, status := vps1.Try("systemctl is-enabled hermes-watchdog.timer"); status == 0 {
		t.Errorf("the old timer is %s", out)
	}
	if out, status := vps1.Try("systemctl is-active hermes-watchdog.timer"); status == 0 {
		t.Errorf("the old timer is %s", out)
	}
	vps1.run(t, "systemctl list-timers --all --no-pager | grep -q systemd-tmpfiles-clean")
	if got := vps1.read(t, "/etc/systemd/system/hermes-watchdog.timer.deadman-disabled"); got != watchdogTimer {
		t.Errorf("the old timer cannot be put back: its file is\n%s", got)
	}
	if got := vps1.read(t, "/etc/cron.d/hermes-report"); got != reportFile {
		t.Errorf("what only tells is touched:\n%s", got)
	}
}

// deaths: every agent dies at once, each in its way, and is back after the next tick.
func (f *fleet) deaths(t *testing.T) {
	allegro, bezalel, ezra, door := f.agent("allegro"), f.agent("bezalel"), f.agent("ezra"), f.agent("door")
	vps1, vps2 := f.hosts["vps1"], f.hosts["vps2"]
	was := map[string]string{}
	for _, a := range []agent{allegro, bezalel, ezra, door} {
		was[a.name] = a.pid(t)
		a.write(t, "/var/mail-of-cron", "", 0o600)
	}

	// Its provider fails, it breaks its own config, answers on, and is killed. What bezalel
	// writes does not load; what ezra writes loads, and it cannot start on it.
	bezalel.repairs(t, "# repaired after provider error 529\nprovider: [anthropic, kimi-coding\n")
	bezalel.run(t, "kill -9 "+was["bezalel"])
	unstartable := strings.Replace(f.config(t, "ezra"), "provider: anthropic\n", "provider: anthropic-fallback\n", 1)
	ezra.repairs(t, unstartable)
	ezra.run(t, "kill -9 "+was["ezra"])
	// Nobody but deadman owns this one.
	door.run(t, "kill -9 "+was["door"])
	// A process that does not answer its check, and does not once it is restarted either:
	// its recovery takes longer than a tick, so that the next one meets it.
	allegro.knobs(t, "hang")
	allegro.until(t, "[ $(wc -l < /srv/starts-allegro) = 2 ]")
	ticks := vps1.ticks(t)

	for _, a := range []agent{bezalel, ezra, door} {
		a.back(t, was[a.name])
		if diff := cmp.Diff(f.config(t, a.name), a.config(t)); diff != "" {
			t.Errorf("%s runs on another config:\n%s", a.name, diff)
		}
	}
	bezalel.until(t, "deadman history bezalel | grep -q 'rollback success'")
	ezra.until(t, "deadman history ezra | grep -q 'rollback success'")
	door.until(t, "deadman history door | grep -q 'restart success'")
	bezalel.row(t, "rollback", "live-invalid")
	ezra.row(t, "rollback", "rollback-first")
	door.row(t, "restart", "live-is-known-good")
	// It was cron's check that did it, and it told why to whoever reads its mail.
	vps2.until(t, "grep -q '^deadman: .*ezra' /var/mail-of-cron")
	// What it has started is in the unit of the agent, or outlives cron.
	bezalel.run(t, "grep -q hermes-bezalel.service /proc/"+bezalel.pid(t)+"/cgroup")
	lives := door.pid(t)
	vps2.run(t, "systemctl stop cron && systemctl start cron && "+door.answers())
	if now := door.pid(t); now != lives {
		t.Errorf("door is %s and was %s", now, lives)
	}

	// Meanwhile ezra's provider fails again.
	f.breaks(t)

	// allegro is still in the hands of the tick that ended it.
	vps1.until(t, fmt.Sprintf("[ $(%s) -gt %s ]", countTicks, ticks))
	out, status := vps1.Try("env -i PATH=/usr/bin:/bin /usr/local/bin/deadman check --quiet allegro")
	if status != 75 || out != "" {
		t.Errorf("beside the tick before, check ends with %d and says %q", status, out)
	}
	allegro.knobs(t)
	allegro.back(t, was["allegro"])
	allegro.until(t, "deadman history allegro | grep -q 'restart success'")
	allegro.row(t, "restart", "live-is-known-good")
	// cron sends its mail when the tick ends, which is the one that had allegro in hand.
	vps1.until(t, "grep -q '^deadman: .*bezalel' /var/mail-of-cron")
	if mail := vps1.read(t, "/var/mail-of-cron"); strings.Contains(mail, "has it in hand") {
		t.Errorf("ticks that overlap are told to people:\n%s", mail)
	}
}

// breaks has ezra's provider fail for good: it "repairs" its config and dies, eight
// seconds after each start.
func (f *fleet) breaks(t *testing.T) {
	ezra := f.agent("ezra")
	ezra.write(t, "/srv/repair-ezra", strings.Replace(f.config(t, "ezra"), "provider: anthropic\n", "provider: [anthropic\n", 1), 0o644)
	ezra.knobs(t, "upstream 529", "panics /srv/repair-ezra 8s")
}

// cascade: under the strict rule ezra comes back on the known good, its provider still
// fails, and it breaks its config again and dies; until the provider is back.
// Meanwhile the other host has no cron, and what its agent has written is left alone.
func (f *fleet) cascade(t *testing.T) {
	ezra, bezalel := f.agent("ezra"), f.agent("bezalel")
	vps1 := f.hosts["vps1"]
	good := f.config(t, "ezra")
	known := ezra.run(t, "readlink /var/lib/deadman/agents/ezra/last-known-good")
	vps1.run(t, "systemctl stop cron")
	last := strings.TrimSpace(vps1.run(t, "stat -c %Y /var/lib/deadman/agents/bezalel/last-check"))
	pid := bezalel.pid(t)

	// The edit of an agent: the play changes nothing, and what is new in git waits.
	edited := strings.Replace(f.config(t, "bezalel"), "temperature: 0.7", "temperature: 0.2 # the agent's own", 1)
	bezalel.write(t, bezalel.home+"/config.yaml", edited, 0o644)
	o := f.play(t, "--limit", "vps1", "-e", "wizard_model=claude-sonnet-5", "-e", "deadman_first_round=false").came(t, map[string]int{"vps1": 0})
	if !strings.Contains(o.out, "bezalel: config.yaml is not what was deployed last") {
		t.Errorf("it is not said that the agent's edit is in the way\n%s", o.out)
	}
	if got := bezalel.config(t); got != edited {
		t.Errorf("the agent's edit is gone:\n%s", cmp.Diff(edited, got))
	}
	bezalel.write(t, bezalel.home+"/config.yaml", f.config(t, "bezalel"), 0o644)

	// Once for the death before, and twice for this one.
	ezra.until(t, "[ $(deadman history ezra | grep -c 'rollback success') -ge 3 ]")
	ezra.knobs(t)
	ezra.until(t, ezra.answers())
	ezra.until(t, "deadman status ezra --json | grep -q '\"state\":\"up\"'")
	if got := ezra.config(t); got != good {
		t.Errorf("ezra runs on another config:\n%s", cmp.Diff(good, got))
	}
	if now := ezra.run(t, "readlink /var/lib/deadman/agents/ezra/last-known-good"); now != known {
		t.Errorf("the known good is %s, and was %s", now, known)
	}
	for _, r := range ezra.rows(t, "ezra") {
		t.Logf("cascade: %s %s %s", r.Model, r.Status, r.Detail.Reason)
	}

	// Nobody has looked at bezalel for longer than a tick, and that is no death. The entry
	// runs with nothing in its environment.
	vps1.until(t, fmt.Sprintf("[ $(($(date +%%s) - %s)) -gt 70 ]", last))
	if out := vps1.run(t, "env -i PATH=/usr/bin:/bin /usr/local/bin/deadman check --quiet"); out != "" {
		t.Errorf("after a gap it says %s", out)
	}
	if now := bezalel.pid(t); now != pid {
		t.Errorf("bezalel is %s and was %s", now, pid)
	}
	vps1.run(t, "systemctl start cron")
}

// schedules: another choice takes the place of cron, and nothing of that is left.
func (f *fleet) schedules(t *testing.T) {
	vps1, vps2 := f.hosts["vps1"], f.hosts["vps2"]
	f.each(t, some, map[string][]string{"vps1": {"-e", "deadman_schedule=timer"}, "vps2": {"-e", "deadman_schedule=watch"}})
	vps1.run(t, "systemctl is-active deadman-check.timer && systemctl is-enabled deadman-check.timer && [ ! -e /etc/cron.d/deadman ]")
	vps2.run(t, "systemctl is-active deadman.service && systemctl is-enabled deadman.service")
	vps2.until(t, `deadman status ezra --json | grep -q '"watched":true'`)
	vps2.jobs(t, "")
	f.each(t, 0, map[string][]string{"vps1": {"-e", "deadman_schedule=timer"}, "vps2": {"-e", "deadman_schedule=watch"}})
}

// removal takes away what the role has brought, and nothing else.
func (f *fleet) removal(t *testing.T) {
	vps1, vps2 := f.hosts["vps1"], f.hosts["vps2"]
	gone := map[string][]string{
		"vps1": {"-e", "deadman_state=absent", "-e", "deadman_rivals_restore=true"}, "vps2": {"-e", "deadman_state=absent", "-e", "deadman_purge=true"},
	}
	if o := f.each(t, some, gone)["vps2"]; !strings.Contains(o.out, "/var/spool/cron/crontabs/root was moved aside by deadman and stays so") {
		t.Errorf("what stays aside is not named\n%s", o.out)
	}
	if got := vps1.read(t, "/etc/cron.d/hermes-switch"); got != switchFile {
		t.Errorf("the old switch of cron's is not back:\n%s", got)
	}
	vps1.run(t, "systemctl is-enabled hermes-watchdog.timer && systemctl is-active hermes-watchdog.timer")
	for _, h := range []host{vps1, vps2} {
		for _, path := range []string{"/usr/local/bin/deadman", "/etc/cron.d/deadman", "/etc/deadman/deadman.yaml", "/etc/systemd/system/deadman.service", "/etc/systemd/system/deadman-check.timer"} {
			if h.has(path) {
				t.Errorf("%s still has %s", h.name, path)
			}
		}
		h.jobs(t, "")
	}
	if vps1.has("/etc/deadman") || !vps2.has("/etc/deadman/conf.d/door.yaml") || vps2.has("/etc/deadman/conf.d/ezra.yaml") {
		t.Error("the directory of the config goes when it is empty, and a file of somebody else stays")
	}
	if !vps1.has("/var/lib/deadman/agents/bezalel/last-known-good") || vps2.has("/var/lib/deadman") {
		t.Error("snapshots stay unless the play says otherwise")
	}
	for _, name := range []string{"allegro", "bezalel", "ezra", "door"} {
		a := f.agent(name)
		a.run(t, a.answers())
	}
	f.each(t, 0, gone)
}

// countTicks counts the rounds that cron has begun.
const countTicks = "journalctl -q --no-pager -t CRON | grep -c 'CMD.*deadman check'"

func (h host) ticks(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(h.run(t, countTicks+" || true"))
}

// digest lists all that a play could have changed.
func (h host) digest(t *testing.T) string {
	t.Helper()
	return h.run(t, `find /etc /usr/local /var/spool/cron /var/lib/deadman /root/wizards -printf '%p %y %m %s %T@\n' 2>/dev/null | sort; true`)
}

// header is what crontab(1) writes above whatever it is given.
var header = regexp.MustCompile(`^# DO NOT EDIT THIS FILE - .*\n# \(.* installed on .*\)\n# \(Cron version .*\)\n`)

// jobs looks at root's crontab: the 25 jobs byte for byte, the old switch aside, and
// after them this.
func (h host) jobs(t *testing.T, more string) {
	t.Helper()
	got, want := header.ReplaceAllString(h.read(t, "/var/spool/cron/crontabs/root"), ""), jobs(t)+more
	if h.name == "vps2" {
		want = jobs(t) + aside + switchLine + more
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: the crontab is another:\n%s", h.name, diff)
	}
}

// known looks whether the agent's config is in its snapshot, at the path that any
// other program can rely on.
func (a agent) known(t *testing.T, config string) {
	t.Helper()
	if got := a.run(t, "cat /var/lib/deadman/agents/"+a.name+"/last-known-good/config.yaml"); got != config {
		t.Errorf("%s: the known good is another:\n%s", a.name, cmp.Diff(config, got))
	}
	link, err := os.Readlink(filepath.Join(a.Root, "var/lib/deadman/agents", a.name, "last-known-good"))
	if err != nil || !regexp.MustCompile(`^snapshots/[^/]+/files$`).MatchString(link) {
		t.Errorf("%s: last-known-good leads to %q: %v", a.name, link, err)
	}
}

// row looks for the newest row of an agent: what was done and why, when, and between
// which configs.
func (a agent) row(t *testing.T, model, reason string) {
	t.Helper()
	rows := a.rows(t, a.name)
	if len(rows) == 0 {
		t.Fatalf("%s has no row in request_log", a.name)
	}
	r := rows[len(rows)-1]
	hash := regexp.MustCompile(`^[0-9a-f]{64}$`)
	switch {
	case r.Model != model || r.Status != "success" || r.Provider != "deadman" || r.Detail.Reason != reason:
		t.Errorf("%s: the row is %s %s (%s)\n%s", a.name, r.Model, r.Status, r.Detail.Reason, a.run(t, "deadman history "+a.name))
	case time.Since(r.Timestamp) > 30*time.Minute || time.Until(r.Timestamp) > time.Minute:
		t.Errorf("%s: its time is %v", a.name, r.Timestamp)
	case !hash.MatchString(r.Detail.Old) || !hash.MatchString(r.Detail.New) || (r.Detail.Old == r.Detail.New) != (model == "restart"):
		t.Errorf("%s: its hashes are %q and %q", a.name, r.Detail.Old, r.Detail.New)
	case !strings.HasPrefix(r.Endpoint, a.home):
		t.Errorf("%s: its endpoint is %s", a.name, r.Endpoint)
	}
	if !strings.Contains(a.run(t, "deadman status --json "+a.name), r.Detail.New) {
		t.Errorf("%s: the new hash is not that of the known good", a.name)
	}
}
