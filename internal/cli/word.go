package cli

import (
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

const wordExits = `

exits:
  0   done
  1   it was refused, or tried and did not come out well
  2   unknown agent, bad flag or bad config
  3   done, and it cannot be told how the agent is
  75  another deadman has the agent in hand; see --wait`

// word completes a command that says one word, its name, to who guards an
// agent: directly, or through a live "deadman watch".
func (p *program) word(cmd *cobra.Command, arg func(cmd *cobra.Command, args []string) (daemon.Arg, error)) *cobra.Command {
	var wait time.Duration
	cmd.Long += wordExits
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := waits(cmd, wait); err != nil {
			return err
		}
		a, err := arg(cmd, args)
		if err != nil {
			return err
		}
		return p.with(func(d *daemon.Daemon) error {
			agent, err := d.Tell(cmd.Context(), args[0], cmd.Name(), a, wait)
			if err != nil {
				return err
			}
			p.exit, agent.Undo = agent.Exit, p.command(agent.Undo)
			p.fresh(agent)
			if p.asJSON {
				return p.json(agent)
			}
			p.agent(p.out, agent)
			return nil
		})
	}
	return p.jsonFlag(waitFlag(cmd, &wait, wordWait))
}

// wordWait is how long a person's word waits where no --wait is given: longer
// than a round of a schedule that happens to be under way.
const wordWait = 5 * time.Second

// noMore is for words that need no more than the agent.
func noMore(*cobra.Command, []string) (daemon.Arg, error) { return daemon.Arg{}, nil }

// aSnapshot is for words that may be given a snapshot.
func aSnapshot(_ *cobra.Command, args []string) (daemon.Arg, error) {
	if len(args) > 1 {
		return daemon.Arg{Snapshot: args[1]}, nil
	}
	return daemon.Arg{}, nil
}
