package daemon

import (
	"context"
	"time"

	"deadman"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
	"deadman/internal/snapshot"
)

// RestoreTwice keeps what is live, begins to restore the known good, dies of it in
// the middle of what crash does, and takes it up again.
func (d *Daemon) RestoreTwice(ctx context.Context, agent string, crash func(known string)) (lifecycle.Outcome, error) {
	k, err := d.newKeeper(ctx, agent)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	defer k.close()
	w, s := k.world, k.guard.State
	look, err := snapshot.Observe(ctx, w.sets, w.limits)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	if _, err := w.save(look, snapshot.Meta{Now: time.Now(), Standing: deadman.Suspect}); err != nil {
		return lifecycle.Outcome{}, err
	}
	s.Incident.Kept = w.facts(look)
	s.Pending = lifecycle.Action{Kind: lifecycle.DoRestore, Snapshot: s.Known.Snapshot}
	if _, err := w.plan(ctx, s, false); err != nil {
		return lifecycle.Outcome{}, err
	}
	crash(s.Known.Snapshot)
	return w.restore(ctx, s, true), nil
}

// SetTakeTime is for a watch that never takes a word up.
func (d *Daemon) SetTakeTime(t time.Duration) { d.takeTime = t }

// ParseCgroup is parseCgroup: the machine of a test has only one cgroup.
var ParseCgroup = parseCgroup

// Fact is fact: entries of every kind are more than one test can bring about.
var Fact = fact

// Pulse is pulse, which is time alone.
type Pulse struct{ pulse }

func (p *Pulse) Beat(a config.Agent, d time.Duration) { p.beat(a, d) }
func (p *Pulse) Late() (string, bool)                 { return p.late() }
func (p *Pulse) Forget(agent string)                  { p.forget(agent) }

// Actor is who holds the agent in dir, as far as is known, and whether that is
// somebody who lives.
func Actor(dir string) (pid int, alive bool) {
	p := readActor(dir).Process
	return p.PID, proc.Alive(p) == deadman.Running
}

// ClockNow is the time of this boot, by the clock that is noted in dir.
func ClockNow(dir string) time.Time {
	boot, _ := proc.BootID()
	return openClock(dir, boot).Now()
}
