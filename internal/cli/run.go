package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"deadman/internal/config"
	"deadman/internal/daemon"
)

const runHelp = `Starts and guards one agent in the foreground, for a terminal or as the command
of a container. The agent's output is shown; its stdin is /dev/null. As pid 1 it
reaps orphans.

An agent that ends by itself has died, with status 0 as well, and is brought
back. It is over, with the agent's exit status, when a signal ends it, or when
the agent ends with a status that planned-exits lists (a key of its config, or
the flag). Nothing is listed by default.

Signals are forwarded to the agent. SIGTERM, SIGINT and SIGQUIT, and in a
terminal SIGHUP, are the end of both; after SIGHUP elsewhere, SIGUSR1, SIGUSR2
and SIGWINCH it is guarded as before.

Without a config file: name the agent's config files and, if it has one, a URL
that answers 200 when it is healthy, and give its command after "--":

  deadman run --files agent.yaml --check http://127.0.0.1:8080/ -- ./agent

The agent is then called after its command. All files are in one directory or
beneath it.

exits:
  the agent's own status, or 128 and the number of the signal that ended it
  1   it could not be guarded
  2   unknown agent, bad flag or bad config, or a file of --files is missing
  75  another deadman guards it`

func (p *program) runCommand() *cobra.Command {
	var files []string
	var planned []int
	var check, stateDir string
	cmd := &cobra.Command{
		Use: "run AGENT | run --files FILES [--check URL] -- COMMAND...", Short: "start and guard one agent in the foreground", Long: runHelp,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			dash, adHoc := cmd.ArgsLenAtDash(), len(files) > 0 || check != "" || stateDir != "" || len(planned) > 0
			switch {
			case dash == 0 && len(args) > 0 && len(files) > 0:
			case dash == 0 && len(args) > 0:
				return wrong(cmd, "cannot guard a command without its config files: give --files")
			case dash >= 0 && len(args) > 0:
				return wrong(cmd, "cannot run both an agent of the config and a command")
			case adHoc:
				return wrong(cmd, "cannot tell what to run: give the command after --")
			case len(args) != 1:
				return wrong(cmd, "cannot tell what to run: give one agent, or a command after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(files) == 0 {
				return p.with(func(d *daemon.Daemon) error { return p.foreground(cmd, d, args[0]) })
			}
			text, name, err := adHoc(cmd, files, check, planned, args)
			if err != nil {
				return err
			}
			if stateDir == "" {
				stateDir = config.DefaultStateDir(os.Geteuid(), os.Getenv)
			}
			if stateDir, err = filepath.Abs(stateDir); err != nil {
				return fmt.Errorf("cannot find the state directory: %v", err)
			}
			cfg, problems := config.Parse(stateDir, config.Source{File: "command line", Data: text})
			if bad := p.problems(problems); bad != nil {
				return bad
			}
			d := daemon.Open(cfg, p.options())
			defer d.Close()
			return p.foreground(cmd, d, name)
		},
	}
	cmd.Flags().StringSliceVar(&files, "files", nil, "the config `FILES` of the command, with commas between or repeated")
	cmd.Flags().StringVar(&check, "check", "", "a `URL` that answers 200 when the command is healthy")
	cmd.Flags().IntSliceVar(&planned, "planned-exits", nil, "it is over when the command ends by itself with a status of `LIST`")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "keep snapshots and the log of the command in `DIR`")
	return cmd
}

// foreground runs one agent with our signals and our stdout.
func (p *program) foreground(cmd *cobra.Command, d *daemon.Daemon, name string) error {
	end, pass := make(chan os.Signal, 1), make(chan os.Signal, 8)
	ends, passes := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}
	switch {
	case signal.Ignored(syscall.SIGHUP): // nohup
	case hasTerminal():
		ends = append(ends, syscall.SIGHUP)
	default:
		passes = append(passes, syscall.SIGHUP)
	}
	signal.Notify(end, ends...)
	signal.Notify(pass, passes...)
	defer signal.Stop(end)
	defer signal.Stop(pass)
	// What ends every other command is forwarded here, and the end comes with
	// the agent's.
	ctx := context.WithoutCancel(cmd.Context())
	var err error
	p.exit, err = d.Run(ctx, name, daemon.Signals{End: end, Pass: pass}, raw(p.out), p.warn)
	return err
}

// hasTerminal reports whether we have a terminal whose loss SIGHUP tells of.
// Where there is none, as in most containers, it asks a daemon to reload.
func hasTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// adHoc is the config of a command that has none, as a document for the parser
// that reads all others. JSON is YAML.
func adHoc(cmd *cobra.Command, files []string, check string, planned []int, argv []string) (text []byte, name string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, "", fmt.Errorf("cannot tell the working directory: %v", err)
	}
	root, names, err := rootOf(files)
	if err != nil {
		return nil, "", err
	}
	if root == "" {
		return nil, "", wrong(cmd, "cannot guard these files together: all of --files must be in one directory or beneath it")
	}
	for _, file := range names {
		if strings.ContainsAny(file, `*?[\`) {
			continue
		}
		if path := filepath.Join(root, file); !exists(path) {
			return nil, "", &usageError{fmt.Sprintf("cannot guard %s: there is no such file", path), "correct --files, or create it first: without it nothing could be kept as good"}
		}
	}
	name = agentName(filepath.Base(argv[0]))
	agent := map[string]any{
		"config":     map[string]any{"root": root, "files": names},
		"supervisor": map[string]any{"child": argv, "dir": dir},
	}
	if len(planned) > 0 {
		agent["planned-exits"] = planned
	}
	if check != "" {
		agent["checks"] = map[string]any{"http": map[string]any{"http": map[string]any{"url": check}}}
	}
	text, err = json.MarshalIndent(map[string]any{"agents": map[string]any{name: agent}}, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("cannot write a config for the command: %v", err)
	}
	return text, name, nil
}

// exists reports whether there is, or may be, something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// rootOf returns the directory of the files, "" if there is none that all are
// in or beneath, and their names relative to it.
func rootOf(files []string) (root string, names []string, err error) {
	paths := make([]string, len(files))
	for i, file := range files {
		if paths[i], err = filepath.Abs(file); err != nil {
			return "", nil, fmt.Errorf("cannot find %s: %v", file, err)
		}
		if dir := filepath.Dir(paths[i]); i == 0 || len(dir) < len(root) {
			root = dir
		}
	}
	for _, path := range paths {
		name, err := filepath.Rel(root, path)
		if err != nil || !filepath.IsLocal(name) {
			return "", nil, nil
		}
		names = append(names, filepath.ToSlash(name))
	}
	return root, names, nil
}

// agentName makes the name of an agent from a program's.
func agentName(program string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, program)
	name = strings.TrimLeft(name, "-_.")
	if name == "" {
		return "agent"
	}
	return name[:min(len(name), 63)]
}
