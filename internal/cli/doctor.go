package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/daemon"
)

const doctorHelp = `Asks whether the switch itself is fit: config, permissions, disk, database,
whether anything runs it, and for each agent whether it could be brought back.

With --file or --drop-in it judges one file instead, which need not be in force:
for whoever writes configs, before they replace what is there. A drop-in is
judged with the defaults of the main file, if there is one.

exits:
  0   fit, or the file is good
  1   something is bad
  2   bad flag or bad config`

func (p *program) doctorCommand() *cobra.Command {
	var file, dropIn string
	cmd := &cobra.Command{
		Use: "doctor", Short: "is the switch itself fit", Long: doctorHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch flags := cmd.Flags(); {
			case flags.Changed("file") && flags.Changed("drop-in"):
				return wrong(cmd, "cannot judge a file as both: --file is a main file, --drop-in one of conf.d")
			case flags.Changed("file"):
				return p.problems(config.Judge(file))
			case flags.Changed("drop-in"):
				return p.problems(config.JudgeDropIn(p.configPath(), dropIn))
			}
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
	}
	cmd.Flags().StringVar(&file, "file", "", "judge `FILE` alone, as a main file")
	cmd.Flags().StringVar(&dropIn, "drop-in", "", "judge `FILE` as one of conf.d")
	return p.jsonFlag(cmd)
}
