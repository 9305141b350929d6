package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

const armHelp = `For a change by hand: stores what is live, and puts it back after TIME unless
"deadman confirm AGENT" comes before. If the config has been changed by then,
the agent is restarted with it. If the agent dies meanwhile, what was stored
goes back at once.

TIME is 1s to 30d, such as 90s, 10m or 2h; to arm again sets a new end. The time
goes on over a reboot, and counts for "check" as for "watch": with "check" in a
schedule, what is due goes back at its next run. A pause, or a stop on purpose,
puts it off until its end.`

func (p *program) armCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "arm AGENT TIME", Short: "undo changes by hand unless they are confirmed in time", Long: armHelp, Args: cobra.ExactArgs(2),
	}, func(cmd *cobra.Command, args []string) (daemon.Arg, error) {
		return forTime(cmd, args[1])
	})
}

const confirmHelp = `Confirms the changes since "deadman arm": nothing is put back. The new config
becomes the known good as any other does, by a start that stays healthy.`

func (p *program) confirmCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "confirm AGENT", Short: "keep the changes since arm", Long: confirmHelp, Args: cobra.ExactArgs(1),
	}, noMore)
}
