package cli

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"syscall"

	"deadman/internal/config"
	"deadman/internal/daemon"
)

// badConfig is that something in the config is wrong. It has been printed with
// its places; whoever is all right is served all the same.
type badConfig struct{ problems int }

func (e *badConfig) Error() string {
	if e.problems == 1 {
		return "cannot use all of the config: it has 1 error"
	}
	return fmt.Sprintf("cannot use all of the config: it has %d errors", e.problems)
}

// with opens the program on the config and does something with it. A config
// that is bad in part has the last word, after whoever is all right was served.
func (p *program) with(do func(d *daemon.Daemon) error) error {
	cfg, bad := p.load()
	if bad != nil && len(cfg.Agents) == 0 {
		return bad
	}
	d := daemon.Open(cfg, p.options())
	err := do(d)
	if failure := d.Close(); err == nil {
		err = failure
	}
	if bad == nil {
		return err
	}
	if err != nil {
		p.fail(err)
	}
	return bad
}

// load reads the config, and prints what is wrong in it. The error is nil or a
// *badConfig.
func (p *program) load() (config.Config, error) {
	cfg, problems := config.Load(p.configPath())
	return cfg, p.problems(problems)
}

// configPath is the config file in force, as an absolute path: hints and child
// processes may be read elsewhere.
func (p *program) configPath() string {
	path := p.config
	if path == "" {
		path = config.DefaultPath(os.Geteuid(), os.Getenv)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func (p *program) options() daemon.Options {
	return daemon.Options{ConfigPath: p.configPath(), RuntimeDir: runtimeDir(), By: speaker()}
}

// runtimeDir is the last resort of the journal. What is another user's, as the
// variable says after sudo -u, could not even be read.
func runtimeDir() string {
	uid := os.Geteuid()
	if uid == 0 {
		return "/run/deadman"
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	info, err := os.Stat(dir)
	if err == nil && filepath.IsAbs(dir) {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == uid {
			return filepath.Join(dir, "deadman")
		}
	}
	return fmt.Sprintf("/run/user/%d/deadman", uid)
}

// speaker names the person in the record. It is what they say of themselves and
// no proof of anything.
func speaker() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint("uid ", os.Getuid())
}
