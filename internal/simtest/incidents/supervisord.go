package incidents

// Supervisord is what it says.
type Supervisord struct{ peer }

// Name is the column's.
func (*Supervisord) Name() string { return "supervisord" }

// Missing is its programs.
func (*Supervisord) Missing() string { return missing("supervisord", "supervisorctl") }

// Configs is its configuration file.
func (*Supervisord) Configs() []string { return []string{"supervisord.conf"} }

// Begin starts supervisord, which starts the agent.
func (p *Supervisord) Begin(w *World) error {
	p.log = "run/supervisord.log"
	if err := p.configure(w, "supervisord.conf", "supervisord.conf", 0o600); err != nil {
		return err
	}
	return p.begin(w, "supervisord-output", "supervisord", "--nodaemon", "--configuration", w.Path("supervisord.conf"))
}

// Restart is its command.
func (p *Supervisord) Restart(w *World) error {
	return p.anew(w, "supervisorctl", "--configuration", w.Path("supervisord.conf"), "restart", "agent")
}
