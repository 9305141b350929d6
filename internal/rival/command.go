package rival

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

var shells = map[string]bool{"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ash": true, "busybox": true}

// interpreter reports whether a program is one that runs others' texts.
func interpreter(name string) bool {
	name = strings.TrimRight(name, "0123456789.")
	return shells[name] || slices.Contains([]string{"python", "node", "nodejs", "perl", "ruby", "deno", "bun", "php", "env", "uv"}, name)
}

// does adds an act.
func (j *judge) does(a *Agent, reason Reason, sure Sure, s *scope, what string) {
	if s.guess {
		sure = least(sure, Likely)
	}
	j.acts = append(j.acts, Act{Agent: a.Name, Reason: reason, Sure: sure, Does: what, loop: s.loop})
}

// wrappers run the command behind them. The value are their options that take a
// word.
var wrappers = map[string]string{
	"sudo": "-u -g -p -C -h -r -t -D -R -T", "doas": "-u -C", "nohup": "", "setsid": "", "nice": "-n", "ionice": "-c -n -p",
	"time": "-f -o", "command": "", "builtin": "", "exec": "-a", "chronic": "", "stdbuf": "-i -o -e", "unbuffer": "",
	"systemd-cat": "-t -p", "systemd-inhibit": "", "caffeinate": "-t -w", "run-one": "", "env": "-u -C -S", "chpst": "-u -U -e -P -b",
	"softlimit": "", "setpriv": "", "then": "", "else": "", "do": "", "!": "", "logsave": "", "arch": "", "npx": "", "bunx": "", "uvx": "",
}

// command judges one command line whose words are known as far as they can be.
func (j *judge) command(argv []string, s *scope) {
	for range 12 {
		if len(argv) == 0 || argv[0] == "" || j.steps > stepsMax {
			return
		}
		j.steps++
		name := path.Base(argv[0])
		options, ok := wrappers[name]
		if !ok {
			break
		}
		inner := *s
		inner.vars = map[string][]string{}
		for k, v := range s.vars {
			inner.vars[k] = v
		}
		var rest []string
		rest, inner.user = unwrap(argv[1:], strings.Fields(options), inner.user)
		for len(rest) > 0 && name == "env" || len(rest) > 0 && name == "sudo" {
			key, value, isVar := strings.Cut(rest[0], "=")
			if !isVar || strings.Contains(key, "/") {
				break
			}
			inner.vars[key] = []string{value}
			rest = rest[1:]
		}
		if inner.user != s.user {
			if home := j.homes(inner.user); home != "" {
				inner.home = home
			}
		}
		argv, s = rest, &inner
	}
	if len(argv) == 0 {
		return
	}
	name := path.Base(argv[0])
	for _, a := range j.agents {
		if a.starts(argv, s.vars) {
			j.does(a, Starts, Certain, s, "starts "+name)
		}
	}
	if do, ok := verbs[name]; ok {
		do(j, argv, s)
		return
	}
	switch {
	case shells[name]:
		j.shellCommand(argv, s)
	case interpreter(name):
		j.interpreted(argv, s)
	case strings.HasPrefix(argv[0], "/etc/init.d/") && len(argv) > 1:
		j.unitVerb("service", argv[1], []string{name}, false, s)
	case strings.Contains(argv[0], "/") && !open(argv[0]):
		j.follow(argv[0], argv[1:], s, "")
	}
}

// unwrap drops the options of a wrapper, and the words that they take.
func unwrap(argv, takes []string, user string) ([]string, string) {
	for len(argv) > 0 && strings.HasPrefix(argv[0], "-") && argv[0] != "-" {
		option := argv[0]
		argv = argv[1:]
		if option == "--" {
			break
		}
		if slices.Contains(takes, option) && len(argv) > 0 {
			if option == "-u" {
				user = argv[0]
			}
			argv = argv[1:]
		} else if name, ok := strings.CutPrefix(option, "--user="); ok {
			user = name
		}
	}
	return argv, user
}

// operands are the words of a command that are no options; takes are the options
// that take a word.
func operands(argv []string, takes ...string) []string {
	var out []string
	for i := 1; i < len(argv); i++ {
		switch {
		case argv[i] == "--":
			return append(out, argv[i+1:]...)
		case slices.Contains(takes, argv[i]):
			i++
		case strings.HasPrefix(argv[i], "-") && len(argv[i]) > 1:
		default:
			out = append(out, argv[i])
		}
	}
	return out
}

// option is the value of an option, "" if it is not there.
func option(argv []string, names ...string) string {
	for i, word := range argv {
		for _, name := range names {
			if word == name && i+1 < len(argv) {
				return argv[i+1]
			}
			if value, ok := strings.CutPrefix(word, name+"="); ok {
				return value
			}
		}
	}
	return ""
}

func has(argv []string, words ...string) bool {
	return slices.ContainsFunc(argv, func(w string) bool { return slices.Contains(words, w) })
}

// verbs are the programs that act on agents or run others.
var verbs map[string]func(*judge, []string, *scope)

func init() {
	verbs = map[string]func(*judge, []string, *scope){
		"systemctl": (*judge).systemctl, "service": (*judge).service, "rc-service": (*judge).service, "invoke-rc.d": (*judge).service,
		"launchctl": (*judge).launchctl, "supervisorctl": (*judge).supervisorctl, "sv": (*judge).sv, "svc": (*judge).sv,
		"docker": (*judge).docker, "podman": (*judge).docker, "nerdctl": (*judge).docker, "tmux": (*judge).tmux, "monit": (*judge).monit,
		"kill": (*judge).kill, "pkill": (*judge).pkill, "killall": (*judge).killall, "fuser": (*judge).fuser,
		"xargs": (*judge).xargs, "timeout": (*judge).timeout, "gtimeout": (*judge).timeout, "flock": (*judge).flock, "watch": (*judge).watch,
		"su": (*judge).su, "runuser": (*judge).su, "systemd-run": (*judge).systemdRun, "cronitor": (*judge).cronitor,
		"hermes": (*judge).hermes, "openclaw": (*judge).openclaw, "deadman": (*judge).deadman,
		"httpok": (*judge).listener, "memmon": (*judge).listener, "superlance": (*judge).listener,
		"ansible-pull": (*judge).ansiblePull, "ansible-playbook": (*judge).ansiblePlaybook,
		"cp": (*judge).copies, "mv": (*judge).copies, "install": (*judge).copies, "ln": (*judge).copies, "rsync": (*judge).copies, "scp": (*judge).copies, "rclone": (*judge).copies,
		"tee": (*judge).writesAll, "truncate": (*judge).writesAll, "shred": (*judge).writesAll, "rm": (*judge).writesAll, "unlink": (*judge).writesAll, "sponge": (*judge).writesAll, "patch": (*judge).writesAll,
		"sed": (*judge).inPlace, "gsed": (*judge).inPlace, "yq": (*judge).inPlace,
		"dd": (*judge).dd, "curl": (*judge).download, "wget": (*judge).download, "tar": (*judge).extract, "unzip": (*judge).extract, "restic": (*judge).extract, "git": (*judge).git,
		"ssh": (*judge).elsewhere, "mosh": (*judge).elsewhere, "echo": (*judge).elsewhere, "printf": (*judge).elsewhere, "logger": (*judge).elsewhere, "mail": (*judge).elsewhere,
	}
}

// elsewhere: it acts on another machine, or says words.
func (j *judge) elsewhere([]string, *scope) {}

// xargs runs a command on what others have printed.
func (j *judge) xargs(argv []string, s *scope) {
	rest, _ := unwrap(argv[1:], []string{"-n", "-I", "-P", "-L", "-d", "-a", "-s"}, "")
	if len(rest) == 0 {
		return
	}
	j.printed = append(j.printed, j.from)
	word := "\x00" + strconv.Itoa(len(j.printed)-1) + "\x00"
	if place := option(argv, "-I"); place != "" {
		for i := range rest {
			rest[i] = strings.ReplaceAll(rest[i], place, word)
		}
	} else {
		rest = append(rest, word)
	}
	j.command(rest, s)
}

func (j *judge) timeout(argv []string, s *scope) {
	rest, _ := unwrap(argv[1:], []string{"-k", "-s", "--kill-after", "--signal"}, "")
	if len(rest) > 1 {
		j.command(rest[1:], s)
	}
}

func (j *judge) flock(argv []string, s *scope) {
	rest, _ := unwrap(argv[1:], []string{"-w", "--timeout", "-E", "--wait"}, "")
	if len(rest) < 2 {
		return
	}
	rest = rest[1:]
	if rest[0] == "-c" && len(rest) > 1 {
		j.inner(rest[1], s)
		return
	}
	rest, _ = unwrap(rest, nil, "")
	j.command(rest, s)
}

// watch runs a command again and again.
func (j *judge) watch(argv []string, s *scope) {
	rest, _ := unwrap(argv[1:], []string{"-n", "--interval", "-q"}, "")
	inner := *s
	inner.loop = true
	j.inner(strings.Join(rest, " "), &inner)
}

// inner judges a text that a shell of its own reads.
func (j *judge) inner(text string, s *scope) {
	inner := *s
	inner.vars = map[string][]string{}
	for k, v := range s.vars {
		inner.vars[k] = v
	}
	j.shell(text, &inner)
}

func (j *judge) su(argv []string, s *scope) {
	inner := *s
	words := operands(argv, "-c", "--command", "-s", "--shell", "-u", "-g", "-G")
	user := option(argv, "-u", "--user")
	words = slices.DeleteFunc(words, func(w string) bool { return w == "-" })
	if user == "" && len(words) > 0 && option(argv, "-u") == "" {
		user, words = words[0], words[1:]
	}
	if home := j.homes(user); home != "" {
		inner.user, inner.home = user, home
	}
	if text := option(argv, "-c", "--command"); text != "" {
		j.inner(text, &inner)
	} else if len(words) > 0 {
		j.command(words, &inner)
	}
}

func (j *judge) systemdRun(argv []string, s *scope) {
	rest, _ := unwrap(argv[1:], []string{"-u", "--unit", "-p", "--property", "-t", "-E", "--on-active", "--on-calendar"}, "")
	j.command(rest, s)
}

func (j *judge) cronitor(argv []string, s *scope) {
	if len(argv) > 3 && argv[1] == "exec" {
		j.command(argv[3:], s)
	}
}
