package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"deadman/internal/config"
)

const presetsHelp = `Lists the presets, or shows one: what "preset: NAME" fills in for an agent of
that kind, with where each fact is from. What the config says itself, for the
agent or in "defaults", wins: groups are filled in key by key; a list, a map of
plain values, a check and a supervisor are replaced as a whole.

exits:
  0   printed
  2   there is no such preset, or bad flag`

func (p *program) presetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "presets [NAME]", Short: "what is known of well-known agents", Long: presetsHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrong(cmd, "cannot show more than one preset")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, preset := range config.Presets() {
				if len(args) == 0 {
					p.printf("%-10s %s\n", preset.Name, preset.Summary)
				} else if args[0] == preset.Name {
					_, err := p.out.Write(preset.Text)
					return err
				}
				names = append(names, preset.Name)
			}
			if len(args) > 0 {
				return wrong(cmd, "cannot find preset %q: there are %s", args[0], strings.Join(names, ", "))
			}
			return nil
		},
	}
}
