package cli

import (
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const checkHelp = `Makes one round: probes each agent, takes a snapshot of a config that is new,
and if an agent is dead recovers it. It is made for cron and systemd timers: on
exit 0 it prints nothing to a pipe or a file, and what a person should know is
one line on stderr, once.

It waits for the deadlines of the attempt in hand, not for the gap before the
next one. Beside a live "deadman watch" it asks that. A recovery that takes
longer than a tick of cron meets the next one: with --quiet that says nothing.

exits:
  0   healthy, starting, paused, stopped on purpose, or brought back
  1   down and not brought back, in a backoff gap, stood down, would have acted
      in observe mode, or nothing valid is stored
  2   unknown agent, bad flag, or bad config; good agents are still served
  3   cannot tell: checks are unknown, or they are healthy and the process is
      gone; or it is a child that is down and that nobody watches
  75  another deadman is recovering it; see --wait

Of several agents it is the worst, in the order 2, 1, 3, 75, 0.`

func (p *program) checkCommand() *cobra.Command {
	var verbose, finish, quiet bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "check [AGENT...]", Short: "one round: check, snapshot, recover if dead", Long: checkHelp, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := waits(cmd, wait); err != nil {
				return err
			}
			if finish && len(names) != 1 {
				return wrong(cmd, "cannot finish: --finish takes one agent")
			}
			return p.with(func(d *daemon.Daemon) error {
				if finish {
					return d.Finish(cmd.Context(), names[0])
				}
				report, err := d.Check(cmd.Context(), names, wait)
				if err != nil {
					return err
				}
				p.exit = worst(report.Agents)
				for i, a := range report.Agents {
					report.Agents[i].Undo = p.command(a.Undo)
					p.fresh(a)
				}
				if p.asJSON {
					return p.json(report)
				}
				all := verbose || interactive(p.out)
				for _, a := range report.Agents {
					switch {
					case quiet && a.Exit == api.ExitBusy && !a.Watched:
						// That one says what there is to say.
					case all:
						p.agent(p.out, a)
					case a.Exit != 0:
						p.agent(p.err, a)
					case len(a.Fresh) > 0 && a.Undo != "":
						p.hint("to undo it: " + a.Undo)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print how each agent stands, also when all is well")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing of an agent that another check has in hand (status 75)")
	cmd.Flags().BoolVar(&finish, "finish", false, "only complete a restore that was interrupted (for ExecStartPre=-)")
	return p.jsonFlag(waitFlag(cmd, &wait, 0))
}

// waitMax is longer than any recovery that is still going somewhere.
const waitMax = time.Hour

// waitFlag adds --wait.
func waitFlag(cmd *cobra.Command, wait *time.Duration, usual time.Duration) *cobra.Command {
	cmd.Flags().DurationVar(wait, "wait", usual, "wait up to `TIME` for another deadman that has the agent in hand")
	return cmd
}

func waits(cmd *cobra.Command, wait time.Duration) error {
	if wait < 0 || wait > waitMax {
		return wrong(cmd, "cannot wait %v: --wait takes 0s to 1h", wait)
	}
	return nil
}

// jsonFlag adds --json.
func (p *program) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&p.asJSON, "json", false, "print JSON")
	return cmd
}
