package incidents

import "os"

// Runit is runsv, as runsvdir starts it for each service.
type Runit struct{ peer }

// Name is the column's.
func (*Runit) Name() string { return "runit" }

// Missing is its programs.
func (*Runit) Missing() string { return missing("runsv", "svlogd", "sv") }

// Configs are the files of the service's directory.
func (*Runit) Configs() []string { return []string{"runit-run", "runit-finish", "runit-log-run"} }

// Begin starts runsv, which starts the agent.
func (p *Runit) Begin(w *World) error {
	p.log = "run/log/current"
	for name, path := range map[string]string{"runit-run": "agent/run", "runit-finish": "agent/finish", "runit-log-run": "agent/log/run"} {
		if err := p.configure(w, name, path, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(w.Path("run", "log"), 0o755); err != nil {
		return err
	}
	return p.begin(w, "runsv", "runsv", w.Path("agent"))
}

// Restart is its command.
func (p *Runit) Restart(w *World) error {
	return p.anew(w, "sv", "-w", "5", "restart", w.Path("agent"))
}
