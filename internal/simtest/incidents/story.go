package incidents

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Document is docs/incidents.md: every scenario in words, and at the end what is
// not replayed, a line each, of a number and the reason.
func Document(scenarios []*Scenario, missing []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, documentIntro, len(scenarios))
	for _, s := range scenarios {
		s.tellAll(&out)
	}
	out.WriteString("\n## What is not replayed\n\n")
	for _, line := range missing {
		number, why, _ := strings.Cut(line, " ")
		item(&out, fmt.Sprintf("**%s** %s", number, why))
	}
	return out.String()
}

const documentIntro = `# Incidents

%d real incidents that ` + "`make replay`" + ` replays against deadman, and ` + "`make scoreboard`" + ` against what people use
today as well ([scoreboard.md](scoreboard.md)). This page is written from the scenarios in
` + "`internal/simtest/incidents`" + ` by ` + "`go test ./internal/simtest/incidents -update`" + `; what it says of deadman is what the
suite demands of it, and what deadman does: the suite passes.

The agent is a scripted one with the behaviour that the incident's had. All of it happens in a directory of
its own, with a look at the agent once a second. *known good* is the version of the config that would be put
back at a death.
`

// tellAll tells one incident.
func (s *Scenario) tellAll(out *strings.Builder) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n", s.Title, wrap(linkPattern.ReplaceAllString(s.Story, "<$0>"), ""))
	out.WriteString("\n**What happens.**\n\n")
	if s.Why != "" {
		item(out, fmt.Sprintf("deadman runs as `%s` only: %s.", strings.Join(s.Only, "`, `"), s.Why))
	}
	for _, given := range s.Given {
		item(out, "Before: "+s.say(given)+".")
	}
	item(out, "The agent serves on "+code(s.Set)+", and that is the known good.")
	live := map[string]string{}
	for _, step := range s.Steps {
		item(out, upper(s.say(step))+".")
		s.showChange(out, step, live)
	}
	out.WriteString("\n**What must be.**\n\n")
	for _, want := range s.Wants {
		item(out, "At the end "+s.sayWant(want)+".")
	}
	if len(s.Bad) > 0 {
		item(out, "Never the known good: "+code(s.Bad)+".")
	}
	for _, words := range s.Told {
		item(out, "deadman tells `"+strings.Join(words, " ")+"`.")
	}
	for _, words := range s.Silent {
		item(out, "It does not tell `"+strings.Join(words, " ")+"`.")
	}
	item(out, fmt.Sprintf("It %s, and the agent is started %s, the first time included.", changes(s.Rollbacks), atMost(s.Starts)))
	if len(s.Secret) > 0 {
		item(out, "The secret in it is nowhere but in the config and in the store.")
	}
}

// say tells a step in words. What it has no words for it says as it is.
func (s *Scenario) say(step []string) string {
	args := step[1:]
	last := ""
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	switch step[0] {
	case "write":
		if args[0] == "-inplace" {
			return fmt.Sprintf("`%s` becomes `%s`, written in place", args[1], last)
		}
		return fmt.Sprintf("`%s` becomes `%s`", args[0], last)
	case "slowly":
		return fmt.Sprintf("`%s` becomes `%s`, written in place, in two halves with a second between", args[0], last)
	case "remove":
		return fmt.Sprintf("`%s` is removed", last)
	case "chmod":
		return fmt.Sprintf("`%s` gets mode %s", last, args[0])
	case "chown":
		return fmt.Sprintf("`%s` is given to %s", last, args[0])
	case "link":
		return fmt.Sprintf("`%s` becomes a link to `%s`", args[0], last)
	case "copy":
		if args[0] == "run/version" {
			return fmt.Sprintf("the agent's version becomes `%s`", strings.TrimSpace(s.Files[last]))
		}
		return fmt.Sprintf("`%s` is written: `%s`", args[0], last)
	case "knobs":
		return fmt.Sprintf("the agent becomes another (`%s`): %s", last, code(strings.Split(strings.TrimSpace(s.Files[last]), "\n")))
	case "hold":
		return passing(last)
	case "kill":
		if last == "term" {
			return "the agent is asked to end, and ends with status 0"
		}
		return "the agent is killed"
	case "restart":
		return "an operator restarts it"
	case "await":
		switch args[0] {
		case "well":
			return "then nothing, until all is well and stays so"
		case "down":
			return "then nothing, until the agent is dead"
		}
		return "then nothing, until deadman tells `" + strings.Join(args, " ") + "`"
	case "thief":
		if last == "gone" {
			return "the other program lets go of the port"
		}
		return "another program takes the agent's port"
	case "full":
		if last == "gone" {
			return "there is space on the disk again"
		}
		return "the disk is filled"
	case "erase":
		return fmt.Sprintf("`%s` is removed", last)
	case "spoil":
		return fmt.Sprintf("every `%s` in the guard's store is emptied", last)
	case "rival", "killer":
		switch {
		case last == "gone":
			return "the other watchdog is gone"
		case step[0] == "rival":
			return fmt.Sprintf("another watchdog ends every process of the agent that is %s old, and starts one", last)
		}
		return fmt.Sprintf("something else ends every process of the agent that is %s old", last)
	case "operator":
		if last == "UNDO" {
			return "an operator says what `deadman explain` names as the way to undo it"
		}
		return "an operator says `deadman " + strings.Join(args, " ") + "`"
	}
	return "`" + strings.Join(step, " ") + "`"
}

// showChange shows what a write changes.
func (s *Scenario) showChange(out *strings.Builder, step []string, live map[string]string) {
	if step[0] != "write" && step[0] != "slowly" {
		return
	}
	file, variant := step[len(step)-2], step[len(step)-1]
	was, known := live[file]
	if !known {
		was = s.Files[file]
	}
	text := s.Files[variant]
	live[file] = text
	if len(text)+len(was) > 4000 || strings.ContainsRune(text+was, 0) {
		fmt.Fprintf(out, "  (%d bytes become %d.)\n", len(was), len(text))
		return
	}
	diff := udiff.Unified(file, variant, was, text)
	if diff == "" {
		return
	}
	out.WriteString("\n  ```diff\n")
	for line := range strings.Lines(diff) {
		if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "@@") {
			out.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
		}
	}
	out.WriteString("  ```\n\n")
}

// sayWant tells in words what must hold at the end.
func (s *Scenario) sayWant(want []string) string {
	switch want[0] {
	case "up":
		return "the agent serves"
	case "down":
		return "the agent is down, as it must be"
	case "same":
		return "it is the same process as at the beginning"
	case "mode":
		return fmt.Sprintf("`%s` has mode %s", want[1], want[2])
	case "owner":
		return fmt.Sprintf("`%s` belongs to %s", want[1], want[2])
	case "link":
		return fmt.Sprintf("`%s` is a link to `%s`", want[1], want[2])
	case "kept":
		return fmt.Sprintf("the number that the agent keeps in `%s` is not lower than it ever was", want[1])
	}
	switch want[1] {
	case "-":
		return fmt.Sprintf("there is no `%s`", want[0])
	case want[0]:
		return fmt.Sprintf("`%s` is what it was at first, byte for byte", want[0])
	}
	return fmt.Sprintf("`%s` is `%s`, byte for byte", want[0], want[1])
}

func item(out *strings.Builder, text string) { out.WriteString(wrap("- "+text, "  ") + "\n") }

func code(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func passing(seconds string) string {
	if seconds == "1" {
		return "a second passes"
	}
	return seconds + " seconds pass"
}

func changes(n int) string {
	if n == 0 {
		return "changes no file"
	}
	return "changes a file " + atMost(n)
}

func atMost(n int) string {
	if n == 1 {
		return "once at most"
	}
	return fmt.Sprintf("%d times at most", n)
}

// wrap breaks a paragraph into lines, the second and following of them indented.
func wrap(text, indent string) string {
	var out strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+1+len([]rune(word)) > 110:
			out.WriteString("\n" + indent)
			length = len(indent)
		default:
			out.WriteByte(' ')
			length++
		}
		out.WriteString(word)
		length += len([]rune(word))
	}
	return out.String()
}
