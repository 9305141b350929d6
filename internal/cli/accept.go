package cli

import "github.com/spf13/cobra"

const acceptHelp = `Makes what is live, or the snapshot, the known good on your word. It overrides
the guards that hold a candidate back, and takes away what an earlier incident
said against it. If the agent is down, it is started on what is live.`

func (p *program) acceptCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "accept AGENT [SNAPSHOT]", Short: "vouch for a version: it becomes the known good", Long: acceptHelp, Args: cobra.RangeArgs(1, 2),
	}, aSnapshot)
}
