package daemon

import (
	"time"

	"deadman/internal/config"
)

// ParseCgroup is parseCgroup: the machine of a test has only one cgroup.
var ParseCgroup = parseCgroup

// Fact is fact: entries of every kind are more than one test can bring about.
var Fact = fact

// Pulse is pulse, which is time alone.
type Pulse struct{ pulse }

func (p *Pulse) Beat(a config.Agent, d time.Duration) { p.beat(a, d) }
func (p *Pulse) Late() (string, bool)                 { return p.late() }
func (p *Pulse) Forget(agent string)                  { p.forget(agent) }
