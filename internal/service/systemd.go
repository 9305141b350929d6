package service

import (
	"path/filepath"
	"strings"
)

// Systemd is the plan for systemd. Its units are
//
//	deadman.service                      the daemon, or
//	deadman-check.service and .timer     one round a minute
//	UNIT.d/50-deadman.conf               for each of Finish
func (s Service) Systemd() Plan {
	systemctl := func(words ...string) [][]string {
		argv := []string{"systemctl"}
		if s.User {
			argv = append(argv, "--user")
		}
		return [][]string{append(argv, words...)}
	}
	return Plan{
		Files:   s.unitFiles(),
		Reload:  systemctl("daemon-reload"),
		Enable:  systemctl("enable", "--now", s.enabled()),
		Disable: systemctl("disable", "--now", s.enabled()),
		Also:    filepath.Join(s.unitDir(s.User), "*.d", dropIn),
	}
}

func (s Service) unitDir(user bool) string {
	if user {
		return filepath.Join(s.ConfigHome, "systemd/user")
	}
	return "/etc/systemd/system"
}

// dropIn is the name of what is added to the unit of an agent.
const dropIn = "50-deadman.conf"

func (s Service) enabled() string {
	if s.Check {
		return "deadman-check.timer"
	}
	return "deadman.service"
}

func (s Service) unitFiles() []File {
	var files []File
	add := func(user bool, name, text string) {
		files = append(files, File{filepath.Join(s.unitDir(user), name), "# " + Mark + "; it is replaced by the next one.\n" + text})
	}
	if s.Check {
		add(s.User, "deadman-check.service", expand(checkUnit, map[string]string{"EXEC": line(s.argv("check")), "CONFINED": s.confined()}))
		add(s.User, "deadman-check.timer", timerUnit)
	} else {
		target := "multi-user.target"
		if s.User {
			target = "default.target"
		}
		add(s.User, "deadman.service", expand(watchUnit, map[string]string{"EXEC": line(s.argv("watch")), "TARGET": target, "CONFINED": s.confined()}))
	}
	for _, u := range s.Finish {
		as := "-+" // The unit's user may not reach the store.
		if u.User {
			as = "-"
		}
		exec := as + line(s.argv("check", "--finish", u.Agent))
		name := strings.TrimSuffix(u.Name, ".service") + ".service"
		add(u.User, filepath.Join(name+".d", dropIn), expand(finishUnit, map[string]string{"EXEC": exec}))
	}
	return files
}

const watchUnit = `
[Unit]
Description=deadman, a dead man's switch for agents
After=network.target
# It is there for the day on which all else fails: no start limit.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=EXEC
ExecReload=kill -HUP $MAINPID
Restart=always
RestartSec=1s
# A watch whose guard hangs falls silent, and is replaced.
WatchdogSec=1min
# The agents that it has started live on without it, and the next one adopts them.
KillMode=process
# One of them that takes too much memory must not take the switch along.
OOMPolicy=continue
CONFINED
[Install]
WantedBy=TARGET
`

const checkUnit = `
[Unit]
Description=deadman, one round of checks
After=network.target

[Service]
Type=oneshot
ExecStart=EXEC
# A recovery takes as long as the agent's own limits say.
TimeoutStartSec=infinity
# What it has started outlives it.
KillMode=process
CONFINED`

func (s Service) confined() string {
	if !s.Confine {
		return ""
	}
	return confinement
}

// confinement is what systemd can take from a deadman that starts no agent itself:
// an agent would inherit it. Checks by command and validators do. What is not taken
// is needed: to see all processes and end those of an agent, whatever their user;
// to read and write configs, wherever they are; the network, for checks and
// messages; and memory that may be both written and run, without which neither node
// nor Java starts. What is taken and may be missed: no setuid or setgid bit can be
// put back, and no file given to an agent that is over its quota.
const confinement = `
# What starts no agent itself can do without this.
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_SETFCAP CAP_KILL CAP_SYS_PTRACE
AmbientCapabilities=
ProtectSystem=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
DevicePolicy=closed
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @resources @swap
SystemCallErrorNumber=EPERM
KeyringMode=private
UMask=0077
`

const timerUnit = `
[Unit]
Description=deadman, one round of checks a minute

[Timer]
OnBootSec=30s
OnUnitInactiveSec=1min
AccuracySec=1s

[Install]
WantedBy=timers.target
`

// The dash: that it fails never keeps an agent from starting.
const finishUnit = `
[Service]
ExecStartPre=EXEC
`

func expand(text string, values map[string]string) string {
	for name, value := range values {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

// line is a command line as systemd reads it: systemd.service(5), "Command lines".
// A percent sign and a dollar sign stand for themselves when doubled. A line break
// would end the line, and begin another key.
func line(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		word = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`, "\n", `\n`, "\r", `\r`).Replace(word)
		if word == "" || strings.ContainsAny(word, " \t'\";") {
			word = `"` + word + `"`
		}
		words[i] = word
	}
	return strings.Join(words, " ")
}
