package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/daemon"
)

const explainHelp = `Explains one decision: the evidence, the rule that decided, and the rules that
were asked before it, any of which would have decided otherwise. ID is the
number of an entry of "deadman history", an incident, or a snapshot.

With --list it prints the closed lists of states, kinds, causes and reasons.

exits:
  0   explained
  1   there is no such thing, or the log could not be read
  2   bad flag or bad config`

func (p *program) explainCommand() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use: "explain ID | --list", Short: "why a decision was taken", Long: explainHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if list != (len(args) == 0) || len(args) > 1 {
				return wrong(cmd, "cannot explain: it takes one ID, or --list")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return p.lists()
			}
			return p.with(func(d *daemon.Daemon) error {
				x, err := d.Explain(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				x.Undo = p.command(x.Undo)
				if p.asJSON {
					return p.json(x)
				}
				p.explanation(x, time.Now())
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "print every state, kind, cause and reason")
	return p.jsonFlag(cmd)
}

// lists prints the closed lists.
func (p *program) lists() error {
	if p.asJSON {
		lists := struct {
			States  []string   `json:"states"`
			Kinds   []string   `json:"kinds"`
			Causes  []string   `json:"causes"`
			Reasons []api.Rule `json:"reasons"`
		}{deadman.PhaseNames(), daemon.Kinds(), deadman.CauseNames(), nil}
		for _, r := range deadman.Reasons() {
			lists.Reasons = append(lists.Reasons, api.Rule{Reason: r.String(), Rule: r.Rule()})
		}
		return p.json(lists)
	}
	section := func(title string, names []string) {
		p.printf("%s\n", title)
		for _, name := range names {
			p.printf("  %s\n", name)
		}
		p.printf("\n")
	}
	section("states", deadman.PhaseNames())
	section("kinds", daemon.Kinds())
	section("causes", deadman.CauseNames())
	p.printf("reasons\n")
	for _, r := range deadman.Reasons() {
		p.printf("  %-26s %s\n", r, r.Rule())
	}
	return nil
}

func (p *program) explanation(x api.Explanation, now time.Time) {
	p.line(p.out, "%s", entryLine(x.Entry, now))
	if x.Rule != "" {
		p.line(p.out, "rule: %s", x.Rule)
	}
	if len(x.Evidence) > 0 {
		p.printf("evidence:\n")
		for _, line := range x.Evidence {
			p.line(p.out, "  %s", line)
		}
	}
	if len(x.Considered) > 0 {
		p.printf("asked before, and did not hold; had one, it would have decided:\n")
		for _, r := range x.Considered {
			p.line(p.out, "  %s: %s", r.Reason, r.Rule)
		}
	}
	if len(x.Timeline) > 0 {
		p.printf("timeline:\n")
		for _, e := range x.Timeline {
			p.line(p.out, "%s", entryLine(e, now))
		}
	}
	if x.Undo != "" {
		p.printf("to undo: %s\n", x.Undo)
	}
	if x.Folder == "" {
		return
	}
	p.printf("kept of this incident in %s:\n", x.Folder)
	for _, part := range []struct {
		title string
		lines []string
	}{{"looked at for a cause", x.Looked}, {"differs from the known good", x.Changed}} {
		if len(part.lines) > 0 {
			p.printf("%s:\n", part.title)
		}
		for _, line := range part.lines {
			p.line(p.out, "  %s", line)
		}
	}
	for _, o := range x.Output {
		p.printf("last output, %s", filepath.Base(o.Path))
		if o.Before > 0 {
			p.printf(" (%d lines more in the file)", o.Before)
		}
		p.printf(":\n")
		for _, line := range o.Lines {
			fmt.Fprintf(p.out, "  | %s\n", plainLines(line))
		}
	}
}
