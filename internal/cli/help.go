package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// help prints the help of a command.
func (p *program) help(cmd *cobra.Command) { writeHelp(p.out, cmd) }

func writeHelp(w io.Writer, cmd *cobra.Command) {
	fmt.Fprintln(w, cmd.Long)
	usage := cmd.UseLine()
	if !cmd.HasParent() {
		usage = "deadman COMMAND [flags]"
	}
	fmt.Fprintf(w, "\nusage:\n  %s\n", usage)
	if commands := visible(cmd); len(commands) > 0 {
		fmt.Fprintf(w, "\ncommands:\n")
		for _, c := range commands {
			fmt.Fprintf(w, "  %-10s %s\n", c.Name(), c.Short)
		}
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\nflags:\n%s", flags.FlagUsagesWrapped(width))
	}
	if flags := cmd.Root().PersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\nflags of every command:\n%s", flags.FlagUsagesWrapped(width))
	}
}

// visible are the commands that help lists.
func visible(cmd *cobra.Command) []*cobra.Command {
	var commands []*cobra.Command
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			commands = append(commands, c)
		}
	}
	return commands
}

func (p *program) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "what a command does, takes and exits with", Args: cobra.MaximumNArgs(1),
		Long: `Prints the help of a command.

exits:
  0   printed
  2   there is no such command`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			for _, c := range root.Commands() {
				if len(args) == 1 && c.Name() == args[0] {
					return c.Help()
				}
			}
			if len(args) == 1 {
				return noSuchCommand(root, args)
			}
			return root.Help()
		},
	}
}

// Reference is docs/cli.md: the help of every command.
func Reference() []byte {
	root := (&program{terminal: &terminal{}}).root()
	var b strings.Builder
	b.WriteString("# Commands\n\nThis file is written from the commands' own help by `go test ./internal/cli -update`.\n")
	section := func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n```\n", cmd.CommandPath())
		writeHelp(&b, cmd)
		b.WriteString("```\n")
	}
	section(root)
	for _, cmd := range visible(root) {
		section(cmd)
	}
	return []byte(b.String())
}
