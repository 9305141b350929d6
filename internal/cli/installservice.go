package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deadman/internal/atomicfile"
	"deadman/internal/config"
	"deadman/internal/daemon"
	"deadman/internal/service"
)

const installServiceHelp = `Makes deadman a service of this machine: "watch" as a daemon, or with --check
one round a minute. It prints the files and the commands; with --write it writes
the ones and runs the others. root installs for the machine, others for
themselves.

With --finish AGENT the unit that owns the agent finishes a set of files that is
half put back before it starts (a reboot may come in the middle).

With --confine systemd takes from deadman what it needs only to start agents
itself: for a config whose agents all belong to systemd, Docker, runit or
supervisord. Checks by command and validators run confined as well, and no
setuid or setgid bit can be put back.

exits:
  0   printed, or installed, or removed
  1   a file could not be written, is somebody else's, or a command failed
  2   unknown agent, bad flag or bad config, or an agent that cannot be confined`

func (p *program) installServiceCommand() *cobra.Command {
	var check, user, confine, write, remove bool
	var finish []string
	cmd := &cobra.Command{
		Use: "install-service", Short: "make deadman a service of this machine", Long: installServiceHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path := p.configPath(); p.config != "" && !remove {
				if _, err := os.Stat(path); err != nil {
					return &usageError{fmt.Sprintf("cannot make a service that reads %s: %v", path, bare(err)), "`deadman init --write` writes a config"}
				}
			}
			s, err := p.service(finish)
			if err != nil {
				return err
			}
			s.Check, s.User, s.Confine = check, user || os.Geteuid() != 0, confine
			if confine && !remove {
				if err := p.confinable(s); err != nil {
					return err
				}
			}
			plan, err := planOf(s)
			switch {
			case err != nil:
				return err
			case !write && remove:
				return p.showRemoval(plan)
			case !write:
				return p.showInstallation(plan)
			case remove:
				return uninstall(cmd.Context(), plan)
			}
			return install(cmd.Context(), plan)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "one round a minute, in place of a daemon")
	cmd.Flags().BoolVar(&user, "user", false, "a service of this user alone, also for root")
	cmd.Flags().BoolVar(&confine, "confine", false, "without the rights that it takes to start agents")
	cmd.Flags().StringSliceVar(&finish, "finish", nil, "finish what is half put back before the unit of `AGENT` starts")
	cmd.Flags().BoolVar(&write, "write", false, "do it")
	cmd.Flags().BoolVar(&remove, "remove", false, "undo it")
	return cmd
}

// bare is an error about a file without its name.
func bare(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// service is what is to be run, with the units of these agents.
func (p *program) service(finish []string) (service.Service, error) {
	self, err := findSelf()
	if err != nil {
		return service.Service{}, err
	}
	s := service.Service{Program: self.path}
	if path := p.configPath(); path != config.DefaultPath(os.Geteuid(), os.Getenv) {
		s.Config = path
	}
	if len(finish) == 0 {
		return s, nil
	}
	cfg, err := p.load()
	if err != nil {
		return s, err
	}
	for _, name := range finish {
		unit, err := unitOf(cfg, name)
		if err != nil {
			return s, err
		}
		s.Finish = append(s.Finish, unit)
	}
	return s, nil
}

// unitOf is the systemd unit that owns an agent.
func unitOf(cfg config.Config, name string) (service.Unit, error) {
	var names []string
	for _, a := range cfg.Agents {
		names = append(names, a.Name)
		switch {
		case a.Name != name:
		case a.Supervisor.Systemd == nil:
			return service.Unit{}, fmt.Errorf("cannot have the start of %s finish anything: its supervisor is not systemd", name)
		default:
			return service.Unit{Agent: name, Name: a.Supervisor.Systemd.Unit, User: a.Supervisor.Systemd.User}, nil
		}
	}
	return service.Unit{}, &daemon.UnknownAgentError{Name: name, Known: names}
}

// confinable returns an error if the service would be confined and may not be: what
// deadman starts itself would be confined with it.
func (p *program) confinable(s service.Service) error {
	switch {
	case runtime.GOOS != "linux":
		return &usageError{"cannot confine a service: that takes systemd", "leave out --confine"}
	case s.User:
		return &usageError{"cannot confine a service of a user: systemd can do so for the machine's alone", "run it as root, or leave out --confine"}
	}
	cfg, err := p.load()
	if err != nil {
		return err
	}
	paths := []string{cfg.StateDir}
	for _, a := range cfg.Agents {
		for _, set := range a.Config {
			paths = append(append(paths, set.Root), set.Follow...)
		}
	}
	for _, path := range paths {
		if strings.HasPrefix(path, "/tmp/") || strings.HasPrefix(path, "/var/tmp/") {
			return &usageError{fmt.Sprintf("cannot confine a service that needs %s: it has a /tmp of its own", path), "leave out --confine, or move that"}
		}
	}
	for _, a := range cfg.Agents {
		form := ""
		switch {
		case a.Supervisor.Child != nil:
			form = "child"
		case a.Supervisor.Command != nil:
			form = "command"
		case a.Supervisor.Tmux != nil:
			form = "tmux"
		default:
			continue
		}
		return &usageError{
			fmt.Sprintf("cannot confine a service that starts %s itself (%s): the agent would be confined with it", a.Name, form),
			"leave out --confine, or give the agent a unit of systemd's",
		}
	}
	return nil
}

// planOf is the plan for this machine's service manager.
func planOf(s service.Service) (service.Plan, error) {
	var err error
	if s.Home, err = os.UserHomeDir(); err == nil {
		s.ConfigHome, err = os.UserConfigDir()
	}
	if err != nil && s.User {
		return service.Plan{}, fmt.Errorf("cannot tell where the units of this user are: %v", err)
	}
	if runtime.GOOS != "darwin" {
		return s.Systemd(), nil
	}
	domain := "system"
	if s.User {
		domain = fmt.Sprintf("gui/%d", os.Getuid())
	}
	return s.Launchd(domain), nil
}

func (p *program) showInstallation(plan service.Plan) error {
	var b strings.Builder
	for _, f := range plan.Files {
		fmt.Fprintf(&b, "# %s\n%s\n", f.Path, f.Text)
	}
	b.WriteString(commandLines(plan.Reload, plan.Enable))
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func (p *program) showRemoval(plan service.Plan) error {
	var rm [][]string
	for _, path := range removed(plan) {
		rm = append(rm, []string{"rm", path})
	}
	_, err := fmt.Fprint(p.out, commandLines(plan.Disable, rm, plan.Reload))
	return err
}

func commandLines(groups ...[][]string) string {
	var b strings.Builder
	for _, group := range groups {
		for _, argv := range group {
			b.WriteString(strings.Join(argv, " ") + "\n")
		}
	}
	return b.String()
}

// install carries a plan out. Doing so again changes nothing.
func install(ctx context.Context, plan service.Plan) error {
	for _, f := range plan.Files {
		if err := ours(f.Path); err != nil {
			return err
		}
	}
	for _, f := range plan.Files {
		if err := put(f); err != nil {
			return err
		}
	}
	return errors.Join(runAll(ctx, plan.Reload), runAll(ctx, plan.Enable))
}

// removed are the files that go with a removal: those that are there.
func removed(plan service.Plan) []string {
	var paths []string
	for _, f := range plan.Files {
		if _, err := os.Lstat(f.Path); err == nil {
			paths = append(paths, f.Path)
		}
	}
	also, _ := filepath.Glob(plan.Also) // the pattern is ours
	for _, path := range also {
		if ours(path) == nil && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func uninstall(ctx context.Context, plan service.Plan) error {
	paths := removed(plan)
	for _, path := range paths {
		if err := ours(path); err != nil {
			return err
		}
	}
	// What was never enabled cannot be disabled, and goes all the same.
	failure := runAll(ctx, plan.Disable)
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			failure = errors.Join(failure, fmt.Errorf("cannot remove %s: %v", path, err))
		}
	}
	return errors.Join(failure, runAll(ctx, plan.Reload))
}

// ours is an error if there is a file at path that we did not write.
func ours(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read %s: %v", path, err)
	case !strings.Contains(string(text), service.Mark):
		return fmt.Errorf("cannot replace %s: deadman did not write it", path)
	}
	return nil
}

func put(f service.File) error {
	failed := func(err error) error { return fmt.Errorf("cannot write %s: %v", f.Path, err) }
	dir, name := filepath.Split(f.Path)
	if err := atomicfile.MkdirAll(dir, 0o755); err != nil {
		return failed(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return failed(err)
	}
	defer root.Close()
	if err := atomicfile.WriteFile(root, name, []byte(f.Text), 0o644); err != nil {
		return failed(err)
	}
	return nil
}

func runAll(ctx context.Context, commands [][]string) error {
	for _, argv := range commands {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot run %s: %v: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
