package deadman

// Phase is where an agent stands in its life under the switch. The phases from
// Stopping to Failed belong to an open incident.
type Phase uint8

const (
	PhaseUnset Phase = iota
	// Starting: a process that has never answered and is younger than start-max.
	Starting
	// Up: every alive check that is needed to say so is healthy.
	Up
	// Degraded: it serves, but some check is unhealthy; an alert, never a kill.
	Degraded
	// Unclear: checks cannot tell, or the process is gone while checks are
	// healthy. Nothing is done.
	Unclear
	// Confirming: it looks dead; probes are repeated until that is certain.
	Confirming
	// Stopping: nothing of the agent may be left running.
	Stopping
	// Keeping: the live config is being captured before anything is decided.
	Keeping
	// Restoring: a config set is being put in place.
	Restoring
	// Launching: the agent is being started.
	Launching
	// Verifying: the new process has until the deadline to be healthy.
	Verifying
	// Probation: recovered and serving; the incident stays open.
	Probation
	// Waiting: a start is due but not before the deadline (backoff, start limit).
	Waiting
	// Failed: every target was tried. Starts go on, ever more slowly.
	Failed
	// StoodDown: a rival starts this agent; hands off until `deadman resume`.
	StoodDown
	// Stopped: stopped on purpose, and left so.
	Stopped
	// Paused: hands off until the pause ends.
	Paused
	// Dead: seen dead, and nothing may be done (mode: observe).
	Dead
)

var phaseNames = []string{
	"", "starting", "up", "degraded", "unclear", "confirming", "stopping", "keeping",
	"restoring", "launching", "verifying", "probation", "waiting", "failed", "stood-down", "stopped", "paused", "dead",
}

func (p Phase) String() string                { return nameOf("phase", phaseNames, p) }
func (p Phase) MarshalText() ([]byte, error)  { return []byte(p.String()), nil }
func (p *Phase) UnmarshalText(b []byte) error { return parseName("phase", phaseNames, b, p) }

// PhaseNames lists every phase, for `deadman explain --list`.
func PhaseNames() []string { return phaseNames[1:] }
