package rival

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// harmless reports whether a signal ends nobody as a rule.
func harmless(signal string) bool {
	signal = strings.TrimPrefix(strings.ToUpper(strings.TrimPrefix(signal, "-")), "SIG")
	return slices.Contains([]string{"0", "1", "HUP", "10", "USR1", "12", "USR2", "WINCH", "28", "CONT", "18"}, signal)
}

func (j *judge) kill(argv []string, s *scope) {
	rest := argv[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		if rest[0] == "-s" && len(rest) > 1 {
			rest = append([]string{"-" + rest[1]}, rest[2:]...)
		}
		if rest[0] == "-l" || harmless(rest[0]) {
			return
		}
		rest = rest[1:]
	}
	for _, word := range rest {
		for _, source := range j.behind(word) {
			j.kills(source, s)
		}
	}
}

// kills judges that what a command prints are the pids of those that are killed.
func (j *judge) kills(source []string, s *scope) {
	name := path.Base(source[0])
	for _, a := range j.agents {
		switch name {
		case "cat", "head", "tail", "read":
			for _, p := range operands(source, "-n") {
				if a.PIDFile != "" && s.path(p) == a.PIDFile {
					j.does(a, Stops, Certain, s, "kill by "+a.PIDFile)
				}
			}
		case "pgrep", "pidof":
			full := name == "pgrep" && slices.ContainsFunc(source, func(w string) bool { return w[0] == '-' && len(w) < 5 && strings.Contains(w, "f") })
			for _, pattern := range operands(source, "-u", "-U", "-P", "-g", "-s") {
				if a.runsAs(pattern, full) {
					j.does(a, Stops, Likely, s, "kill by a pattern")
				}
			}
		case "grep", "egrep", "awk":
			for _, pattern := range operands(source) {
				if a.runsAs(strings.Trim(pattern, "/"), true) {
					j.does(a, Stops, Likely, s, "kill by a pattern")
				}
			}
		case "lsof", "ss", "netstat", "fuser":
			for _, port := range a.Ports {
				if slices.ContainsFunc(source, func(w string) bool {
					return namesWord(w, strconv.Itoa(port)) || strings.HasSuffix(w, ":"+strconv.Itoa(port))
				}) {
					j.does(a, Stops, Certain, s, "kill by port "+strconv.Itoa(port))
				}
			}
		case "systemctl":
			for _, unit := range operands(source, "-p", "--property") {
				if sure, ok := a.unit(unit, has(source, "--user")); ok {
					j.does(a, Stops, sure, s, "kill by the pid of "+a.Unit)
				}
			}
		}
	}
}

func (j *judge) pkill(argv []string, s *scope) {
	full := false
	for _, word := range argv[1:] {
		if strings.HasPrefix(word, "-") && harmless(word) {
			return
		}
		if word == "--full" || strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") && strings.Contains(word, "f") {
			full = true
		}
	}
	if signal := option(argv, "-s", "--signal"); signal != "" && harmless(signal) {
		return
	}
	for _, pattern := range operands(argv, "--signal", "-u", "-U", "-P", "-g", "-G", "-t") {
		for _, a := range j.agents {
			if a.runsAs(pattern, full) {
				j.does(a, Stops, Likely, s, "pkill by a pattern")
			}
		}
	}
}

func (j *judge) killall(argv []string, s *scope) {
	if slices.ContainsFunc(argv[1:], func(w string) bool { return w[0] == '-' && harmless(w) }) {
		return
	}
	for _, name := range operands(argv, "-s", "-u", "-o", "-y") {
		for _, a := range j.agents {
			if !interpreter(name) && a.runsAs("^"+name+"$", false) {
				j.does(a, Stops, Likely, s, "killall by name")
			}
		}
	}
}

func (j *judge) fuser(argv []string, s *scope) {
	if !slices.ContainsFunc(argv, func(w string) bool { return w[0] == '-' && strings.Contains(w, "k") }) {
		return
	}
	for _, word := range operands(argv, "-n") {
		for _, a := range j.agents {
			for _, port := range a.Ports {
				if strings.TrimSuffix(word, "/tcp") == strconv.Itoa(port) {
					j.does(a, Stops, Certain, s, "fuser -k "+strconv.Itoa(port))
				}
			}
		}
	}
}
