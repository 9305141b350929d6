package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"deadman/internal/config"
	"deadman/internal/proc"
)

// Target is what to write a config for: a process that runs, or a command.
type Target struct {
	// Name of the agent; "" is taken from the program.
	Name string
	// PID of a process that runs, or Command that deadman is to own.
	PID     int
	Command []string
	// Files are its config; nil is to be found.
	Files []string
	// URL answers 200 when it is healthy; "" is to be found.
	URL string
}

// Init returns a config for one agent, with a comment on everything that was
// guessed. It works as it is. An error that a person can do something about has
// a hint.
func Init(ctx context.Context, t Target) (yaml []byte, err error) {
	var s subject
	switch {
	case t.PID != 0 && len(t.Command) > 0:
		return nil, &saidError{"cannot write a config for a process and a command at once", "give one of the two"}
	case t.PID != 0:
		s, err = subjectOf(t.PID)
	case len(t.Command) > 0:
		s, err = subjectFor(t.Command)
	default:
		return nil, &saidError{"cannot write a config: neither a process nor a command is given", "deadman init --pid N, or deadman init -- COMMAND…"}
	}
	if err != nil {
		return nil, err
	}
	if len(t.Files) == 0 && t.URL == "" {
		if s.known = recognize(&s); s.known != nil {
			s = s.outermost()
			s.name = s.known.preset
		}
	}
	if t.Name != "" {
		s.name = t.Name
	}
	if err := s.runnable(); err != nil && (s.known == nil || s.known.start == nil) {
		return nil, err
	}
	var p plan
	if err := p.findFiles(s, t.Files); err != nil {
		return nil, err
	}
	p.findCheck(ctx, s, t.URL)
	if err := p.findSupervisor(ctx, s); err != nil {
		return nil, err
	}
	text := write(s, p)
	// What deadman itself would refuse is our mistake and nobody else's.
	if _, problems := config.Parse(config.DefaultStateDir(os.Geteuid(), os.Getenv), config.Source{File: "deadman.yaml", Data: text}); problems.Err() != nil {
		return nil, fmt.Errorf("cannot write a config for %s: %w", s.name, problems.Err())
	}
	return text, nil
}

// write sets a plan down. Every value is quoted, so nothing in it is anything but
// a string.
func write(s subject, p plan) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	notes := func(indent string, notes []string) {
		for _, n := range notes {
			line("%s# %s", indent, oneLine(n))
		}
	}
	if s.process.PID != 0 {
		line("# Written by deadman init for process %d. Read it once: what was guessed says so.", s.process.PID)
	} else {
		line("# Written by deadman init. Read it once: what was guessed says so.")
	}
	line("# Then: deadman doctor, deadman check, and deadman watch as a service (or check from cron).")
	line("# Keep this file to yourself (mode 0600): a command line may hold secrets.")
	line("agents:")
	line("  %s:", s.name)
	if s.known != nil {
		line("    # deadman presets %s shows what this fills in.", s.known.preset)
		line("    preset: %s", s.known.preset)
	}
	notes("    ", p.fileNotes)
	if len(p.sets) > 1 {
		line("    config:")
	}
	for i, set := range p.sets {
		indent := "      "
		if len(p.sets) == 1 {
			line("    config:")
			line("%sroot: %s", indent, quote(set.root))
		} else {
			line("      - label: %s", quote("set"+strconv.Itoa(i+1)))
			indent = "        "
			line("%sroot: %s", indent, quote(set.root))
		}
		if len(set.files) > 0 {
			line("%sfiles: %s", indent, list(set.files))
		}
		if len(set.follow) > 0 {
			notes(indent, []string{"Links lead there. Without this only the link is kept, not what it leads to."})
			line("%sfollow: %s", indent, list(set.follow))
		}
	}
	notes("    ", p.supervisorNotes)
	line("    supervisor:")
	switch {
	case p.child:
		line("      child: %s", list(p.start))
		line("      dir: %s", quote(s.dir))
		if len(p.env) > 0 {
			line("      env: {%s}", strings.Join(p.env, ", "))
		}
	case p.unit != "":
		line("      systemd: %s", quote(p.unit))
		if p.user {
			line("      user: true")
		}
	default:
		line("      command:")
		line("        start: %s", list(p.start))
		notes("      ", p.identityNotes)
		line("      process: {%s}", p.identity)
	}
	if p.startTimeout != "" {
		notes("    ", []string{
			"The start command returns at once, and an agent that is not there by then was not",
			"started. One that is there and does not serve yet has all of healthy-deadline.",
		})
		line("    start-timeout: %s", p.startTimeout)
	}
	if s.known != nil {
		for _, key := range s.known.keys {
			line("    %s", key)
		}
	}
	notes("    ", p.checkNotes)
	if len(p.checks) > 0 {
		line("    checks:")
	}
	for _, check := range p.checks {
		line("      %s", check)
	}
	line("    # To look on for a while before deadman acts:")
	line("    # recovery: {mode: observe}")
	return b.Bytes()
}

func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote writes a double-quoted scalar. Go's escapes are YAML's, as long as the
// text is UTF-8.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// oneLine keeps what the machine told us inside its comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// subject is what is known of the program that is to be guarded.
type subject struct {
	name string
	argv []string
	dir  string
	exe  string
	home string
	// Of a process only:
	process  proc.Stat
	uid, gid int
	// unit is the systemd service that its cgroup names, "" if none.
	unit string
	// lacks are names of variables that it has and deadman has not; userUnit is
	// that unit is one of the user's.
	lacks    []string
	userUnit bool
	// environ are its variables. They hold secrets: only what is known to hold none
	// is written.
	environ map[string]string
	// known is nil if no preset is for it.
	known *known
}

// subjectFor is a command that is yet to be run.
func subjectFor(argv []string) (subject, error) {
	dir, err := os.Getwd()
	if err != nil {
		return subject{}, err
	}
	for _, word := range argv {
		if !utf8.ValidString(word) {
			return subject{}, errors.New("cannot write a config for this command: a word of it is not UTF-8")
		}
	}
	if err := executable(argv[0], dir); err != nil {
		return subject{}, err
	}
	home, _ := os.UserHomeDir()
	return subject{name: nameFor(argv), argv: argv, dir: dir, home: home, uid: os.Geteuid(), gid: os.Getegid()}, nil
}

// interpreters are programs whose name says nothing of what they run.
var interpreters = []string{"python", "python3", "node", "nodejs", "deno", "bun", "ruby", "perl", "php", "java", "bash", "sh", "dash", "env", "uv", "npx"}

// nameFor makes a name out of a command line.
func nameFor(argv []string) string {
	name := ""
	for i, word := range argv {
		if i > 0 && (strings.HasPrefix(word, "-") || strings.Contains(word, "=")) {
			continue
		}
		base := filepath.Base(word)
		name = clean(strings.TrimSuffix(base, filepath.Ext(base)))
		if clean := clean(base); isInterpreter(clean) {
			continue
		}
		if name != "" {
			return name
		}
	}
	if name == "" {
		return "agent"
	}
	return name
}

func isInterpreter(name string) bool {
	for _, i := range interpreters {
		if name == i || strings.HasPrefix(name, i) && strings.Trim(name[len(i):], "0123456789.-") == "" {
			return true
		}
	}
	return false
}

// clean keeps of a word what a name may hold.
func clean(word string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(word) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', b.Len() > 0 && (r == '-' || r == '_'):
			b.WriteRune(r)
		}
	}
	return strings.Trim(b.String(), "-_")
}
