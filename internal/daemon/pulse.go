package daemon

import (
	"sync"
	"time"

	"deadman/internal/config"
)

// pulse tells whether the guards of a watch go on. Each says, whenever it begins
// something, by when it will be heard again; one that is late hangs, and the
// process had better be ended by who owns it: agents live on without it.
type pulse struct {
	mu  sync.Mutex
	due map[string]time.Time // by agent
}

// pulseSlack is what a guard may take beyond its own limits: for a disk that is
// slow, or a validator without one.
const pulseSlack = 5 * time.Minute

// beat promises another beat of this agent's guard within d, and the slack.
func (p *pulse) beat(a config.Agent, d time.Duration) {
	limit := d + a.StartTimeout + a.StopTimeout + a.KillDelay + a.Timeout + pulseSlack
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == nil {
		p.due = make(map[string]time.Time)
	}
	p.due[a.Name] = time.Now().Add(limit)
}

// forget is for a guard that has ended.
func (p *pulse) forget(agent string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.due, agent)
}

// late returns an agent whose guard is late, if there is one.
func (p *pulse) late() (agent string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for agent, due := range p.due {
		if now.After(due) {
			return agent, true
		}
	}
	return "", false
}

// Hangs returns an agent whose guard hangs, if there is one.
func (d *Daemon) Hangs() (agent string, ok bool) { return d.pulse.late() }
