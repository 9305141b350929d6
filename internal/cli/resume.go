package cli

import "github.com/spf13/cobra"

const resumeHelp = `Ends a pause, and ends standing down after foreign starts.`

func (p *program) resumeCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "resume AGENT", Short: "end a pause, or a stand-down before a rival", Long: resumeHelp, Args: cobra.ExactArgs(1),
	}, noMore)
}
