package cause

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"deadman/internal/proc"
)

// port: somebody else listens where it must. Whoever looks has stopped the agent,
// or names what is left of it in Own.
func port(_ context.Context, a Agent) *Finding {
	if a.Port == 0 {
		return nil
	}
	sockets, err := proc.Listening(a.Port)
	if err != nil {
		return not("cannot tell: the listening sockets cannot be seen")
	}
	if len(sockets) == 0 {
		return not("nobody listens on port %d", a.Port)
	}
	holders, err := proc.Holders(sockets)
	var others []string
	for _, h := range holders {
		// systemd holds the port of a unit that it starts on the first connection.
		if slices.Contains(a.Own, h.PID) || h.PID == 1 && h.Comm == "systemd" {
			continue
		}
		others = append(others, fmt.Sprintf("process %d (%s)", h.PID, h.Comm))
	}
	switch {
	case len(others) > 0:
		return holds("%s listens on port %d and is not the agent's", strings.Join(others, ", "), a.Port)
	case err != nil:
		return not("cannot tell: it cannot be seen who listens on port %d", a.Port)
	}
	return not("whoever listens on port %d does so for the agent", a.Port)
}
