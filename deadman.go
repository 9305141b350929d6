package deadman

import "time"

// Result is what one probe of one check, or one round of all of them, found.
type Result uint8

const (
	ResultUnset Result = iota
	Healthy
	Unhealthy
	// Unknown is "cannot tell", which is never "dead": it neither counts
	// towards a threshold nor resets one.
	Unknown
)

var resultNames = []string{"", "healthy", "unhealthy", "unknown"}

func (r Result) String() string                { return nameOf("result", resultNames, r) }
func (r Result) MarshalText() ([]byte, error)  { return []byte(r.String()), nil }
func (r *Result) UnmarshalText(b []byte) error { return parseName("result", resultNames, b, r) }

// Level is what a check is evidence of.
type Level uint8

const (
	LevelUnset Level = iota
	// Alive: the process serves.
	Alive
	// Ready: the process can do its work.
	Ready
)

var levelNames = []string{"", "alive", "ready"}

func (l Level) String() string                { return nameOf("level", levelNames, l) }
func (l Level) MarshalText() ([]byte, error)  { return []byte(l.String()), nil }
func (l *Level) UnmarshalText(b []byte) error { return parseName("level", levelNames, b, l) }

// Standing is what is known of a snapshot.
type Standing uint8

const (
	StandingUnset Standing = iota
	// Candidate: captured, not yet started on.
	Candidate
	// Proven: an agent started on these bytes and stayed healthy for its
	// probation.
	Proven
	// Suspect: live when the agent died, or proven and then died on thrice.
	Suspect
	// Bad: blamed, with the incident that proved it.
	Bad
)

var standingNames = []string{"", "candidate", "proven", "suspect", "bad"}

func (s Standing) String() string                { return nameOf("standing", standingNames, s) }
func (s Standing) MarshalText() ([]byte, error)  { return []byte(s.String()), nil }
func (s *Standing) UnmarshalText(b []byte) error { return parseName("standing", standingNames, b, s) }

// Presence is what a supervisor says of an agent's process.
type Presence uint8

const (
	PresenceUnset Presence = iota
	// Running: there is a process, and it is the agent's.
	Running
	// Gone: there is none, and its supervisor is not bringing it back.
	Gone
	// Obscured: cannot tell. Never treated as Gone.
	Obscured
)

var presenceNames = []string{"", "running", "gone", "obscured"}

func (p Presence) String() string                { return nameOf("presence", presenceNames, p) }
func (p Presence) MarshalText() ([]byte, error)  { return []byte(p.String()), nil }
func (p *Presence) UnmarshalText(b []byte) error { return parseName("presence", presenceNames, b, p) }

// Process identifies one process over the life of a machine: a pid alone is
// reused, a pid with its start time on one boot is not. The zero Process is
// "none".
type Process struct {
	PID int `json:"pid"`
	// Start is the time from boot to the start of the process on
	// CLOCK_BOOTTIME. From /proc it has a grain of one tick (10 ms).
	Start time.Duration `json:"start"`
	// Boot is the kernel's boot id; Start means nothing in another boot.
	Boot string `json:"boot"`
}

// IsZero reports whether p names no process.
func (p Process) IsZero() bool { return p == Process{} }
