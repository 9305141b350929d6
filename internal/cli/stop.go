package cli

import "github.com/spf13/cobra"

const stopHelp = `Stops the agent and everything of it, and leaves it so until "deadman start".`

func (p *program) stopCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "stop AGENT", Short: "stop an agent on purpose, and leave it so", Long: stopHelp, Args: cobra.ExactArgs(1),
	}, noMore)
}
