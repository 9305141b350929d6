package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

func (p *program) pinCommand() *cobra.Command {
	var unpin bool
	cmd := &cobra.Command{
		Use: "pin AGENT SNAPSHOT", Short: "keep a snapshot from being removed",
		Long: `Keeps a snapshot whatever retention says, or with --unpin no longer.

exits:
  0   done
  1   there is no such snapshot
  2   unknown agent, bad flag or bad config`, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(func(d *daemon.Daemon) error { return d.Pin(cmd.Context(), args[0], args[1], !unpin) })
		},
	}
	cmd.Flags().BoolVar(&unpin, "unpin", false, "let it go")
	return cmd
}
