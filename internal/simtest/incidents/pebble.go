package incidents

import "path/filepath"

// Pebble is Canonical's service manager. Its program is built from a module of its
// own, internal/simtest/peers/pebble.
type Pebble struct{ peer }

// Name is the column's.
func (*Pebble) Name() string { return "Pebble" }

// Missing is looked for in the programs, by whoever has built them.
func (*Pebble) Missing() string { return missing("curl") }

// Configs is its layer.
func (*Pebble) Configs() []string { return []string{"pebble.yaml"} }

// Begin starts the daemon, which starts the agent.
func (p *Pebble) Begin(w *World) error {
	p.log = "run/pebble.log"
	if err := p.configure(w, "pebble.yaml", "pebble/layers/001-agent.yaml", 0o600); err != nil {
		return err
	}
	return p.begin(w, "pebble", p.command(w, "run")...)
}

func (*Pebble) command(w *World, args ...string) []string {
	return append([]string{"env", "PEBBLE=" + w.Path("pebble"), filepath.Join(w.Programs, "pebble")}, args...)
}

// Restart is its command.
func (p *Pebble) Restart(w *World) error { return p.anew(w, p.command(w, "restart", "agent")...) }
