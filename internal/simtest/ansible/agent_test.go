package ansible_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// agent is one that runs in a host: a gateway in a unit of systemd, or by itself.
type agent struct {
	host
	name, home string
	port       int
}

// The agents, as the example has them.
func (f *fleet) agent(name string) agent {
	switch name {
	case "allegro":
		return agent{f.hosts["vps1"], name, "/root/wizards/allegro/home", 8655}
	case "bezalel":
		return agent{f.hosts["vps1"], name, "/root/wizards/bezalel/home", 8656}
	case "ezra":
		return agent{f.hosts["vps2"], name, "/root/wizards/ezra/home/.hermes", 8657}
	}
	// It is in no play: a person wrote its part of the config, and nothing but deadman
	// owns it.
	return agent{f.hosts["vps2"], "door", "/srv/door", 8658}
}

// config is what the example's template makes for an agent.
func (f *fleet) config(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../ansible/examples/fleet/wizards/config.yaml.j2")
	if err != nil {
		t.Fatal(err)
	}
	a := f.agent(name)
	port := regexp.MustCompile(`\{\{ \{.*\}\[deadman_one.key\] \}\}`).ReplaceAllString(string(text), fmt.Sprint(a.port))
	return strings.NewReplacer("{{ deadman_one.key }}", name, "{{ wizard_provider | default('anthropic') }}", "anthropic",
		"{{ wizard_model | default('claude-opus-4-6') }}", "claude-opus-4-6").Replace(port)
}

const unit = `[Unit]
Description=Hermes gateway
After=network.target

[Service]
ExecStart=/opt/hermes/gateway /srv/knobs/NAME
Restart=no

[Install]
WantedBy=multi-user.target
`

// seed is what a host has before Ansible comes: agents that run, a crontab with 25
// jobs, and somebody who reads cron's mail.
func (f *fleet) seed(t *testing.T, h host) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(f.dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "/root/.ssh/authorized_keys", string(key), 0o600)
	h.gateway(t, f)
	h.write(t, "/usr/sbin/sendmail", "#!/bin/sh\ncat >> /var/mail-of-cron\n", 0o755)
	h.write(t, "/var/mail-of-cron", "", 0o600)
	h.write(t, "/var/spool/cron/crontabs/root", jobs(t), 0o600)
	if h.name == "vps2" {
		h.write(t, "/var/spool/cron/crontabs/root", jobs(t)+switchLine, 0o600)
		h.write(t, "/root/scripts/deadman_switch.sh", switchScript, 0o755)
	} else {
		h.write(t, "/etc/cron.d/hermes-switch", switchFile, 0o644)
		h.write(t, "/etc/systemd/system/hermes-watchdog.service", watchdogService, 0o644)
		h.write(t, "/etc/systemd/system/hermes-watchdog.timer", watchdogTimer, 0o644)
		h.enable(t, "timers.target", "hermes-watchdog.timer")
		h.write(t, "/etc/cron.d/hermes-report", reportFile, 0o644)
	}
	for _, name := range []string{"allegro", "bezalel", "ezra", "door"} {
		if a := f.agent(name); a.host.name == h.name {
			a.seed(t, f.config(t, name))
		}
	}
}

// gateway installs the program of the agents.
func (h host) gateway(t *testing.T, f *fleet) {
	t.Helper()
	gateway, err := os.ReadFile(filepath.Join(f.dir, "bin/gateway"))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "/opt/hermes/gateway", string(gateway), 0o755)
	// It is not in cron's own PATH.
	h.write(t, "/usr/local/bin/hermes", "#!/bin/sh\necho hermes 0.9.1\n", 0o755)
}

// The switches that there were before, and that are to go: a line among the 25 jobs with
// the script that it calls, a file of cron's, and a timer.
const (
	switchLine   = "*/5 * * * * /root/scripts/deadman_switch.sh >> /var/log/deadman_switch.log 2>&1\n"
	switchScript = `#!/bin/bash
# Dead man's switch, the one before.
CONFIG=/root/wizards/ezra/home/.hermes/config.yaml
if systemctl is-active -q hermes-ezra.service; then
	cp "$CONFIG" /root/backups/ezra.yaml
else
	cp /root/backups/ezra.yaml "$CONFIG"
	systemctl restart hermes-ezra.service
fi
`
	switchJob       = "*/7 * * * * root systemctl is-active -q hermes-bezalel.service || systemctl restart hermes-bezalel.service\n"
	switchFile      = "MAILTO=\"\"\n" + switchJob
	watchdogService = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'systemctl is-active -q hermes-allegro || systemctl restart hermes-allegro.service'\n"
	watchdogTimer   = "[Timer]\nOnBootSec=10min\nOnUnitActiveSec=10min\n[Install]\nWantedBy=timers.target\n"
	// reportFile is beside them, and only tells.
	reportFile = "0 7 * * * root systemctl status hermes-bezalel | mail -s report root\n"
	// aside is before each line that was moved aside.
	aside = "# disabled by deadman rivals: "
)

// jobs are the 25 of other people.
func jobs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/crontab")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (a agent) seed(t *testing.T, config string) {
	t.Helper()
	a.write(t, a.home+"/config.yaml", config, 0o644)
	a.write(t, a.home+"/.env", "ANTHROPIC_API_KEY=sk-ant-"+a.name+"-1234567890\n", 0o600)
	a.knobs(t)
	if a.name == "door" {
		a.write(t, "/etc/deadman/conf.d/door.yaml", `agents:
  door:
    config: {root: /srv/door, files: [config.yaml, .env]}
    supervisor:
      command: {start: [env, GATEWAY_DAEMON=0, /opt/hermes/gateway, /srv/knobs/door]}
      process: {pid-file: /run/door.pid}
    checks:
      gateway: {http: {url: "http://127.0.0.1:8658/health"}}
`, 0o644)
		return
	}
	name := "hermes-" + a.name + ".service"
	a.write(t, "/etc/systemd/system/"+name, strings.ReplaceAll(unit, "NAME", a.name), 0o644)
	a.enable(t, "multi-user.target", name)
}

// enable has a target start a unit of /etc/systemd/system, before the host is booted.
func (h host) enable(t *testing.T, target, unit string) {
	t.Helper()
	wants := filepath.Join(h.Root, "etc/systemd/system", target+".wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/systemd/system/"+unit, filepath.Join(wants, unit)); err != nil {
		t.Fatal(err)
	}
}

// knobs turns the agent's knobs: those that it always has, and these. By rename, since
// it reads them all the time.
func (a agent) knobs(t *testing.T, lines ...string) {
	t.Helper()
	always := []string{
		"config " + a.home + "/config.yaml", fmt.Sprintf("listen 127.0.0.1:%d", a.port), "choice provider anthropic kimi-coding",
		"needs model.default", "pid-file /run/" + a.name + ".pid", "starts /srv/starts-" + a.name,
	}
	a.write(t, "/srv/knobs/"+a.name+".new", strings.Join(append(always, lines...), "\n")+"\n", 0o644)
	if err := os.Rename(filepath.Join(a.Root, "srv/knobs", a.name+".new"), filepath.Join(a.Root, "srv/knobs", a.name)); err != nil {
		t.Fatal(err)
	}
}

// answers is a shell command that succeeds if the agent answers.
func (a agent) answers() string {
	return fmt.Sprintf(`(exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET /health HTTP/1.0\r\nHost: a\r\n\r\n' >&3; timeout 10 head -1 <&3 | grep -q 200)`, a.port)
}

func (a agent) pid(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(a.run(t, "cat /run/"+a.name+".pid"))
}

func (a agent) config(t *testing.T) string { t.Helper(); return a.read(t, a.home+"/config.yaml") }

// repairs has the agent's provider fail, upon which it writes a config of its own
// making, and waits for that. It still answers, as the same process.
func (a agent) repairs(t *testing.T, with string) {
	t.Helper()
	pid := a.pid(t)
	a.write(t, "/srv/repair-"+a.name, with, 0o644)
	a.knobs(t, "upstream 529", "repairs /srv/repair-"+a.name)
	a.until(t, "cmp /srv/repair-"+a.name+" "+a.home+"/config.yaml")
	a.run(t, a.answers())
	if now := a.pid(t); now != pid {
		t.Fatalf("%s is %s and was %s", a.name, now, pid)
	}
	a.knobs(t)
}

// back waits until the agent answers as another process than this one.
func (a agent) back(t *testing.T, was string) {
	t.Helper()
	a.until(t, fmt.Sprintf("[ $(cat /run/%s.pid) != %s ] && %s", a.name, was, a.answers()))
}
