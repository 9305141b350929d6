package cli

import "github.com/spf13/cobra"

const rollbackHelp = `Stops the agent, keeps what is live, puts the known good back, starts the agent
and verifies it. It prints the command that undoes it.`

func (p *program) rollbackCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "rollback AGENT", Short: "put the known good back by hand", Long: rollbackHelp, Args: cobra.ExactArgs(1),
	}, noMore)
}
