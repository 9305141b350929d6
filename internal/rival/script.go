package rival

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"deadman/internal/lazy"
)

// shellCommand judges a call of a shell: a text, or a script.
func (j *judge) shellCommand(argv []string, s *scope) {
	rest := argv[1:]
	for len(rest) > 0 && len(rest[0]) > 1 && (rest[0][0] == '-' || rest[0][0] == '+') {
		option := rest[0]
		rest = rest[1:]
		switch {
		case option == "-o" || option == "+o" || option == "--rcfile" || option == "--init-file":
			rest = rest[min(1, len(rest)):]
		case !strings.HasPrefix(option, "--") && strings.Contains(option, "c"):
			if len(rest) == 0 {
				return
			}
			inner := *s
			inner.vars, inner.funcs = map[string][]string{}, map[string]*syntax.Stmt{}
			for k, v := range s.vars {
				inner.vars[k] = v
			}
			inner.args = rest[1:]
			j.shell(rest[0], &inner)
			return
		}
	}
	if len(rest) > 0 && rest[0] != "-" {
		j.follow(rest[0], rest[1:], s, "sh")
	}
}

// interpreted judges a call of another interpreter.
func (j *judge) interpreted(argv []string, s *scope) {
	name := strings.TrimRight(path.Base(argv[0]), "0123456789.")
	rest := argv[1:]
	for len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' {
		option := rest[0]
		rest = rest[1:]
		switch {
		case option == "-m":
			if len(rest) > 0 && strings.HasPrefix(rest[0], "hermes_cli") {
				j.hermes(append([]string{"hermes"}, rest[1:]...), s)
			}
			return
		case option == "-c" || option == "-e" || option == "-p" || option == "--eval":
			if len(rest) > 0 {
				j.foreign(rest[0], name, s)
			}
			return
		case option == "-W" || option == "-X" || option == "-r" || option == "--require":
			rest = rest[min(1, len(rest)):]
		}
	}
	if len(rest) > 0 && (rest[0] == "run" || rest[0] == "exec") && slices.Contains([]string{"deno", "bun", "uv"}, name) {
		rest, _ = unwrap(rest[1:], nil, "")
	}
	switch {
	case len(rest) == 0:
	case strings.Contains(rest[0], "/openclaw/") && slices.Contains([]string{"index.js", "entry.js", "openclaw.mjs"}, path.Base(rest[0])):
		j.openclaw(append([]string{"openclaw"}, rest[1:]...), s)
	default:
		j.follow(rest[0], rest[1:], s, name)
	}
}

// source judges a script in the shell that reads it.
func (j *judge) source(p string, s *scope) {
	at := s.path(p)
	if at == "" || s.depth >= depthMax {
		return
	}
	if f, err := j.host.read(at); err == nil {
		j.via = append(j.via, at)
		s.depth++
		j.shell(f.text, s)
		s.depth--
	}
}

// systemDirs hold what the system's packages bring: programs, whose names say what
// they do.
var systemDirs = []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/lib", "/usr/share", "/System"}

// follow reads a script that a command calls, and judges it. how is the interpreter
// that it was given to, "" if it says that itself.
func (j *judge) follow(p string, args []string, s *scope, how string) {
	at := s.path(p)
	if at == "" || s.depth >= depthMax {
		return
	}
	f, err := j.host.read(at)
	if err != nil || strings.Contains(f.text, "\x00") {
		j.unread(at, args, s)
		return
	}
	first, _, _ := strings.Cut(f.text, "\n")
	if how == "" {
		words := strings.Fields(strings.TrimPrefix(first, "#!"))
		if !strings.HasPrefix(first, "#!") || len(words) == 0 {
			j.unread(at, args, s)
			return
		}
		how = path.Base(words[0])
		if how == "env" && len(words) > 1 {
			how = path.Base(words[len(words)-1])
			if words[1] == "-S" && len(words) > 2 {
				how = path.Base(words[2])
			}
		}
		how = strings.TrimRight(how, "0123456789.")
	}
	j.via = append(j.via, at)
	inner := *s
	inner.depth++
	inner.args = append([]string{at}, args...)
	inner.vars, inner.funcs = map[string][]string{}, map[string]*syntax.Stmt{}
	for k, v := range s.vars {
		inner.vars[k] = v
	}
	inner.text = strings.Join(args, " ")
	if how == "sh" || shells[how] {
		inner.branch = false
		j.shell(f.text, &inner)
		return
	}
	if how == "systemd" || how == "make" || how == "awk" {
		return
	}
	j.foreign(f.text, how, &inner)
}

// unread judges a program whose text cannot be read by the words that it is given.
func (j *judge) unread(at string, args []string, s *scope) {
	for _, dir := range systemDirs {
		if within(dir, at) {
			return
		}
	}
	for _, a := range j.agents {
		if a.namedIn(strings.Join(args, " ")) && watchful().MatchString(path.Base(at)) {
			j.does(a, Watches, Possible, s, "runs "+path.Base(at)+" for it")
		}
	}
}

// watchful are names of programs that watch others.
var watchful = lazy.Regexp(`(?i)watch|guard|keep|heal|monit|restart|revive|supervis|babysit|deadman|dms|alive`)
