package systemd_test

import (
	"fmt"
	"strings"
	"testing"
)

// subject is one agent in the machine: a unit of its own name, its config in
// /srv/NAME, and a drop-in for deadman.
type subject struct {
	booted
	name string
	port int
}

func good(port int) string {
	return fmt.Sprintf("listen: 127.0.0.1:%d\nprovider: openai\nmodel: m1\n", port)
}

const broken = "listen: [this is\n"

// agent makes an enabled unit with these lines, starts it and has deadman prove
// its config. exec is its command, "" for the scripted agent.
func (m booted) agent(t *testing.T, name string, port int, exec string, lines ...string) subject {
	t.Helper()
	s := subject{m, name, port}
	m.write(t, "/srv/"+name+"/config.yaml", good(port))
	m.drop(t, name, port, "[config.yaml]", "")
	if exec == "" {
		exec = s.exec()
	}
	s.unit(t, exec, append(lines, "[Install]", "WantedBy=multi-user.target")...)
	m.run(t, "systemctl enable --now "+name)
	s.proven(t)
	return s
}

func (s subject) exec() string {
	return fmt.Sprintf("/t/agent -config /srv/%s/config.yaml -pid-file /run/%s.pid", s.name, s.name)
}

func (s subject) unit(t *testing.T, exec string, lines ...string) {
	t.Helper()
	s.write(t, "/etc/systemd/system/"+s.name+".service", "[Service]\nExecStart="+exec+"\n"+strings.Join(lines, "\n")+"\n")
	s.run(t, "systemctl daemon-reload")
}

// drop is the agent's part of deadman's config.
func (m booted) drop(t *testing.T, name string, port int, files, user string) string {
	t.Helper()
	text := fmt.Sprintf(`agents:
  %s:
    config: {root: /srv/%s, files: %s, settle: 0s}
    supervisor: {systemd: %s%s}
    checks:
      http: {http: {url: "http://127.0.0.1:%d/health"}}
    period: 1s
    threshold: 2
    retry: 50ms
    gone-grace: 200ms
    probation: 1s
    healthy-deadline: 10s
`, name, name, files, name, user, port)
	if user == "" {
		m.write(t, "/etc/deadman/conf.d/"+name+".yaml", text)
	}
	return text
}

func (s subject) proven(t *testing.T) {
	t.Helper()
	s.until(t, fmt.Sprintf("deadman check %s >/dev/null 2>&1; deadman show %s 2>/dev/null | grep -q proven", s.name, s.name))
}

// check has deadman check it, which must end with this status.
func (s subject) check(t *testing.T, want int) string {
	t.Helper()
	out, status := s.Try("deadman check -v --wait 30s " + s.name)
	if status != want {
		history, _ := s.Try("deadman history " + s.name + "; systemctl status --no-pager " + s.name)
		t.Fatalf("check: status %d, want %d\n%s\n%s", status, want, out, history)
	}
	return out
}

func (s subject) kill(t *testing.T) { t.Helper(); s.run(t, "kill -9 $(cat /run/"+s.name+".pid)") }

// rolledBack looks whether the good config is back and the agent serves on it.
func (s subject) rolledBack(t *testing.T) {
	t.Helper()
	if got := s.read(t, "/srv/"+s.name+"/config.yaml"); got != good(s.port) {
		t.Errorf("the config is\n%s", got)
	}
	s.run(t, "systemctl is-active "+s.name)
	s.said(t, "rollback", true)
}

// said looks for a word in the history.
func (s subject) said(t *testing.T, word string, want bool) {
	t.Helper()
	if history := s.run(t, "deadman history "+s.name); strings.Contains(history, word) != want {
		t.Errorf("%q in the history: %v\n%s", word, !want, history)
	}
}

// TestSystemd boots a machine and has everything happen in it.
func TestSystemd(t *testing.T) {
	m := newMachine(t)
	m.write(t, "/etc/deadman/deadman.yaml", "state-dir: /var/lib/deadman\n")

	t.Run("form", func(t *testing.T) {
		m.run(t, "cd /tmp && supervisor.test -test.run 'TestSystemd' -test.v")
		m.run(t, "useradd -m u && loginctl enable-linger u")
		m.until(t, "test -S /run/user/$(id -u u)/systemd/private")
		m.run(t, "su u -c 'cd /tmp && /t/supervisor.test -test.run TestSystemd -test.v'")
	})

	// It goes past systemd's start limit, which latches it.
	t.Run("crash loop", func(t *testing.T) {
		s := m.agent(t, "loop", 8001, "", "Restart=always", "RestartSec=50ms")
		m.write(t, "/srv/loop/config.yaml", broken)
		s.kill(t)
		m.until(t, "systemctl is-failed loop")
		s.check(t, 0)
		s.rolledBack(t)
	})

	t.Run("single crash", func(t *testing.T) {
		s := m.agent(t, "crash", 8002, "", "Restart=always", "RestartSec=2s")
		s.kill(t)
		m.until(t, "systemctl show -P SubState crash | grep -q auto-restart")
		s.check(t, 0)
		m.until(t, "systemctl is-active crash")
		m.until(t, "deadman check crash && deadman history crash | grep -q restarted-by-supervisor")
		s.said(t, "stop", false)
		if n := strings.TrimSpace(m.run(t, "systemctl show -P NRestarts crash")); n != "1" {
			t.Errorf("restarted %s times", n)
		}
	})

	t.Run("stopped by hand", func(t *testing.T) {
		s := m.agent(t, "hand", 8003, "")
		m.write(t, "/srv/hand/config.yaml", broken)
		m.run(t, "systemctl stop hand")
		s.check(t, 0)
		s.check(t, 0)
		s.said(t, "stopped-by-supervisor", true)
		if _, status := m.Try("systemctl is-active hand"); status == 0 {
			t.Error("it was started")
		}
		if m.read(t, "/srv/hand/config.yaml") != broken {
			t.Error("the config was touched")
		}
	})

	// As one that somebody still has in memory by its enabling.
	t.Run("exit 0", func(t *testing.T) {
		s := m.agent(t, "zero", 8004, "/bin/bash -c '/t/agent -config /srv/zero/config.yaml -pid-file /run/zero.pid; exit 0'")
		s.kill(t)
		m.until(t, "test $(systemctl show -P ExecMainStatus -P ActiveState zero | tr -d '\\n') = 0inactive || test $(systemctl show -P ActiveState zero) = inactive")
		s.check(t, 0)
		m.run(t, "systemctl is-active zero")
		s.said(t, "rollback", false)
	})

	t.Run("user unit", func(t *testing.T) {
		text := m.drop(t, "mine", 8005, "[config.yaml]", ", user: true")
		m.write(t, "/srv/mine/config.yaml", good(8005))
		m.write(t, "/home/u/.config/deadman/deadman.yaml", text)
		m.write(t, "/home/u/.config/systemd/user/mine.service", "[Service]\nExecStart=/t/agent -config /srv/mine/config.yaml -pid-file /home/u/pid\n[Install]\nWantedBy=default.target\n")
		m.run(t, "chown -R u: /home/u /srv/mine")
		as := func(command string) string {
			return fmt.Sprintf("su u -c 'export PATH=$PATH:/t; %s'", command)
		}
		m.run(t, as("export XDG_RUNTIME_DIR=/run/user/$(id -u); systemctl --user daemon-reload && systemctl --user enable --now mine"))
		m.until(t, as("deadman check >/dev/null 2>&1; deadman show mine 2>/dev/null | grep -q proven"))
		m.write(t, "/srv/mine/config.yaml", broken)
		m.run(t, "kill -9 $(cat /home/u/pid)")
		m.run(t, as("deadman check -v"))
		if m.read(t, "/srv/mine/config.yaml") != good(8005) {
			t.Error("it was not rolled back")
		}
		m.run(t, as("export XDG_RUNTIME_DIR=/run/user/$(id -u); systemctl --user is-active mine"))
	})

	// Its unit file is gone, so systemd has nothing to say of it: nobody can tell
	// whether it was stopped or has died.
	t.Run("unloaded", func(t *testing.T) {
		s := subject{m, "static", 8006}
		m.write(t, "/srv/static/config.yaml", good(s.port))
		m.drop(t, s.name, s.port, "[config.yaml]", "")
		s.unit(t, s.exec())
		m.run(t, "systemctl start static")
		s.proven(t)
		m.run(t, "systemctl stop static; rm /etc/systemd/system/static.service; systemctl daemon-reload")
		if out := s.check(t, 3); !strings.Contains(out, "cannot load its unit") {
			t.Errorf("check says %s", out)
		}
		s.unit(t, s.exec())
		m.run(t, "deadman start static && systemctl is-active static")
		s.check(t, 0)
	})

	// What is reloaded is on trial as what is started on is, but the process goes on, so
	// it is a candidate until the next start.
	t.Run("reload", func(t *testing.T) {
		s := m.agent(t, "hup", 8012, "/t/agent -reload -config /srv/hup/config.yaml -pid-file /run/hup.pid", "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'")
		apply := func(text string, want int) string {
			t.Helper()
			m.write(t, "/srv/new/config.yaml", text)
			out, status := m.Try("deadman apply hup --reload --from /srv/new --wait 30s")
			if status != want {
				t.Fatalf("apply: status %d, want %d\n%s\n%s", status, want, out, m.run(t, "deadman history hup"))
			}
			return out
		}
		known := func(text string) {
			t.Helper()
			if got := m.read(t, "/var/lib/deadman/agents/hup/last-known-good/config.yaml"); got != text {
				t.Errorf("the known good is\n%s", got)
			}
		}
		newer := strings.Replace(good(8012), "m1", "m2", 1)
		pid := m.run(t, "cat /run/hup.pid")
		if out := apply(newer, 0); !strings.Contains(out, "not proven yet") {
			t.Errorf("apply says %s", out)
		}
		m.run(t, "(exec 3<>/dev/tcp/127.0.0.1/8012; printf 'GET /model HTTP/1.0\r\n\r\n' >&3; timeout 10 cat <&3 | grep -qx m2)")
		if now := m.run(t, "cat /run/hup.pid"); now != pid {
			t.Errorf("it is %s, and was %s", now, pid)
		}
		known(good(8012))

		// It dies of the next one, which is taken back; and its start on the one before is
		// what proves that.
		if out := apply(newer+"unheard-of: 1\n", 1); !strings.Contains(out, "reverted") {
			t.Errorf("apply says %s", out)
		}
		if got := m.read(t, "/srv/hup/config.yaml"); got != newer {
			t.Errorf("the config is\n%s", got)
		}
		m.run(t, "systemctl is-active hup")
		m.until(t, "deadman check hup >/dev/null 2>&1; cmp /srv/hup/config.yaml /var/lib/deadman/agents/hup/last-known-good/config.yaml")
		known(newer)
		if out := apply(newer+"unheard-of: 1\n", 2); !strings.Contains(out, "it is held") {
			t.Errorf("apply says %s", out)
		}

		// A unit that cannot reload is not restarted to find that out.
		s.unit(t, s.exec())
		pid = m.run(t, "cat /run/hup.pid")
		if out := apply(good(8012), 2); !strings.Contains(out, "cannot reload hup") {
			t.Errorf("apply says %s", out)
		}
		if now := m.run(t, "cat /run/hup.pid"); now != pid {
			t.Errorf("it is %s, and was %s", now, pid)
		}
	})

	// deadman's own unit. A watch that hangs is ended by systemd's watchdog and
	// replaced; its child lives on and is adopted.
	t.Run("watchdog", func(t *testing.T) {
		m.write(t, "/srv/child/config.yaml", good(8010))
		m.write(t, "/srv/watch.yaml", `state-dir: /var/lib/deadman-watch
agents:
  child:
    config: {root: /srv/child, files: [config.yaml], settle: 0s}
    supervisor: {child: [/t/agent, -config, /srv/child/config.yaml, -pid-file, /run/child.pid]}
    checks:
      http: {http: {url: "http://127.0.0.1:8010/health"}}
    period: 1s
    threshold: 2
    retry: 50ms
    probation: 1s
`)
		m.run(t, "deadman install-service --write --config /srv/watch.yaml")
		m.write(t, "/etc/systemd/system/deadman.service.d/soon.conf", "[Service]\nWatchdogSec=2s\n")
		m.run(t, "systemctl daemon-reload; systemctl restart deadman; systemctl is-active deadman")
		status := "deadman status --config /srv/watch.yaml --json"
		m.until(t, status+` | grep -q '"standing":"proven"'`)
		watch, child := m.run(t, "systemctl show -P MainPID deadman"), m.run(t, "cat /run/child.pid")
		m.run(t, "kill -STOP "+strings.TrimSpace(watch))
		m.until(t, "test $(systemctl show -P MainPID deadman) != "+strings.TrimSpace(watch)+" && systemctl is-active deadman")
		m.run(t, "systemctl show -P NRestarts deadman | grep -qx 1")
		m.until(t, status+` | grep -q '"watched":true'`)
		if now := m.run(t, "cat /run/child.pid"); now != child {
			t.Errorf("the child is %s, and was %s", now, child)
		}
		m.write(t, "/srv/child/config.yaml", broken)
		m.run(t, "kill -9 "+strings.TrimSpace(child))
		m.until(t, "deadman history --config /srv/watch.yaml | grep -q 'rollback success'")
		if m.read(t, "/srv/child/config.yaml") != good(8010) {
			t.Error("it was not rolled back")
		}
		m.run(t, "deadman install-service --remove --write --config /srv/watch.yaml; ! systemctl is-active deadman; kill -9 $(cat /run/child.pid)")
	})

	// What owns its agents is systemd, so deadman can do without nearly everything.
	t.Run("confined", func(t *testing.T) {
		s := m.agent(t, "confined", 8011, "/t/agent -config /srv/confined/config.yaml", "User=nobody", "ExecStartPre=+/bin/chown -R nobody: /srv/confined")
		m.run(t, "deadman install-service --write --confine")
		if score := exposure(t, m); score >= 3 {
			t.Errorf("it is exposed by %.1f", score)
		}
		m.until(t, "deadman status --json | grep -q '\"watched\":true'")
		m.run(t, "grep -qx 'NoNewPrivs:.1' /proc/$(systemctl show -P MainPID deadman)/status")
		owner := m.run(t, "stat -c '%U %a' /srv/confined/config.yaml")
		m.write(t, "/srv/confined/config.yaml", broken)
		m.run(t, "systemctl kill -s KILL confined")
		m.until(t, "deadman history confined | grep -q 'rollback success'")
		s.rolledBack(t)
		if now := m.run(t, "stat -c '%U %a' /srv/confined/config.yaml"); now != owner {
			t.Errorf("it is %s, and was %s", now, owner)
		}
		m.run(t, "grep -qx 'NoNewPrivs:.0' /proc/$(systemctl show -P MainPID confined)/status")
		m.run(t, "deadman install-service --remove --write && deadman install-service --write")
		if score := exposure(t, m); score < 9 || score > 10 {
			t.Errorf("without confinement it is exposed by %.1f, and docs/SAFETY.md says 9.6", score)
		}
		m.run(t, "deadman install-service --remove --write")
	})

	for name, start := range map[string]func(){
		"by-timer": func() {
			m.write(t, "/etc/systemd/system/check.service", "[Service]\nType=oneshot\nExecStart=/t/deadman check by-timer\n")
			m.write(t, "/etc/systemd/system/check.timer", "[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n")
			m.run(t, "systemctl daemon-reload && systemctl start check.timer")
		},
		// cron looks at its files once a minute: this takes up to one.
		"by-cron": func() { m.write(t, "/etc/cron.d/deadman", "* * * * * root /t/deadman check by-cron\n") },
	} {
		t.Run(name, func(t *testing.T) {
			s := m.agent(t, name, map[string]int{"by-timer": 8007, "by-cron": 8008}[name], "")
			m.write(t, "/srv/"+name+"/config.yaml", broken)
			s.kill(t)
			start()
			m.until(t, "systemctl is-active "+name)
			// What ran the check ends, and the agent does not.
			m.run(t, "rm -f /etc/cron.d/deadman; systemctl stop check.timer check.service 2>/dev/null; systemctl restart cron")
			s.check(t, 0)
			s.rolledBack(t)
			group := m.run(t, "cat /proc/$(systemctl show -P MainPID "+name+")/cgroup")
			if !strings.Contains(group, "/system.slice/"+name+".service") {
				t.Errorf("it runs in %s", group)
			}
		})
	}

	t.Run("reboot", func(t *testing.T) { reboot(t, m) })
}

// reboot cuts the power when two files of five are back. The unit finishes that
// before its agent starts.
func reboot(t *testing.T, m booted) {
	s := subject{m, "five", 8009}
	files := []string{"a.yaml", "b.yaml", "c.yaml", "d.yaml"}
	write := func(word string) {
		for _, file := range files {
			m.write(t, "/srv/five/"+file, "is: "+word+"\n")
		}
	}
	// How many of the files are back.
	back := func() (n int) {
		for _, file := range files {
			if m.read(t, "/srv/five/"+file) == "is: good\n" {
				n++
			}
		}
		if m.read(t, "/srv/five/config.yaml") == good(s.port) {
			n++
		}
		return n
	}
	m.write(t, "/srv/five/config.yaml", good(s.port))
	write("good")
	m.drop(t, "five", s.port, "[config.yaml, a.yaml, b.yaml, c.yaml, d.yaml]", "")
	s.unit(t, s.exec(), "[Install]", "WantedBy=multi-user.target")
	m.run(t, "deadman install-service --check --finish five --write && systemctl disable --now deadman-check.timer")
	m.run(t, "systemctl enable --now five")
	s.proven(t)
	write("bad")
	m.write(t, "/srv/five/config.yaml", broken)
	s.kill(t)
	out, _ := m.Try("strace -f -qq -o /dev/null -P /srv/five -e trace=renameat2 -e inject=renameat2:signal=SIGKILL:when=3 /t/deadman check five")
	if n := back(); n == 0 || n == len(files)+1 {
		t.Fatalf("%d files are back, so this test proves nothing\n%s", n, out)
	}
	m.Cut()
	m.boot(t)
	m.until(t, "systemctl is-active five")
	if n := back(); n != len(files)+1 {
		t.Errorf("the agent runs with %d files of %d", n, len(files)+1)
	}
	s.proven(t)
	s.check(t, 0)
	s.said(t, "rollback", true)
}

// exposure is what systemd says of deadman's unit, from 0 to 10.
func exposure(t *testing.T, m booted) float64 {
	t.Helper()
	out := m.run(t, "systemd-analyze security --no-pager deadman.service | grep 'Overall exposure level'")
	_, text, _ := strings.Cut(out, ": ")
	var score float64
	if _, err := fmt.Sscan(text, &score); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	t.Logf("exposure: %.1f", score)
	return score
}
