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
func (d *Daemon) RestoreTwice(ctx context.Context, agent string, crash func(known string)) (o lifecycle.Outcome, err error) {
	err = d.restoring(ctx, agent, func(w *world, s lifecycle.State) error {
		if _, err := w.plan(ctx, s, false); err != nil {
			return err
		}
		crash(s.Known.Snapshot)
		o = w.restore(ctx, s, true)
		return nil
	})
	return o, err
}

// RestoreRaced keeps what is live, and restores the known good after somebody has
// written. What he wrote is kept, and the restore goes on with half of it done.
func (d *Daemon) RestoreRaced(ctx context.Context, agent string, write func()) (first, second lifecycle.Outcome, err error) {
	err = d.restoring(ctx, agent, func(w *world, s lifecycle.State) error {
		if _, err := w.plan(ctx, s, false); err != nil {
			return err
		}
		write()
		first = w.restore(ctx, s, true)
		s.Incident.Half = true
		if s.Incident.Kept, err = w.keepLive(ctx); err != nil {
			return err
		}
		second = w.restore(ctx, s, false)
		return nil
	})
	return first, second, err
}

// restoring calls do when what is live is kept and the known good is to be put back.
func (d *Daemon) restoring(ctx context.Context, agent string, do func(w *world, s lifecycle.State) error) error {
	k, err := d.newKeeper(ctx, agent)
	if err != nil {
		return err
	}
	defer k.close()
	s := k.guard.State
	if s.Incident.Kept, err = k.world.keepLive(ctx); err != nil {
		return err
	}
	s.Pending = lifecycle.Action{Kind: lifecycle.DoRestore, Snapshot: s.Known.Snapshot}
	return do(k.world, s)
}

// keepLive stores what is live.
func (w *world) keepLive(ctx context.Context) (lifecycle.Live, error) {
	look, err := snapshot.Observe(ctx, w.sets, w.limits)
	if err != nil {
		return lifecycle.Live{}, err
	}
	m, err := w.save(look, snapshot.Meta{Now: time.Now(), Standing: deadman.Suspect})
	live := w.facts(look)
	live.Snapshot = m.ID
	return live, err
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
