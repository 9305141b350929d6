package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deadman/internal/config"
	"deadman/internal/proc"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// Daemon is the program on one config. Opening it touches nothing.
type Daemon struct {
	cfg     config.Config
	opts    Options
	journal *record.Journal
	pulse   pulse
	// takeTime is takeTime, but in tests.
	takeTime time.Duration
	sharing  sharing
}

// Options are what is not the config's to say.
type Options struct {
	// ConfigPath is shown in hints and re-read by a reload.
	ConfigPath string
	// RuntimeDir holds the last resort of the journal, in a directory of its own
	// for each state directory: /run/deadman or $XDG_RUNTIME_DIR/deadman.
	RuntimeDir string
	// By names the person or program that speaks, for the record.
	By string
	// Machine is the directory that holds the machine on which Doctor looks for
	// rivals; "" is "/".
	Machine string
}

// Open returns the program on cfg.
func Open(cfg config.Config, opts Options) *Daemon {
	if opts.RuntimeDir != "" {
		// Spooled states are named by their agents alone, and another state
		// directory may have agents of the same names.
		sum := sha256.Sum256([]byte(cfg.StateDir))
		opts.RuntimeDir = filepath.Join(opts.RuntimeDir, hex.EncodeToString(sum[:8]))
	}
	boot, _ := proc.BootID() // Whoever guards an agent fails without it.
	return &Daemon{cfg: cfg, opts: opts, journal: record.NewJournal(cfg.StateDir, opts.RuntimeDir, boot), takeTime: takeTime}
}

// Close closes what was opened on the way.
func (d *Daemon) Close() error { return d.journal.Close() }

// UnknownAgentError is that no agent has this name.
type UnknownAgentError struct {
	Name  string
	Known []string
}

func (e *UnknownAgentError) Error() string { return fmt.Sprintf("cannot find agent %q", e.Name) }

// Hint says which there are.
func (e *UnknownAgentError) Hint() string {
	if len(e.Known) == 0 {
		return "the config has no agents; see deadman init"
	}
	return fmt.Sprintf("the config has %s", join(e.Known))
}

// agent returns the config of the agent with this name.
func (d *Daemon) agent(name string) (config.Agent, error) {
	known := make([]string, 0, len(d.cfg.Agents))
	for _, a := range d.cfg.Agents {
		if a.Name == name {
			return a, nil
		}
		known = append(known, a.Name)
	}
	return config.Agent{}, &UnknownAgentError{Name: name, Known: known}
}

// agents returns those with these names, each once, or all.
func (d *Daemon) agents(names []string) ([]config.Agent, error) {
	if len(names) == 0 {
		return d.cfg.Agents, nil
	}
	var agents []config.Agent
	for _, name := range names {
		a, err := d.agent(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(agents, func(b config.Agent) bool { return b.Name == name }) {
			agents = append(agents, a)
		}
	}
	return agents, nil
}

// agentDir is <state>/agents/<agent>.
func (d *Daemon) agentDir(name string) string {
	return filepath.Join(d.cfg.StateDir, "agents", name)
}

// store opens an agent's snapshots; the caller closes it.
func (d *Daemon) store(name string) (*snapshot.Store, error) {
	return snapshot.Open(d.agentDir(name), name)
}

// lastCheck is when the last round on an agent ended, zero if never.
func (d *Daemon) lastCheck(name string) time.Time {
	info, err := os.Stat(filepath.Join(d.agentDir(name), "last-check"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

func join(names []string) string {
	text := ""
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += name
	}
	return text
}
