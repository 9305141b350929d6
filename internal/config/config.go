package config

import (
	"time"

	"deadman"
)

// Config is everything that the files say, with every default filled in.
type Config struct {
	// StateDir is an absolute path.
	StateDir string
	// RequestLog is the absolute path of the SQLite file that other programs
	// share.
	RequestLog string
	// Agents are sorted by name. An agent with an error is not among them.
	Agents []Agent
}

// Agent is one guarded program. Durations are within the ranges of
// docs/reference.md.
type Agent struct {
	Name string
	// File and Line are where the agent is defined, for messages.
	File string
	Line int

	Preset     string
	Config     []Set // at least one; labels are unique if there are more
	Version    Version
	Validate   []string // empty: only syntax and guards are judged
	Supervisor Supervisor
	// Checks are sorted by name. None means that the process itself is the
	// check.
	Checks []Check

	Period    time.Duration
	Timeout   time.Duration // of a probe that names none; at most Period
	Threshold int
	Retry     time.Duration
	GoneGrace time.Duration
	KillDelay time.Duration // 0: SIGKILL at once
	Probation time.Duration
	// HealthyDeadline is at least Threshold times Retry.
	HealthyDeadline time.Duration
	StartMax        time.Duration
	StartTimeout    time.Duration
	StopTimeout     time.Duration

	PlannedExits   []int  // 0 to 255
	Log            string // absolute path, "" if there is none
	Safe           string // absolute path of a directory, "" is off
	Limits         Limits
	Retention      Retention
	AcrossVersions bool
	Recovery       Recovery
	FollowWrite    FollowWrite

	Notify    []string // may hold secrets: never print one
	Ping      string   // may hold a secret: never print it
	Canonical Canonical
	Publish   Publish
}

// Set is one directory's worth of an agent's config.
type Set struct {
	Label   string // "" only if it is the agent's single set
	Root    string // absolute and clean
	Files   []string
	Exclude []string
	// Preserve are keys of the form file#path, in files that Files match and
	// whose format can be spliced.
	Preserve []string
	Follow   []string // absolute directories
	Reads    []string
	Settle   time.Duration
	// Formats maps a path relative to Root to one of yaml, json, json5, toml,
	// ini, env, opaque.
	Formats map[string]string
}

// Version says how to learn the agent's version. The zero Version means the
// executable's inode, size and modification time.
type Version struct {
	Exec []string // a command that prints it, or
	File string   // the absolute path of a file that holds it
}

// Supervisor is what owns the agent's process. Exactly one field is set.
type Supervisor struct {
	Systemd     *Systemd
	Launchd     *Launchd
	Docker      *Docker
	Runit       *Runit
	Supervisord *Supervisord
	Tmux        *Tmux
	Child       *Child
	Command     *Command
}

// Systemd is a unit of the system's manager or, with User, of the user's.
type Systemd struct {
	Unit string
	User bool
}

// Launchd is a job in a domain such as gui/501.
type Launchd struct {
	Label  string
	Domain string
}

// Docker is a container by name. Socket is an absolute path, "" where an engine
// usually has it.
type Docker struct {
	Container string
	Socket    string
}

// Runit is a service directory such as /etc/service/NAME.
type Runit struct{ Service string }

// Supervisord is a program by name. Socket is an absolute path, "" where
// supervisord usually has it.
type Supervisord struct {
	Program string
	Socket  string
}

// Tmux is a window and the command that runs in it. Socket is an absolute path,
// "" that of the user's server.
type Tmux struct {
	Session, Window string
	Command         []string
	Socket          string
}

// Child is a process that deadman itself owns.
type Child struct {
	Argv []string
	Dir  string            // absolute, "" is deadman's own
	Env  map[string]string // added to deadman's own; may hold secrets
}

// Command is a pair of commands and the way to find what they started.
type Command struct {
	Start   []string
	Stop    []string // empty: signals
	Reload  []string // empty: it cannot
	Process Identity
}

// Identity finds a process. Exactly one field is set. There is no substring
// match: that is never an identity.
type Identity struct {
	PIDFile string   // absolute path
	Port    int      // the listener on it
	Argv    []string // the exact command line
}

// Check is a configured test of health. Exactly one of the pointers is set.
type Check struct {
	Name    string
	Level   deadman.Level
	Timeout time.Duration // of one attempt; at most the agent's Period

	HTTP      *HTTP
	TCP       *TCP
	Exec      *Exec
	Heartbeat *Heartbeat
	Process   *Process
}

// HTTP is healthy when the answer to one request is as described.
type HTTP struct {
	URL     string // http or https, without user and password
	Status  []int
	Method  string
	Headers map[string]string // may hold secrets
	Body    string            // may hold secrets
	// JSON maps key paths in the answer to the values they must have: string,
	// float64, bool or nil, as encoding/json decodes them.
	JSON map[string]any
}

// TCP is healthy when a connection to Address, host:port, is accepted.
type TCP struct{ Address string }

// Exec is healthy when Command ends with status 0.
type Exec struct{ Command []string }

// Heartbeat is healthy when File was modified at most MaxAge ago.
type Heartbeat struct {
	File   string // absolute: a relative one was joined to the first set's root
	MaxAge time.Duration
}

// Process is healthy when the supervisor says there is a process.
type Process struct{}

// Limits bound a capture.
type Limits struct {
	File  int64 // bytes in one file
	Set   int64 // bytes in all; at least File
	Files int
}

// Retention is how many snapshots are kept.
type Retention struct {
	Newest int
	Proven int // the known good included
}

// Recovery is how far deadman may go, and how fast.
type Recovery struct {
	Mode               Mode
	First              First
	StartLimitBurst    int
	StartLimitInterval time.Duration
	BackoffDelay       time.Duration
	BackoffFactor      float64
	BackoffLimit       time.Duration // at least BackoffDelay
}

// Mode is whether deadman acts.
type Mode string

const (
	// Enforce acts.
	Enforce Mode = "enforce"
	// Observe does everything but touch the agent.
	Observe Mode = "observe"
)

// First is what a recovery begins with.
type First string

const (
	// FirstAuto decides by what is known of the live config.
	FirstAuto First = "auto"
	// FirstRollback always rolls back.
	FirstRollback First = "rollback"
	// FirstRestart always gives the live config one start.
	FirstRestart First = "restart"
)

// FollowWrite is what a write through a followed link into a git work tree
// does.
type FollowWrite string

const (
	// FollowRecord writes and records it.
	FollowRecord FollowWrite = "record"
	// FollowRefuse alerts instead.
	FollowRefuse FollowWrite = "refuse"
)

// Publish is where members of the known good are committed. The zero value is
// nowhere.
type Publish struct {
	Repo  string   // absolute path
	Files []string // patterns of members' names in the store
	Push  string   // a remote, "" is none
}

// Canonical is the version of the config in source control. The zero value
// is none.
type Canonical struct {
	Repo string // absolute path
	Ref  string
	Path string // relative to Repo
}
