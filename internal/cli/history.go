package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const historyHelp = `Prints the log, oldest first: what was decided, why, and how it came out. With
--json it is one object a line.

With --verify it checks that the log is whole instead: every entry's hash, the
chain of them, and that replaying the recorded events gives the saved states.

exits:
  0   printed, or whole
  1   the log could not be read, or is not whole
  2   bad flag or bad config`

func (p *program) historyCommand() *cobra.Command {
	var q daemon.HistoryQuery
	var verify bool
	cmd := &cobra.Command{
		Use: "history [AGENT]", Short: "the log", Long: historyHelp, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				q.Agent = args[0]
			}
			if q.Limit < 0 {
				return wrong(cmd, "cannot print the newest %d: --limit takes 0 or more, and 0 is all", q.Limit)
			}
			if verify && (q != daemon.HistoryQuery{} || p.asJSON) {
				return wrong(cmd, "cannot verify a part: --verify reads the whole log and takes nothing else")
			}
			return p.with(func(d *daemon.Daemon) error {
				if verify {
					n, err := d.Verify(cmd.Context())
					if err != nil {
						return err
					}
					p.printf("%d entries, whole\n", n)
					return nil
				}
				entries, err := d.History(cmd.Context(), q)
				if err != nil {
					return err
				}
				now := time.Now()
				for _, e := range entries {
					if !p.asJSON {
						p.line(p.out, "%s", entryLine(e, now))
					} else if err := p.json(e); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVarP(&q.Limit, "limit", "n", 0, "only the newest `N`; 0 is all")
	cmd.Flags().BoolVar(&q.All, "all", false, "also what was only observed, and how each deed came out")
	cmd.Flags().StringVar(&q.Incident, "incident", "", "only of the incident `ID`")
	cmd.Flags().BoolVar(&verify, "verify", false, "check that the log is whole")
	return p.jsonFlag(cmd)
}

// entryLine is one record for a person.
func entryLine(e api.Entry, now time.Time) string {
	line := fmt.Sprintf("%6d  %s  %s  %s", e.ID, clockTime(e.Time, now), e.Agent, e.Kind)
	if e.Outcome != "" {
		line += " " + e.Outcome
	}
	if e.Reason != "" {
		line += ": " + e.Reason
	}
	if e.Cause != "" {
		line += ", cause " + e.Cause
	}
	if e.Snapshot != "" {
		line += ", " + e.Snapshot
	}
	if e.Detail != "" {
		line += "; " + e.Detail
	}
	if len(e.Reverted) > 0 {
		line += "; reverted " + strings.Join(e.Reverted, ", ")
	}
	if len(e.Differs) > 0 {
		line += "; differs from the known good in " + strings.Join(e.Differs, ", ")
	}
	return line
}
