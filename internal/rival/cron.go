package rival

import (
	"path"
	"strings"

	"deadman/internal/lazy"
)

// crontabs looks through the tables of cron (crontab(5)).
func (x *scan) crontabs() {
	x.crontab("/etc/crontab", "")
	for _, name := range x.host.names("/etc/cron.d") {
		// cron reads only such names.
		if runParts().MatchString(name) {
			x.crontab(path.Join("/etc/cron.d", name), "")
		}
	}
	// Debian's, Red Hat's, macOS's.
	for _, dir := range []string{"/var/spool/cron/crontabs", "/var/spool/cron", "/usr/lib/cron/tabs"} {
		for _, name := range x.host.names(dir) {
			if !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "tmp.") {
				x.crontab(path.Join(dir, name), name)
			}
		}
	}
	for _, dir := range []string{"hourly", "daily", "weekly", "monthly", "yearly"} {
		dir = "/etc/cron." + dir
		for _, name := range x.host.names(dir) {
			at := path.Join(dir, name)
			f, err := x.host.read(at)
			if err != nil || !runParts().MatchString(name) || f.mode&0o111 == 0 {
				continue
			}
			s := x.scope("root")
			x.found(x.judged(s, func(j *judge) { j.follow(at, nil, s, "") }), Rival{Form: CronScript, Path: at, Line: 1, sum: f.sum, name: at})
		}
	}
	x.anacrontab("/etc/anacrontab")
}

// runParts are names that run-parts(8) and cron on Debian take.
var runParts = lazy.Regexp(`^[A-Za-z0-9_-]+$`)

var (
	cronVariable = lazy.Regexp(`^\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?\s*=\s*(.*?)\s*$`)
	cronFields   = lazy.Regexp(`^\s*(?:@\w+|(?:[^\s@]\S*\s+){4}[^\s@]\S*)\s+(.+)$`)
	userCommand  = lazy.Regexp(`^(\S+)\s+(.+)$`)
)

// crontab judges a table. owner is whose it is; "" where each line says that.
func (x *scan) crontab(p, owner string) {
	f, err := x.host.read(p)
	if err != nil {
		return
	}
	vars := map[string]string{}
	n := 0
	for line := range strings.Lines(f.text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if m := cronVariable().FindStringSubmatch(line); m != nil {
			vars[m[1]] = strings.Trim(m[2], `"'`)
			continue
		}
		m := cronFields().FindStringSubmatch(line)
		if m == nil {
			continue
		}
		user, command := owner, m[1]
		if owner == "" {
			parts := userCommand().FindStringSubmatch(command)
			if parts == nil {
				continue
			}
			user, command = parts[1], parts[2]
		}
		s := x.scope(user)
		for k, v := range vars {
			s.vars[k] = []string{v}
		}
		if home := vars["HOME"]; home != "" {
			s.home, s.dir = home, home
		}
		boot := strings.HasPrefix(strings.TrimSpace(line), "@reboot")
		acts := x.judged(s, func(j *judge) { j.shell(cronPercent(command), s) })
		if boot {
			acts.acts = x.withoutBoot(acts.acts)
		}
		x.found(acts, Rival{Form: Crontab, Path: f.path, Line: n, from: n, to: n, sum: f.sum, name: line})
	}
}

// cronPercent is a command as cron gives it to the shell: what follows a percent
// sign is its input.
func cronPercent(command string) string {
	for i := 0; i < len(command); i++ {
		switch {
		case command[i] == '%':
			return command[:i]
		case command[i] == '\\' && i+1 < len(command) && command[i+1] == '%':
			command = command[:i] + command[i+1:]
		case command[i] == '\\':
			i++
		}
	}
	return command
}

// withoutBoot leaves out that an agent is started at boot by the command that is
// its owner's own.
func (x *scan) withoutBoot(acts []Act) []Act {
	var out []Act
	for _, a := range acts {
		if a.Reason == Starts && !a.loop {
			if agent := x.agent(a.Agent); agent != nil && agent.Unit == "" && agent.Label == "" && agent.Program == "" && agent.Service == "" && agent.Container == "" {
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

// anacrontab judges anacron's table (anacrontab(5)).
func (x *scan) anacrontab(p string) {
	f, err := x.host.read(p)
	if err != nil {
		return
	}
	n := 0
	for line := range strings.Lines(f.text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		words := strings.Fields(line)
		if len(words) < 4 || words[0][0] == '#' || cronVariable().MatchString(line) {
			continue
		}
		command := line
		for range 3 {
			command = strings.TrimLeft(command, " \t")
			command = command[strings.IndexAny(command, " \t"):]
		}
		s := x.scope("root")
		x.found(x.judged(s, func(j *judge) { j.shell(command, s) }), Rival{Form: Anacron, Path: f.path, Line: n, from: n, to: n, sum: f.sum, name: line})
	}
}
