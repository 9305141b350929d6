package health

import (
	"context"
	"time"

	"deadman"
)

// Process is the check whether the agent's process is there at all. Its evidence
// is the supervisor's, and comes in with the Owner.
type Process struct{}

func (*Process) kind() Kind { return KindProcess }

func (*Process) probe(_ context.Context, _ time.Time, owner Owner) finding {
	switch owner.Presence {
	case deadman.Running:
		return healthy
	case deadman.Gone:
		return unhealthy("no process")
	}
	return unknown("cannot tell whether there is a process")
}
