package daemon

import (
	"context"
	"sync"
	"time"

	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/sink/notify"
)

// The limits of a ping: of a one-shot, which waits for it, and of a watch, where
// it is in nobody's way. A watch does not say the same again sooner than pingGap.
const (
	pingTime      = 2 * time.Second
	pingTimeWatch = 10 * time.Second
	pingGap       = 5 * time.Second
)

// round pings for the agents of one Check that share a URL: start when the first
// is looked at, and how it went when all are.
type round struct {
	url     string
	started chan struct{} // closed when the start was sent, or given up

	mu   sync.Mutex
	open int // agents whose round goes on
	// made: some round was made by this process, and not left to another; bad: one
	// of them did not end well.
	made, bad bool
	err       error
}

// rounds begins the rounds of agents that have a ping, by agent. Where a watch
// guards an agent, its pings are that one's.
func (d *Daemon) rounds(ctx context.Context, agents []config.Agent) map[string]*round {
	var all, byURL map[string]*round
	for _, a := range agents {
		if a.Ping == "" || readActor(d.agentDir(a.Name)).Watch {
			continue
		}
		if all == nil {
			all, byURL = map[string]*round{}, map[string]*round{}
		}
		r := byURL[a.Ping]
		if r == nil {
			r = &round{url: a.Ping, started: make(chan struct{})}
			byURL[a.Ping] = r
		}
		r.open++
		all[a.Name] = r
	}
	for _, r := range byURL {
		go func() {
			defer close(r.started)
			r.send(ctx, notify.Started)
		}()
	}
	return all
}

// end says how the round on one agent went. The last one sends it, and waits; it
// returns what is wrong with the pings.
func (r *round) end(ctx context.Context, exit int) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	r.open--
	r.made = r.made || exit != api.ExitBusy
	r.bad = r.bad || exit != api.ExitOK && exit != api.ExitBusy
	open, made, bad := r.open, r.made, r.bad
	r.mu.Unlock()
	if open > 0 || !made {
		return nil
	}
	<-r.started // A start that came after the end would be a round that never ends.
	signal := notify.Succeeded
	if bad {
		signal = notify.Failing
	}
	r.send(ctx, signal)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *round) send(ctx context.Context, signal notify.Signal) {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	err := notify.Ping(ctx, r.url, signal)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// pingers are those of a watch, by URL.
type pingers struct {
	mu  sync.Mutex
	all map[string]*pinger
}

// pinger pings one URL for the agents that share it, after their rounds.
type pinger struct {
	url  string
	kick chan struct{}

	mu  sync.Mutex
	bad map[string]bool // by agent: how its last round went
}

// say says how a round on an agent went. The first one on a URL begins to ping
// it, until ctx ends.
func (p *pingers) say(ctx context.Context, a config.Agent, exit int, warn func(string)) {
	if a.Ping == "" {
		return
	}
	p.mu.Lock()
	one := p.all[a.Ping]
	if one == nil {
		one = &pinger{url: a.Ping, kick: make(chan struct{}, 1), bad: map[string]bool{}}
		if p.all == nil {
			p.all = map[string]*pinger{}
		}
		p.all[a.Ping] = one
		go one.always(ctx, a.Name, warn)
	}
	p.mu.Unlock()
	one.mu.Lock()
	one.bad[a.Name] = exit != api.ExitOK
	one.mu.Unlock()
	select {
	case one.kick <- struct{}{}:
	default:
	}
}

// forget is for an agent that is not guarded any more.
func (p *pingers) forget(a config.Agent) {
	p.mu.Lock()
	one := p.all[a.Ping]
	p.mu.Unlock()
	if one != nil {
		one.mu.Lock()
		delete(one.bad, a.Name)
		one.mu.Unlock()
	}
}

// signal is what is to be said now, nothing if no agent is left.
func (p *pinger) signal() (notify.Signal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, bad := range p.bad {
		if bad {
			return notify.Failing, true
		}
	}
	return notify.Succeeded, len(p.bad) > 0
}

// always pings after rounds until ctx ends. A ping that failed is not repeated:
// the next round has its own. A failure is said when it is new.
func (p *pinger) always(ctx context.Context, agent string, warn func(string)) {
	said := ""
	send := func(signal notify.Signal) {
		limited, cancel := context.WithTimeout(ctx, pingTimeWatch)
		defer cancel()
		text := ""
		if err := notify.Ping(limited, p.url, signal); err != nil && ctx.Err() == nil {
			text = err.Error()
		}
		if text != said && text != "" {
			warn(agent + ": " + text)
		}
		said = text
	}
	send(notify.Started)
	last, at := notify.Started, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		}
		signal, ok := p.signal()
		if !ok || signal == last && time.Since(at) < pingGap {
			continue
		}
		send(signal)
		last, at = signal, time.Now()
	}
}
