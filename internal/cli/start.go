package cli

import "github.com/spf13/cobra"

const startHelp = `Starts the agent on the config that is on disk, and verifies it. If it does not
come up, what follows is what follows a death.`

func (p *program) startCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "start AGENT", Short: "start an agent, on the config that is there", Long: startHelp, Args: cobra.ExactArgs(1),
	}, noMore)
}
