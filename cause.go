package deadman

// Cause is why an agent died, as far as evidence tells.
type Cause uint8

const (
	CauseUnset Cause = iota
	// ConfigInvalid: the live config does not validate.
	ConfigInvalid
	// ConfigChanged: the live config is not what the agent was proven on.
	ConfigChanged
	// NoCause: nothing was found; the config is the known good.
	NoCause

	// The causes below are outside: while one holds, a rollback would destroy
	// good changes and cure nothing.

	OutOfMemory
	DiskFull
	PortTaken
	NetworkDown
	VersionChanged
	StartLimit
	Permission
	// NotReadyBefore: it was not ready when the config was changed, so the change
	// did not make it so.
	NotReadyBefore
	// PlannedExit: it ended with a status that is listed as planned.
	PlannedExit
	// SupervisorStopped: somebody had its supervisor stop it.
	SupervisorStopped
)

var causeNames = []string{
	"", "config-invalid", "config-changed", "none-found",
	"out-of-memory", "disk-full", "port-taken", "network-down", "version-changed", "start-limit", "permission",
	"not-ready-before-change", "planned-exit", "supervisor-stopped-it",
}

func (c Cause) String() string                { return nameOf("cause", causeNames, c) }
func (c Cause) MarshalText() ([]byte, error)  { return []byte(c.String()), nil }
func (c *Cause) UnmarshalText(b []byte) error { return parseName("cause", causeNames, b, c) }

// Outside reports whether c has nothing to do with the agent's config.
func (c Cause) Outside() bool { return c >= OutOfMemory }

// CauseNames lists every cause, for `deadman explain --list`.
func CauseNames() []string { return causeNames[1:] }
