package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const driftHelp = `Compares what is live, the known good, and what source control has (the key
canonical), by key path, file type and mode; it shows no values. A git checkout
in which files of the config are not as committed is shown too. Drift is shown,
and never reverted for its own sake.

Of source control only the files that it has are compared, as it was fetched
last. Values of preserved keys are no drift.

exits:
  0   no drift
  1   there is drift, or something could not be compared
  2   unknown agent, bad flag or bad config`

func (p *program) driftCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "drift [AGENT...]", Short: "live, known good and source control against each other", Long: driftHelp, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.with(func(d *daemon.Daemon) error {
				all, err := d.Drift(cmd.Context(), names)
				if err != nil {
					return err
				}
				for _, one := range all {
					if len(one.Differences)+len(one.Dirty)+len(one.Problems) > 0 {
						p.exit = api.ExitFailed
					}
				}
				if p.asJSON {
					return p.json(list(all))
				}
				for _, one := range all {
					p.drift(one)
				}
				return nil
			})
		},
	})
}

func (p *program) drift(d api.Drift) {
	for _, between := range d.Differences {
		p.printf("%s: from %s to %s\n", d.Name, between.From, between.To)
		for _, file := range between.Files {
			p.printf("  %s %s\n", file.Kind, file.Name)
			for _, key := range file.Keys {
				p.printf("    %s\n", key)
			}
		}
	}
	for _, dirty := range d.Dirty {
		p.printf("%s: checkout %s is not as committed\n", d.Name, dirty.Checkout)
		for _, file := range dirty.Files {
			p.printf("  %s\n", file)
		}
	}
	for _, problem := range d.Problems {
		p.warn(d.Name + ": " + problem)
	}
}
