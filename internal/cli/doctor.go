package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const doctorHelp = `Asks whether the switch itself is fit: config, permissions, disk, database,
whether anything runs it, and for each agent whether it could be brought back.

exits:
  0   fit
  1   something is bad
  2   bad flag or bad config`

func (p *program) doctorCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "doctor", Short: "is the switch itself fit", Long: doctorHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(func(d *daemon.Daemon) error {
				findings, err := d.Doctor(cmd.Context())
				if err != nil {
					return err
				}
				for _, f := range findings {
					if f.Level == "bad" {
						p.exit = api.ExitFailed
					}
				}
				if p.asJSON {
					return p.json(list(findings))
				}
				for _, f := range findings {
					p.printf("%-4s  %s: %s\n", f.Level, f.Subject, f.Message)
					if f.Hint != "" {
						p.printf("      hint: %s\n", p.commands(f.Hint))
					}
				}
				return nil
			})
		},
	})
}
