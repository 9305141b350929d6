package lifecycle

import (
	"time"

	"deadman"
)

// Event is one thing that happened. Exactly one of its fields is set; an empty
// Event says only that time has passed.
type Event struct {
	Round   *Round   `json:"round,omitempty"`
	Outcome *Outcome `json:"outcome,omitempty"`
	Word    *Word    `json:"word,omitempty"`
	// Found is the known good that the store itself knows, for a state that has
	// none: the database was lost, or is new.
	Found *Known `json:"found,omitempty"`
}

// Config is one version of a config set, as it was read.
type Config struct {
	// Snapshot is where the store keeps it; empty if it does not.
	Snapshot string `json:"snapshot,omitempty"`
	Hash     string `json:"hash,omitempty"`
	// Identity leaves out preserved values. All decisions compare identities.
	Identity string `json:"identity,omitempty"`
}

// IsZero reports whether c names no version.
func (c Config) IsZero() bool { return c == Config{} }

// Live is the config on disk, with what is known of it.
type Live struct {
	Config
	// Inodes fingerprints which inodes the members are. Written is the latest
	// ctime of any member, by the wall clock.
	Inodes  string    `json:"inodes,omitempty"`
	Written time.Time `json:"written,omitzero"`
	// Changed is the latest ctime of any member and of any directory that names
	// one. It is never remembered: an agent that writes a heartbeat or a pid
	// file beside its config moves it at every turn.
	Changed time.Time `json:"changed,omitzero"`
	// Valid is Unknown when the user's validator could not be run.
	Valid deadman.Result `json:"valid,omitempty"`
	// Held: a guard objects (a placeholder, a file that shrank, lost keys).
	Held bool `json:"held,omitempty"`
	// Settled: no member changed for the set's settle time.
	Settled bool `json:"settled,omitempty"`
	// Bad: the store knows this identity as bad.
	Bad bool `json:"bad,omitempty"`
	// Cured counts the incidents that a rollback away from it has cured.
	Cured int `json:"cured,omitempty"`
	// Unreadable: the set could not be read, so nothing above is known.
	Unreadable bool `json:"unreadable,omitempty"`
}

// Round is one look at everything: process, checks, config.
type Round struct {
	Presence deadman.Presence `json:"presence"`
	// Process is set when Presence is Running, and where a process that is not
	// certainly the agent's was seen.
	Process deadman.Process `json:"process,omitzero"`
	// StartedAt is the process's start on the wall clock, by the present offset
	// between the clocks.
	StartedAt time.Time `json:"started_at,omitzero"`
	// ClockSet: the wall clock was stepped during this boot, so a ctime cannot
	// be compared with a start time.
	ClockSet bool   `json:"clock_set,omitempty"`
	Boot     string `json:"boot"`
	// Restarts is the supervisor's own count; -1 if it has none.
	Restarts int64 `json:"restarts"`
	// Stopped: somebody else's stop job, disabled, masked, or a planned exit.
	Stopped bool `json:"stopped,omitempty"`
	// Activating: its supervisor is bringing it up or back.
	Activating bool `json:"activating,omitempty"`

	// Alive is Unhealthy only if every active alive check is unhealthy.
	Alive deadman.Result `json:"alive"`
	// Partial: it serves, but some alive check or heartbeat is not healthy.
	Partial bool `json:"partial,omitempty"`
	// Ready is unset when no ready check is configured.
	Ready deadman.Result `json:"ready,omitempty"`

	Live    Live   `json:"live"`
	Version string `json:"version,omitempty"`
	// Lost are those of the snapshots that the state names (the known good, what
	// is live, what the process started on) which the store can no longer give
	// back: they are gone, or damaged.
	Lost []string `json:"lost,omitempty"`
	// Problem is why the config could not be read, "" if it was only changing at
	// that moment.
	Problem string `json:"problem,omitempty"`
	// Previous is when the round before this one ended, zero if unknown. It is
	// what says how long a version was on disk under a healthy process,
	// although healthy rounds are not saved.
	Previous time.Time `json:"previous,omitzero"`
	// Causes outside the config that hold now; looked for only when it is not
	// ready, or has been stopped on purpose. Clues are for the record alone: what
	// speaks for each, a line each that begins with its name.
	Causes []deadman.Cause `json:"causes,omitempty"`
	Clues  []string        `json:"clues,omitempty"`
}

// full reports whether every check is healthy, which is what proof needs.
func (r Round) full() bool {
	return r.Presence == deadman.Running && r.Alive == deadman.Healthy && !r.Partial &&
		(r.Ready == deadman.ResultUnset || r.Ready == deadman.Healthy)
}

// Origin is where a target comes from.
type Origin string

const (
	// FromStore: it was live once.
	FromStore Origin = ""
	// FromCanonical: composed of what source control has and the rest.
	FromCanonical Origin = "canonical"
	// FromSafe: composed of the minimal config and the rest.
	FromSafe Origin = "safe"
)

// Target is a snapshot that could be put back. One of another origin than the
// store may have none: then Detail says why.
type Target struct {
	Config
	Origin Origin `json:"origin,omitempty"`
	// Held: it is of another origin, and a guard objects, or it is known as bad.
	Held bool `json:"held,omitempty"`
	// Detail is, for the record alone, what speaks against one of another origin.
	Detail string `json:"detail,omitempty"`
	// Proven is false for a provisional known good.
	Proven bool           `json:"proven,omitempty"`
	Valid  deadman.Result `json:"valid,omitempty"`
	// Versions of the agent that have started well on it; may be empty when
	// versions are not known.
	Versions []string `json:"versions,omitempty"`
}

// Outcome is the end of a deed. It answers State.Pending, and is ignored if it
// answers another.
type Outcome struct {
	Kind    ActionKind `json:"kind"`
	Attempt int        `json:"attempt"`
	OK      bool       `json:"ok"`
	// Wall is the wall clock when the deed ended.
	Wall time.Time `json:"wall,omitzero"`

	// Boot is the boot in which the deed ended, where that is known. A deed that
	// was ordered in another one leads to a look at the agent, not to the next
	// deed.
	Boot string `json:"boot,omitempty"`
	// Snapshot is what Capture or Keep stored, or found stored.
	Snapshot string `json:"snapshot,omitempty"`

	// Of Keep, which looks at everything that Decide needs:

	Live Live `json:"live,omitzero"`
	// Shelf is the known good first, then older proven ones; where [Spent] said that
	// none of them is left, then canonical and safe.
	Shelf   []Target        `json:"shelf,omitempty"`
	Causes  []deadman.Cause `json:"causes,omitempty"`
	Clues   []string        `json:"clues,omitempty"` // as those of a Round
	Version string          `json:"version,omitempty"`
	// Appeared is a process of the agent that was found although it had been
	// stopped, or that the Start found there before it.
	Appeared deadman.Process `json:"appeared,omitzero"`

	// Composed, of a Keep before a config is applied, is what that comes to on the
	// config which was kept.
	Composed *Live `json:"composed,omitempty"`

	// Versions, of Promote, are those of the agent that have started well on it
	// before.
	Versions []string `json:"versions,omitempty"`

	// Of Restore:

	// Partly: it failed in the middle, so the set on disk is no version at all.
	Partly bool `json:"partly,omitempty"`
	// Changed: the live config is no longer what Keep took; of Start, no longer
	// what was to be started on, and nothing was started.
	Changed bool `json:"changed,omitempty"`

	// Process is what Start brought up. Resumed: a deadman that is no more had
	// ordered it, and others may have written, and have started it, since.
	Process deadman.Process `json:"process,omitzero"`
	Resumed bool            `json:"resumed,omitempty"`

	// Detail and Reverted are for the record alone: what went wrong, and the
	// key paths that a restore changed (never values).
	Detail   string   `json:"detail,omitempty"`
	Reverted []string `json:"reverted,omitempty"`
	// Differs are, for the record alone, the key paths in which what was captured
	// differs from the known good.
	Differs []string `json:"differs,omitempty"`
}

// Verb is a person's word.
type Verb string

const (
	Pause    Verb = "pause"
	Resume   Verb = "resume"
	StopNow  Verb = "stop"
	StartNow Verb = "start"
	Accept   Verb = "accept"
	Restore  Verb = "restore"
	Rollback Verb = "rollback"
	Apply    Verb = "apply"
	Arm      Verb = "arm"
	Confirm  Verb = "confirm"
)

// Word is what a person asked for.
type Word struct {
	Verb Verb `json:"verb"`
	// Until ends a pause, or is when what is armed goes back.
	Until time.Time `json:"until,omitzero"`
	// Config is what to accept, to restore, to apply or to arm.
	Config Config `json:"config,omitzero"`
	// Brings, Reload and Force are those of a Trial.
	Brings []string `json:"brings,omitempty"`
	Reload bool     `json:"reload,omitempty"`
	Force  bool     `json:"force,omitempty"`
}
