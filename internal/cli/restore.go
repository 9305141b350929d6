package cli

import "github.com/spf13/cobra"

const restoreHelp = `Stops the agent, keeps what is live, puts the snapshot back, starts the agent
and verifies it. SNAPSHOT is an id, the beginning of one, or "known-good".`

func (p *program) restoreCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "restore AGENT SNAPSHOT", Short: "put a chosen snapshot back", Long: restoreHelp, Args: cobra.ExactArgs(2),
	}, aSnapshot)
}
