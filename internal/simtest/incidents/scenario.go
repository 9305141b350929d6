package incidents

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Scenario is one incident, as its file tells it:
//
//	# 13. A title
//	# What happened, in a paragraph. https://…
//
//	set FILE...               the config set, below etc/; the first is the main file
//	exclude FILE...           files beside it that a rollback must leave alone
//	preserve FILE#KEY...      values that the agent writes itself
//	follow DIR...             where links of the set may lead
//	validate COMMAND...       the agent's own judgement of a config
//	ready                     there is a deep check, /ready, that the agent must pass at the end
//	expects KEY VALUE         /health must say so
//	only SYSTEM...: WHY       deadman runs it in this way only
//	owner runit               what restarts the agent by itself, where that is not the guard
//	policy LINE               one more line for the agent in deadman.yaml
//	volume SIZE               all of it is on a file system of this size
//	given STEP                a step that comes before all else
//
//	(steps, see steps.go)
//
//	want FILE VARIANT         at the end FILE holds the bytes of VARIANT; "-": there is none
//	want mode FILE MODE       …and so on: owner FILE UID[:GID], link FILE TARGET
//	want up | down | same     it serves; it does not; it does, by the first process
//	want kept FILE REGEXP     the number found in it is not lower than it ever was
//	bad VARIANT...            none of these may ever be the known good
//	starts N                  so many at most, with the first
//	rollbacks N               the guard changes a file so often at most
//	told WORD...              one line of its record has all the words
//	silent WORD...            no line has all the words
//	secret TEXT...            none of these may be anywhere outside the store
//
//	-- FILE --                a file of etc/ at the beginning, or a variant of one
//
// $DIR, $PORT, $OTHER (a second port) and $PROGRAMS (where the agent's program,
// gateway, is) are expanded in files and lines. The file
// `knobs` holds those of the agent (package gateway).
type Scenario struct {
	Name  string
	Title string
	// Story is the paragraph, Links the public references in it.
	Story string
	Links []string

	Set, Exclude, Preserve, Follow []string
	Policy, Expects                []string
	Validate, Volume, Owner        string
	Ready                          bool
	// Only are the ways in which deadman runs it, nil is both; Why says why.
	Only []string
	Why  string

	// Given are steps before the guard comes.
	Given             [][]string
	Steps             [][]string
	Wants             [][]string
	Bad               []string
	Told              [][]string
	Silent            [][]string
	Secret            []string
	Starts, Rollbacks int

	Files map[string]string
}

var linkPattern = regexp.MustCompile(`https?://[^\s)]+`)

// Read reads a scenario file. What it gets wrong is an error with the line.
func Read(path string) (*Scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	archive := txtar.Parse(text)
	s := &Scenario{Name: strings.TrimSuffix(filepath.Base(path), ".txt"), Files: map[string]string{}, Starts: -1, Rollbacks: -1}
	for _, file := range archive.Files {
		s.Files[file.Name] = string(file.Data)
	}
	number := 0
	for line := range strings.Lines(string(archive.Comment)) {
		number++
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			s.tell(strings.TrimSpace(comment))
			continue
		}
		if line == "" {
			continue
		}
		if err := s.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", filepath.Base(path), number, err)
		}
	}
	switch {
	case s.Title == "" || len(s.Links) == 0:
		return nil, fmt.Errorf("%s: an incident has a title and a public reference", filepath.Base(path))
	case len(s.Set) == 0 || len(s.Wants) == 0 || s.Starts < 0 || s.Rollbacks < 0 || len(s.Told)+len(s.Silent) == 0:
		return nil, fmt.Errorf("%s: set, want, starts, rollbacks, and told or silent must be given", filepath.Base(path))
	}
	for _, name := range s.variants() {
		if _, ok := s.Files[name]; !ok {
			return nil, fmt.Errorf("%s: there is no file %s in it", filepath.Base(path), name)
		}
	}
	return s, nil
}

// tell takes a line of the story.
func (s *Scenario) tell(line string) {
	if s.Title == "" {
		s.Title = line
		return
	}
	s.Links = append(s.Links, linkPattern.FindAllString(line, -1)...)
	s.Story = strings.TrimSpace(s.Story + " " + line)
}

// line takes a directive, an expectation or a step.
func (s *Scenario) line(line string) error {
	words := strings.Fields(line)
	first, rest := words[0], words[1:]
	after := strings.TrimSpace(strings.TrimPrefix(line, first))
	var err error
	switch first {
	case "set":
		s.Set = rest
	case "exclude":
		s.Exclude = rest
	case "preserve":
		s.Preserve = rest
	case "follow":
		s.Follow = rest
	case "validate":
		s.Validate = after
	case "ready":
		s.Ready = true
	case "expects":
		if s.Expects = rest; len(rest) != 2 {
			return fmt.Errorf("expects: a key and a value")
		}
	case "owner":
		s.Owner = after
	case "volume":
		s.Volume = after
	case "given":
		if _, ok := steps[rest[0]]; !ok {
			return fmt.Errorf("there is no step %q", rest[0])
		}
		s.Given = append(s.Given, rest)
	case "policy":
		s.Policy = append(s.Policy, after)
	case "only":
		ways, why, ok := strings.Cut(after, ":")
		if !ok {
			return fmt.Errorf("only: say why, after a colon")
		}
		s.Only, s.Why = strings.Fields(ways), strings.TrimSpace(why)
	case "want":
		s.Wants = append(s.Wants, rest)
	case "bad":
		s.Bad = append(s.Bad, rest...)
	case "told":
		s.Told = append(s.Told, rest)
	case "silent":
		s.Silent = append(s.Silent, rest)
	case "secret":
		s.Secret = append(s.Secret, rest...)
	case "starts":
		s.Starts, err = strconv.Atoi(after)
	case "rollbacks":
		s.Rollbacks, err = strconv.Atoi(after)
	default:
		if _, ok := steps[first]; !ok {
			return fmt.Errorf("there is no step %q", first)
		}
		s.Steps = append(s.Steps, words)
	}
	return err
}

// Lacks names what the scenario needs and this machine has not: a program, or the
// rights of root; "" if nothing.
func (s *Scenario) Lacks() string {
	owned := slices.ContainsFunc(s.Given, func(step []string) bool { return step[0] == "chown" })
	if (owned || s.Volume != "") && os.Geteuid() != 0 {
		return "root"
	}
	programs := strings.Fields(s.Validate)
	if len(programs) > 1 {
		programs = programs[:1]
	}
	if s.Owner == "runit" {
		programs = append(programs, "runsv")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil && !strings.HasPrefix(program, "$") {
			return program
		}
	}
	return ""
}

// variants are the names of files that the lines refer to.
func (s *Scenario) variants() []string {
	out := slices.Clone(s.Bad)
	for _, want := range s.Wants {
		if len(want) == 2 && want[0] != "mode" && want[1] != "-" {
			out = append(out, want[1])
		}
	}
	for _, step := range slices.Concat(s.Given, s.Steps) {
		switch step[0] {
		case "write", "slowly", "knobs", "copy":
			out = append(out, step[len(step)-1])
		}
	}
	return out
}
