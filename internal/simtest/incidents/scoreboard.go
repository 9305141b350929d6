package incidents

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Marks of cells that are no verdict.
const (
	// Inapplicable: deadman is not run in this way there (Scenario.Only).
	Inapplicable = "–"
	// NotRun: the system was not there.
	NotRun = "?"
)

// Columns are the systems by name, in the order of the scoreboard.
func Columns() []string {
	names := []string{(&Deadman{}).Name(), (&Deadman{OneShot: true}).Name()}
	for _, peer := range Peers(nil, "") {
		names = append(names, peer.Name())
	}
	return append(names, Nothing{}.Name())
}

// Scoreboard is how systems did in incidents: a cell for each scenario's and system's
// name, as in the document.
type Scoreboard map[string]map[string]string

// Cell is what a verdict is in a scoreboard: the number of judgements if it passed
// all, else the letters of those that it did not.
func (v Verdict) Cell() string {
	if v.Failed() == 0 {
		return strconv.Itoa(Judgements)
	}
	letters := ""
	for i, passed := range v.Passed {
		if !passed {
			letters += Letters[i : i+1]
		}
	}
	return letters
}

// Set sets a cell.
func (b Scoreboard) Set(scenario, system, cell string) {
	if b[scenario] == nil {
		b[scenario] = map[string]string{}
	}
	b[scenario][system] = cell
}

// ReadScoreboard reads the document. One that is not there has no cells.
func ReadScoreboard(path string) (Scoreboard, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	b := Scoreboard{}
	var columns []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "|") {
			if columns != nil {
				break // The first table is the one.
			}
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case columns == nil:
			columns = cells
		case !strings.HasPrefix(cells[0], "-"):
			for i, cell := range cells[1:min(len(cells), len(columns))] {
				b.Set(cells[0], strings.TrimPrefix(columns[1+i], "deadman "), cell)
			}
		}
	}
	return b, nil
}

// Markdown is the document, of these scenarios.
func (b Scoreboard) Markdown(scenarios []*Scenario) (string, error) {
	var out strings.Builder
	table := func(cells ...string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	rule := func(n int) { fmt.Fprintf(&out, "|%s\n", strings.Repeat("---|", n)) }
	columns := Columns()
	head := []string{"incident"}
	for i, name := range columns {
		if i < 2 {
			name = "deadman " + name
		}
		head = append(head, name)
	}

	out.WriteString(scoreboardIntro)
	table(head...)
	rule(len(head))
	for _, s := range scenarios {
		row := []string{s.Name}
		for _, column := range columns {
			row = append(row, b.cell(s, column))
		}
		table(row...)
	}

	out.WriteString("\n## Totals\n\n")
	table("system", "all five", "all but G", "judgements passed", "R", "G", "L", "H", "T")
	rule(4 + Judgements)
	var absent []string
	for i, column := range columns {
		t := b.total(scenarios, column)
		if t.run == 0 {
			absent = append(absent, column)
		}
		row := []string{head[1+i], t.incidents(), strconv.Itoa(t.butG), t.judgements()}
		for _, n := range t.passed {
			row = append(row, strconv.Itoa(n))
		}
		table(row...)
	}
	if len(absent) > 0 {
		fmt.Fprintf(&out, "\nNot run, for want of the program or the machine: %s.\n", strings.Join(absent, ", "))
	}

	out.WriteString("\n## The configurations\n\nAs they are for an agent in /srv/agent that listens on port 8000. deadman's is its defaults, with short\ntimes (`internal/simtest/incidents/deadman.go`).\n")
	for _, peer := range Peers(nil, "") {
		fmt.Fprintf(&out, "\n### %s\n", peer.Name())
		for _, name := range peer.Configs() {
			text, err := PeerConfig(name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&out, "\n`peers/%s`:\n\n```\n%s```\n", name, text)
		}
	}
	return out.String(), nil
}

// Summary is what the README has of it.
func (b Scoreboard) Summary(scenarios []*Scenario) string {
	var out strings.Builder
	out.WriteString("| | incidents with all five | all five, or all but the known good | judgements |\n|---|---|---|---|\n")
	for i, column := range Columns() {
		t := b.total(scenarios, column)
		if i < 2 {
			column = "deadman " + column
		}
		fmt.Fprintf(&out, "| %s | %s | %d | %s |\n", column, t.incidents(), t.butG, t.judgements())
	}
	return out.String()
}

// total is how one system did in all.
type total struct {
	run, five int
	butG      int // what systems that keep no config can pass: all five, or all but G
	passed    [Judgements]int
}

func (t total) incidents() string { return fmt.Sprintf("%d of %d", t.five, t.run) }

func (t total) judgements() string {
	all := 0
	for _, n := range t.passed {
		all += n
	}
	return fmt.Sprintf("%d of %d", all, t.run*Judgements)
}

func (b Scoreboard) total(scenarios []*Scenario, system string) (t total) {
	for _, s := range scenarios {
		cell := b.cell(s, system)
		if cell == Inapplicable || cell == NotRun {
			continue
		}
		t.run++
		if cell == strconv.Itoa(Judgements) {
			t.five++
			t.butG++
		}
		if cell == Letters[Unpoisoned:Unpoisoned+1] {
			t.butG++
		}
		for i, letter := range Letters {
			if !strings.ContainsRune(cell, letter) {
				t.passed[i]++
			}
		}
	}
	return t
}

//go:embed scoreboard.md
var scoreboardIntro string

// cell is the one of a scenario and a system.
func (b Scoreboard) cell(s *Scenario, system string) string {
	if i := slices.Index(Columns(), system); i < 2 && s.Only != nil && !slices.Contains(s.Only, system) {
		return Inapplicable
	}
	if cell := b[s.Name][system]; cell != "" {
		return cell
	}
	return NotRun
}
