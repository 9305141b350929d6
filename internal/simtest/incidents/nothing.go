package incidents

// Nothing is no guard at all: the agent is started, and that is it. A scenario in
// which it passes every judgement proves nothing.
type Nothing struct{}

// Name is the column's.
func (Nothing) Name() string { return "nothing" }

// Begin starts the agent.
func (Nothing) Begin(w *World) error { return w.run("agent", w.Daemon()...) }

// Ready as soon as it runs.
func (Nothing) Ready(*World) bool { return true }

// Rounds pass.
func (Nothing) Rounds(_ *World, n int) { pass(n) }

// Restart is a person's: what runs is ended, and started again.
func (Nothing) Restart(w *World) error { return restartByHand(w) }

// Operator has no command.
func (Nothing) Operator(*World, []string) error { return nil }

// Quiet: always.
func (Nothing) Quiet(*World) bool { return true }

// KnownGood: it keeps none.
func (Nothing) KnownGood(*World) map[string]string { return nil }

// Stores: it has none.
func (Nothing) Stores(*World) []string { return nil }

// Typed: it has no record.
func (Nothing) Typed() bool { return false }

// Told nothing.
func (Nothing) Told(*World) []string { return nil }

// End nothing.
func (Nothing) End(*World) {}
