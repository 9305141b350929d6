package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/atomicfile"
	"deadman/internal/daemon"
)

const initHelp = `Looks at an agent that is running, or at the command of one, and writes a config
that guards it, with a comment on every guess. It prints it, or with --write
puts it where "deadman check" looks; it never overwrites a file. Without either
it finds all that run here and that there is a preset for ("deadman presets").

  deadman init
  deadman init --pid $(pidof my-agent)
  deadman init --url http://127.0.0.1:8080/health -- my-agent --config my.yaml

exits:
  0   written
  1   the agent could not be looked at, or there is such a file already
  2   bad flag`

func (p *program) initCommand() *cobra.Command {
	var target daemon.Target
	var write bool
	cmd := &cobra.Command{
		Use: "init [--pid PID | -- COMMAND...]", Short: "write a config for an agent that is running", Long: initHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			pid := cmd.Flags().Changed("pid")
			switch {
			case len(args) > 0 && cmd.ArgsLenAtDash() != 0:
				return wrong(cmd, "cannot tell what %q is: a command comes after --", args[0])
			case pid && len(args) > 0:
				return wrong(cmd, "cannot look at both a process and a command")
			case pid && target.PID < 1:
				return wrong(cmd, "cannot look at process %d: --pid takes 1 or more", target.PID)
			case !pid && len(args) == 0 && (target.Name != "" || target.URL != "" || target.Files != nil):
				return wrong(cmd, "cannot tell what to guard: give --pid, or a command after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target.Command = args
			text, err := p.look(cmd, target)
			if err != nil || text == nil {
				return err
			}
			if !write {
				_, err := p.out.Write(text)
				return err
			}
			if err := create(p.configPath(), text); err != nil {
				return err
			}
			p.warn("wrote " + p.configPath())
			return nil
		},
	}
	cmd.Flags().IntVar(&target.PID, "pid", 0, "the agent's process is `PID`")
	cmd.Flags().StringVar(&target.Name, "name", "", "call the agent `NAME`, and not after its program")
	cmd.Flags().StringVar(&target.URL, "url", "", "a `URL` that answers 200 when it is healthy")
	cmd.Flags().StringSliceVar(&target.Files, "files", nil, "its config `FILES`, with commas between or repeated")
	cmd.Flags().BoolVar(&write, "write", false, "write it to the config file, if there is none")
	return cmd
}

// look writes a config for the target, or for all that are found if there is none.
func (p *program) look(cmd *cobra.Command, target daemon.Target) ([]byte, error) {
	if target.PID != 0 || len(target.Command) > 0 {
		return daemon.Init(cmd.Context(), target)
	}
	text, notes, err := daemon.Find(cmd.Context())
	for _, note := range notes {
		p.warn(note)
		p.exit = api.ExitFailed
	}
	return text, err
}

// create writes a file whole, where there is none.
func create(path string, text []byte) error {
	failed := func(err error) error { return fmt.Errorf("cannot write the config %s: %v", path, err) }
	dir, name := filepath.Split(path)
	if err := atomicfile.MkdirAll(dir, 0o755); err != nil {
		return failed(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return failed(err)
	}
	defer root.Close()
	if _, err := root.Lstat(name); err == nil {
		return &existsError{path}
	}
	temp := atomicfile.TempName()
	if err := atomicfile.WriteFile(root, temp, text, 0o600); err != nil {
		return failed(err)
	}
	if err := atomicfile.Move(root, temp, root, name); err != nil {
		_ = root.Remove(temp)
		if errors.Is(err, fs.ErrExist) {
			return &existsError{path}
		}
		return failed(err)
	}
	if err := atomicfile.SyncDir(root, "."); err != nil {
		return failed(err)
	}
	return nil
}

// existsError is that there is a config already.
type existsError struct{ path string }

func (e *existsError) Error() string {
	return fmt.Sprintf("cannot write the config %s: it exists", e.path)
}

// Hint says how another agent is added.
func (e *existsError) Hint() string {
	return "a further agent goes into a file of its own: deadman init … > " + filepath.Join(filepath.Dir(e.path), "conf.d", "NAME.yaml")
}
