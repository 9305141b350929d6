package cause

import (
	"context"
	"slices"
	"time"
)

// Version is what is known of an agent's version. It is a name to compare and
// never shown.
type Version struct {
	// Now is the one that would be started now, Good are those under which it has
	// started well on the known good; "" and none are "not known".
	Now  string
	Good []string
	// Changed is when what tells the version was written, Written when a member
	// of the config was, both by the wall clock; zero is not known.
	Changed, Written time.Time
}

// version: it is a new one under which no start was good yet, and nobody touched
// the config since it came. Where both changed together an updater may have
// written the config: that is no outside cause, and lifecycle has a rule for it.
func version(_ context.Context, a Agent) *Finding {
	v := a.Version
	switch {
	case v.Now == "" || len(v.Good) == 0:
		return nil
	case slices.Contains(v.Good, v.Now):
		return not("it has started well under this version")
	case v.Changed.IsZero() || v.Written.IsZero():
		return not("cannot tell: no good start under this version yet, and not known when it came")
	case !v.Written.Before(v.Changed):
		return not("no good start under this version yet, but the config was written after it came")
	}
	return holds("the version changed at %s, no start under it was good yet, and the config was not touched since",
		v.Changed.UTC().Format(time.RFC3339))
}
