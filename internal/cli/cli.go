package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

// program is one run of the command line.
type program struct {
	*terminal
	config string
	asJSON bool
	// exit is the status of a command that went well and has something to say
	// by it.
	exit int
}

// Main runs the program on its arguments and returns its exit status.
func Main(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; a second one is not ours to catch any more.
	context.AfterFunc(ctx, stop)
	results := &output{Writer: out}
	p := &program{terminal: &terminal{out: results, err: err}}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(in)
	failure, exit := root.ExecuteContext(ctx), p.exit
	var printed *badConfig
	if failure != nil {
		exit = status(failure)
	}
	if results.failed != nil {
		// Whoever prints need not look: it is said once, here.
		p.fail(fmt.Errorf("cannot write: %v", results.failed))
		exit = max(exit, api.ExitFailed)
	}
	if failure != nil && !errors.As(failure, &printed) && (results.failed == nil || !errors.Is(failure, results.failed)) {
		p.fail(failure)
	}
	return exit
}

// status is the exit status of an error.
func status(err error) int {
	var wrong *usageError
	var bad *badConfig
	var unknown *daemon.UnknownAgentError
	var busy *daemon.BusyError
	var refused *daemon.RefusedError
	switch {
	case errors.As(err, &refused):
		return refused.Exit
	case errors.As(err, &wrong), errors.As(err, &bad), errors.As(err, &unknown):
		return api.ExitUsage
	case errors.As(err, &busy):
		return api.ExitBusy
	}
	return api.ExitFailed
}

// worst combines the agents' statuses: 2, 1, 3, 75, 0, in this order. One that
// is none of these is a failure.
func worst(agents []api.Agent) int {
	order := []int{api.ExitOK, api.ExitBusy, api.ExitUnknown, api.ExitFailed, api.ExitUsage}
	rank := 0
	for _, a := range agents {
		if i := slices.Index(order, a.Exit); i >= 0 {
			rank = max(rank, i)
		} else {
			rank = max(rank, slices.Index(order, api.ExitFailed))
		}
	}
	return order[rank]
}

const rootHelp = `deadman is a dead man's switch that acts. It watches long-running agents, keeps
the config each one has proven it can start on, and when an agent dies it puts
that config back, restarts the agent, verifies, and writes down what it did.

Begin with "deadman init", which writes a config for an agent that is running,
and "deadman check", which makes one round. Results go to stdout, everything
else to stderr.

exits:
  0   help was printed
  2   no such command, or bad flag

Every command lists its own; see "deadman COMMAND --help".`

// Commands are listed in the order in which a person meets them.
func init() { cobra.EnableCommandSorting = false }

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "deadman", Short: "a dead man's switch that acts", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true,
		Args: noSuchCommand,
	}
	version := root.Flags().Bool("version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			p.printVersion()
			return nil
		}
		return cmd.Help()
	}
	root.PersistentFlags().BoolP("help", "h", false, "print the help of a command")
	root.PersistentFlags().StringVar(&p.config, "config", "", "read `FILE`, and conf.d beside it, in place of the default")
	root.SetFlagErrorFunc(flagError)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { p.help(cmd) })
	root.SetHelpCommand(p.helpCommand())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		given := cmd.Flags().Changed("config")
		if given && p.config == "" {
			// An unset variable of a script must not lead to the machine's config.
			return &usageError{"cannot use an empty --config", "give it a path, or leave it out to read " + p.configPath()}
		}
		if given {
			p.given = " --config " + shellWord(p.configPath())
		}
		return nil
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		p.initCommand(), p.checkCommand(), p.watchCommand(), p.runCommand(),
		p.statusCommand(), p.historyCommand(), p.explainCommand(),
		p.snapshotsCommand(), p.diffCommand(), p.driftCommand(), p.showCommand(), p.pinCommand(),
		p.acceptCommand(), p.restoreCommand(), p.rollbackCommand(), p.publishCommand(),
		p.stopCommand(), p.startCommand(), p.pauseCommand(), p.resumeCommand(),
		p.applyCommand(), p.armCommand(), p.confirmCommand(), p.heldCommand(),
		p.rivalsCommand(), p.doctorCommand(), p.presetsCommand(), p.installServiceCommand(), p.versionCommand(),
	)
	for _, cmd := range root.Commands() {
		cmd.Args = arity(cmd.Args)
	}
	return root
}
