package rival

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"deadman/internal/lazy"
)

// Agent is by what others act on an agent. What it has not is empty.
type Agent struct {
	Name   string
	Preset string

	// What owns it: a systemd unit with its suffix (User: of a user's manager), a
	// launchd label, a container, a program of supervisord, a service directory of
	// runit, a window of tmux.
	Unit             string
	User             bool
	Label            string
	Container        string
	Program          string
	Service          string
	Session, Window  string
	PIDFile          string
	Ports            []int
	Commands         [][]string // what starts it
	Sets             []Set
	lines            []string // command lines that it is known to run as
	environ          []string // of its owner's unit, NAME=value
	targets          []string // where its members really are
	ownerPath        string   // of the unit or property list
	ownerCommandLine []string
}

// Set is one directory of an agent's config.
type Set struct {
	Root   string
	Files  []string // patterns
	Follow []string
	// Member reports whether the file at a path relative to Root is of the set.
	Member func(rel string) bool
}

// literals are the members that can be named without looking.
func (a *Agent) literals() []string {
	var all []string
	for _, s := range a.Sets {
		for _, f := range s.Files {
			// Brackets make a file optional: ".en[v]".
			name := bracket().ReplaceAllString(f, "$1")
			if !strings.ContainsAny(name, `*?[\`) {
				all = append(all, filepath.Join(s.Root, name))
			}
		}
	}
	return all
}

var bracket = lazy.Regexp(`\[(\w)\]`)

// member reports whether p, a path or a pattern of the shell, is a file of the
// agent's config.
func (a *Agent) member(p string) bool {
	if p == "" || !strings.HasPrefix(p, "/") {
		return false
	}
	glob := wild(p)
	for _, known := range slices.Concat(a.literals(), a.targets) {
		if ok, err := path.Match(glob, known); p == known || err == nil && ok {
			return true
		}
	}
	for _, s := range a.Sets {
		if rel, err := filepath.Rel(s.Root, p); err == nil && filepath.IsLocal(rel) && s.Member != nil && s.Member(rel) {
			return true
		}
	}
	return false
}

// covers reports whether what replaces everything in dir replaces files of the
// config, and how surely.
func (a *Agent) covers(dir string) (Sure, bool) {
	if dir == "" || dir == "/" || open(dir) {
		return "", false
	}
	for _, known := range a.targets {
		if within(dir, known) && !slices.Contains(a.literals(), known) {
			return Likely, true
		}
	}
	for _, s := range a.Sets {
		for _, follow := range s.Follow {
			if within(dir, follow) {
				return Likely, true
			}
		}
		switch rel, err := filepath.Rel(dir, s.Root); {
		case err != nil:
		case rel == ".", filepath.IsLocal(rel) && !strings.Contains(rel, "/"):
			return Likely, true
		case filepath.IsLocal(rel):
			return Possible, true
		}
		for _, known := range a.literals() {
			if dir != s.Root && within(s.Root, dir) && within(dir, known) {
				return Likely, true
			}
		}
	}
	return "", false
}

// within reports whether p is dir or beneath it.
func within(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// home is the agent's root, which its own command line finds in a variable.
func (a *Agent) home() string {
	if len(a.Sets) == 0 {
		return ""
	}
	return a.Sets[0].Root
}

// suffixed is a unit with its suffix.
func suffixed(unit string) string {
	if path.Ext(unit) == "" || !slices.Contains(unitTypes, path.Ext(unit)) {
		return unit + ".service"
	}
	return unit
}

var unitTypes = []string{".service", ".timer", ".path", ".target", ".socket", ".mount", ".slice", ".scope", ".device", ".swap", ".automount"}

// unit reports whether name is the agent's unit, and how surely.
func (a *Agent) unit(name string, user bool) (Sure, bool) {
	if a.Unit == "" || name == "" {
		return "", false
	}
	sure := Certain
	if user != a.User {
		sure = Possible
	}
	name = suffixed(path.Base(name))
	if name == a.Unit {
		return sure, true
	}
	glob := wild(name)
	if strings.ContainsAny(glob, "*?[") && strings.Trim(strings.TrimSuffix(glob, ".service"), "*?") != "" {
		if ok, err := path.Match(glob, a.Unit); err == nil && ok {
			return least(sure, Likely), true
		}
	}
	return "", false
}

// runsAs reports whether a pattern, as pgrep and pkill take it, finds the agent.
func (a *Agent) runsAs(pattern string, full bool) bool {
	pattern = gap().ReplaceAllString(pattern, ".*")
	re, err := regexp.Compile(pattern)
	if err != nil || strings.Trim(pattern, ".*") == "" {
		return false
	}
	for _, line := range a.lines {
		if !full {
			program, _, _ := strings.Cut(line, " ")
			line = path.Base(program)
			if interpreter(line) {
				continue
			}
		}
		if re.MatchString(line) {
			return true
		}
	}
	// Some write over their command line; its name is what is left.
	for _, name := range []string{a.Name, strings.TrimSuffix(a.Unit, ".service")} {
		if len(name) >= 4 && namesWord(pattern, name) {
			return true
		}
	}
	return false
}

// starts reports whether argv, under some variables, is a command that starts the
// agent. More arguments than its own make no other command of it; fewer do.
func (a *Agent) starts(argv []string, vars map[string][]string) bool {
	for _, known := range a.Commands {
		if len(known) == 0 || len(argv) == 0 || path.Base(known[0]) != path.Base(argv[0]) {
			continue
		}
		if len(known) == 1 && len(argv) > 1 && known[0] != argv[0] {
			continue
		}
		if slices.Equal(known[1:], argv[1:min(len(known), len(argv))]) {
			return true
		}
	}
	// What its unit runs may be the same for many, but for the variables.
	if a.ownerCommandLine == nil || !slices.Equal(a.ownerCommandLine, argv) {
		return false
	}
	for _, variable := range a.environ {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(vars[name], value) {
			return false
		}
	}
	return true
}

// namedIn reports whether a text names the agent by something that is its alone.
func (a *Agent) namedIn(text string) bool {
	for _, name := range []string{a.Unit, strings.TrimSuffix(a.Unit, ".service"), a.Label, a.Container, a.PIDFile, a.home()} {
		if len(name) >= 4 && namesWord(text, name) {
			return true
		}
	}
	return false
}

// namesWord reports whether name stands in text and is no part of a longer word.
func namesWord(text, name string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return false
		}
		i += at
		before, after := byte(' '), byte(' ')
		if i > 0 {
			before = text[i-1]
		}
		if end := i + len(name); end < len(text) {
			after = text[end]
		}
		if !wordByte(before) && !wordByte(after) {
			return true
		}
		at = i + 1
	}
}

func wordByte(b byte) bool {
	return b == '_' || b == '-' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
