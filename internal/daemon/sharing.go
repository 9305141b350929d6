package daemon

import (
	"fmt"
	"sync"

	"deadman/internal/config"
)

// sharing remembers that no agent's files are another's, for the agents that it
// was asked for last: the links to all roots are followed once, not once for
// each agent.
type sharing struct {
	mu    sync.Mutex
	clean *config.Agent // the first of the agents that were looked at
}

// refused returns an error if the agent must give way to another, or to another
// set of its own, because links lead both to the same files. A file belongs to
// one agent, or two would put it back at once.
func (s *sharing) refused(agents []config.Agent, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sets := 0
	for _, a := range agents {
		sets += len(a.Config)
	}
	if sets < 2 || s.clean == &agents[0] {
		return nil
	}
	found := config.Share(agents, real)
	if len(found) == 0 {
		s.clean = &agents[0]
		return nil
	}
	for _, f := range found {
		if f.Agent == name {
			return &sharedError{f}
		}
	}
	return nil
}

// sharedError is that an agent's config set has files of another's.
type sharedError struct{ is config.Shared }

func (e *sharedError) Error() string {
	return fmt.Sprintf("cannot guard %s: links lead %s in %s and %s in %s, of agent %s, to the same files",
		e.is.Agent, e.is.Pattern, e.is.Root, e.is.OtherPattern, e.is.OtherRoot, e.is.OtherAgent)
}

// Hint says what a person can do about it.
func (e *sharedError) Hint() string {
	return "exclude them in one of the two, or list them under `reads`"
}
