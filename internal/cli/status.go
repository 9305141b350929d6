package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/daemon"
)

const statusHelp = `Shows every agent at a glance, by what is saved: it probes nothing and changes
nothing. Below the table stands what a person should know: what the live config
lacks to be proven, what was found, and the command that undoes a rollback.

A known good with a question mark is provisional: it was valid and on disk under
a healthy process, and nothing is proven yet. Its column shows the beginning of
the snapshot's id, which every command takes.

exits:
  0   shown, however the agents are
  1   the state could not be read
  2   unknown agent, bad flag, or bad config; good agents are still shown`

func (p *program) statusCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "status [AGENT...]", Short: "every agent at a glance", Long: statusHelp, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.with(func(d *daemon.Daemon) error {
				report, err := d.Status(cmd.Context(), names)
				if err != nil {
					return err
				}
				for i, a := range report.Agents {
					report.Agents[i].Undo = p.command(a.Undo)
				}
				if p.asJSON {
					return p.json(report)
				}
				p.status(report, time.Now())
				return nil
			})
		},
	})
}

// idShown is how much of a snapshot's id a table shows: its time.
const idShown = len("20060102T150405Z")

func (t *terminal) status(report api.Report, now time.Time) {
	rows := [][]string{{"AGENT", "STATE", "SINCE", "KNOWN GOOD", "LIVE", "PID", "CHECKED", "NEXT"}}
	for _, a := range report.Agents {
		good, live, pid, next := "-", "-", "-", "-"
		if a.KnownGood != nil {
			good = a.KnownGood.ID[:min(idShown, len(a.KnownGood.ID))]
			if a.KnownGood.Provisional {
				good += "?"
			}
		}
		if a.Live != nil {
			live = orDash(a.Live.Standing.String())
		}
		if a.Process != nil {
			pid = fmt.Sprint(a.Process.PID)
		}
		if !a.Next.IsZero() {
			next = brief(max(0, a.Next.Sub(now)))
		}
		rows = append(rows, []string{a.Name, orDash(a.State.String()), since(a.Since, now), good, live, pid, since(a.LastCheck, now), next})
	}
	t.table(rows)
	for _, a := range report.Agents {
		t.remarks(a, now)
	}
}

// remarks are the lines on an agent below the table.
func (t *terminal) remarks(a api.Agent, now time.Time) {
	if a.Incident != "" {
		line := fmt.Sprintf("%s: incident %s", a.Name, a.Incident)
		if a.Cause != deadman.CauseUnset {
			line += fmt.Sprintf(", cause %s", a.Cause)
		}
		if a.Reason != deadman.ReasonUnset {
			line += fmt.Sprintf(": %s", a.Reason.Rule())
		}
		t.line(t.out, "%s", line)
	}
	if a.Armed != nil {
		t.line(t.out, "%s: armed: %s goes back at %s unless `deadman confirm %s` comes before", a.Name, a.Armed.Snapshot, clockTime(a.Armed.Until, now), a.Name)
	}
	if a.Proof != "" {
		t.line(t.out, "%s: what is live is not proven: %s", a.Name, a.Proof)
	}
	for _, finding := range a.Findings {
		t.line(t.out, "%s: %s", a.Name, finding)
	}
	if a.Undo != "" {
		t.printf("%s: to undo the rollback: %s\n", a.Name, a.Undo)
	}
}
