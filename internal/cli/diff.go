package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

func (p *program) diffCommand() *cobra.Command {
	var text bool
	cmd := &cobra.Command{
		Use: "diff AGENT [A] [B]", Short: "what differs between two versions, by key path",
		Long: `Shows what differs from version A to version B: files, and in files with keys
the paths of the keys. Values are shown only with --text. A is the known good
and B what is live, unless given; each is a snapshot's id, the beginning of one,
"known-good" or "live".` + viewExits, Args: cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, b := "known-good", "live"
			if len(args) > 1 {
				a = args[1]
			}
			if len(args) > 2 {
				b = args[2]
			}
			return p.with(func(d *daemon.Daemon) error {
				differences, err := d.Diff(cmd.Context(), args[0], a, b, text)
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.json(list(differences))
				}
				if len(differences) == 0 {
					p.warn("no difference")
				}
				for _, one := range differences {
					p.printf("%s %s\n", one.Kind, one.Name)
					for _, key := range one.Keys {
						p.printf("  %s\n", key)
					}
					if one.Text != "" {
						fmt.Fprint(p.out, plainLines(one.Text))
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&text, "text", false, "show the lines too, with all their values, secrets included")
	return p.jsonFlag(cmd)
}
