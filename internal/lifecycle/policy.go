package lifecycle

import (
	"slices"
	"time"

	"deadman"
)

// First says what is tried first at a death on an unproven config.
type First string

const (
	// FirstAuto gives a live config that has earned it one start.
	FirstAuto First = "auto"
	// FirstRollback always rolls back.
	FirstRollback First = "rollback"
	// FirstRestart always gives the live config one start.
	FirstRestart First = "restart"
)

// Policy is what the user configured for one agent. Durations are positive, but
// for GoneGrace, which may be 0.
type Policy struct {
	// Observe: decide and record, but touch nothing.
	Observe bool  `json:"observe,omitempty"`
	First   First `json:"first"`
	// AcrossVersions allows a rollback although version and config changed
	// together (an updater that migrates its config).
	AcrossVersions bool `json:"across_versions,omitempty"`

	// Threshold is how many probes in a row it takes, to be dead and to be back.
	Threshold int           `json:"threshold"`
	Period    time.Duration `json:"period"`
	// Retry is the time between probes that confirm a death or verify a start.
	Retry     time.Duration `json:"retry"`
	GoneGrace time.Duration `json:"gone_grace"`
	Probation time.Duration `json:"probation"`
	// HealthyDeadline bounds verification; see State.verifyTime.
	HealthyDeadline time.Duration `json:"healthy_deadline"`
	StartMax        time.Duration `json:"start_max"`

	StartLimitBurst    int           `json:"start_limit_burst"`
	StartLimitInterval time.Duration `json:"start_limit_interval"`
	BackoffDelay       time.Duration `json:"backoff_delay"`
	BackoffFactor      float64       `json:"backoff_factor"`
	BackoffLimit       time.Duration `json:"backoff_limit"`
}

// DefaultPolicy is DESIGN's: see docs/reference.md for the reasons.
func DefaultPolicy() Policy {
	return Policy{
		First:              FirstAuto,
		Threshold:          3,
		Period:             30 * time.Second,
		Retry:              time.Second,
		GoneGrace:          3 * time.Second,
		Probation:          time.Minute,
		HealthyDeadline:    2 * time.Minute,
		StartMax:           10 * time.Minute,
		StartLimitBurst:    5,
		StartLimitInterval: 10 * time.Minute,
		BackoffDelay:       time.Second,
		BackoffFactor:      2,
		BackoffLimit:       15 * time.Minute,
	}
}

const (
	// unknownLimit: so many probes in a row that cannot tell are an alert.
	unknownLimit = 10
	// launchesPerConfig: an unchanged config gets so many starts in one
	// incident before an older one is tried.
	launchesPerConfig = 2
	// foreignLimit: at so many foreign starts in one incident we stand down.
	foreignLimit = 2
	// bouncesMax: so many processes one after the other while all was well, that
	// nobody explains, are another watchdog's and no person's.
	bouncesMax = 3
	// racedMax: so many times in a row a restore that found the config changed
	// under its hands is begun anew at once.
	racedMax = 5
	// demotionDeaths within demotionTime of its promotion cost a known good
	// its standing.
	demotionDeaths = 3
	demotionTime   = 24 * time.Hour
	// slowFactor times the slowest start learned is still a start, not a death
	// (incident 64).
	slowFactor = 3
	// readyMemory: a ready check that was healthy so recently is asked for
	// again when a start is verified.
	readyMemory = time.Hour
	// tick is the grain of start times in /proc.
	tick = 10 * time.Millisecond
)

// hindering reports whether a start now is held up by something outside the
// config, so that its failure says nothing. A start limit is not such a thing:
// Start clears it. Nor is a permission that is about to be repaired.
func hindering(causes []deadman.Cause, repaired bool) bool {
	return slices.ContainsFunc(causes, func(c deadman.Cause) bool {
		return c.Outside() && c != deadman.StartLimit && (c != deadman.Permission || !repaired)
	})
}

// outside returns the first of causes that has nothing to do with config.
func outside(causes []deadman.Cause) (deadman.Cause, bool) {
	for _, cause := range causes {
		if cause.Outside() {
			return cause, true
		}
	}
	return deadman.CauseUnset, false
}
