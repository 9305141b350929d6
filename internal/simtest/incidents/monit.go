package incidents

// Monit is a program that looks at processes and answers, and restarts.
type Monit struct{ peer }

// Name is the column's.
func (*Monit) Name() string { return "Monit" }

// Missing is the program.
func (*Monit) Missing() string { return missing("monit") }

// Configs is its control file.
func (*Monit) Configs() []string { return []string{"monitrc"} }

// Begin starts the agent, and Monit beside it.
func (p *Monit) Begin(w *World) error {
	p.log = "run/monit.log"
	if err := p.configure(w, "monitrc", "monitrc", 0o600); err != nil {
		return err
	}
	if err := p.daemon(w); err != nil {
		return err
	}
	return p.begin(w, "monit-output", "monit", "-I", "-c", w.Path("monitrc"))
}

// Restart is its command.
func (p *Monit) Restart(w *World) error {
	return p.anew(w, "monit", "-c", w.Path("monitrc"), "restart", "agent")
}
