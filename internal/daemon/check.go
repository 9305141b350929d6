package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/confine"
	"deadman/internal/restore"
)

// Check makes one round on each agent, all at once, and carries every recovery
// to where a one-shot may end. Where a live watch guards an agent it is asked
// instead; wait bounds how long another actor is waited for.
func (d *Daemon) Check(ctx context.Context, names []string, wait time.Duration) (api.Report, error) {
	agents, err := d.agents(names)
	if err != nil {
		return api.Report{}, err
	}
	report := api.Report{Schema: api.Schema, Agents: make([]api.Agent, len(agents))}
	var all sync.WaitGroup
	pings := d.rounds(ctx, agents)
	for i, a := range agents {
		all.Go(func() {
			report.Agents[i] = d.checkOne(ctx, a, wait)
			if err := pings[a.Name].end(ctx, report.Agents[i].Exit); err != nil {
				find(&report.Agents[i], err)
			}
		})
	}
	all.Wait()
	return report, nil
}

// checkOne makes one round on one agent. People are told of it when the agent has
// been let go of: whoever wants to act on it need not wait for that.
func (d *Daemon) checkOne(ctx context.Context, a config.Agent, wait time.Duration) api.Agent {
	m := d.messenger(a)
	r, ours := d.roundOne(ctx, a, m, wait)
	if ours {
		m.once(ctx, &r)
		if err := d.publishDue(ctx, a); err != nil {
			find(&r, err)
		}
	}
	return r
}

// roundOne makes one round on one agent; ours says that it was this process that
// made it.
func (d *Daemon) roundOne(ctx context.Context, a config.Agent, m *messenger, wait time.Duration) (r api.Agent, ours bool) {
	l, said, err := d.reach(ctx, a, "check", Arg{}, wait)
	if said != nil {
		r := said.Agent
		if said.Error != "" {
			r.Name = a.Name
			find(&r, &saidError{said.Error, said.Hint})
			if r.Exit == api.ExitOK {
				r.Exit = api.ExitFailed
			}
		}
		return r, false
	}
	if err != nil {
		r := broken(a, err)
		if errors.As(err, new(*BusyError)) {
			r.Exit = api.ExitBusy
		}
		return r, false
	}
	defer l.release()
	k, err := d.newKeeper(ctx, a.Name)
	if err != nil {
		return broken(a, ended(ctx, err)), true
	}
	defer k.close()
	k.journal.begin = func() { l.announce(false) }
	k.journal.news = m
	orphan := a.Supervisor.Child != nil
	if orphan && k.guard.State.Pending.Deed() {
		// A watch died in the middle of a recovery. To go on with it would be to
		// act.
		r := k.report()
		r.Exit = api.ExitUnknown
		r.Findings = append(r.Findings, "a recovery was interrupted; `deadman watch` or `deadman run` goes on with it")
		return r, true
	}
	if orphan {
		// Nobody would own what a one-shot starts.
		k.guard.Policy.Observe = true
	}
	err = k.guard.Once(ctx)
	k.world.tick()
	r = k.report()
	if err != nil && ctx.Err() != nil {
		// What was under way says only that, each in its own words.
		r.Checks, r.Findings, r.Hints = nil, nil, nil
	}
	if err != nil {
		r.Exit = api.ExitFailed
		find(&r, ended(ctx, err))
	}
	switch {
	case orphan && r.State == deadman.Dead:
		r.Exit = api.ExitUnknown
		r.Findings = append(r.Findings, "it is a child, which only `deadman watch` or `deadman run` can start")
	case orphan:
		r.Findings = append(r.Findings, "it is a child and nobody watches it: when it dies, only `deadman watch` or `deadman run` can start it")
	}
	if ctx.Err() != nil {
		return r, true
	}
	if err := d.deliverOf(ctx, k); err != nil {
		find(&r, err)
	}
	if k.journal.written > 0 {
		if err := k.reserve(); err != nil {
			find(&r, err)
		}
	}
	return r, true
}

// broken is the report on an agent that could not be looked at.
func broken(a config.Agent, err error) api.Agent {
	r := api.Agent{Name: a.Name, Exit: api.ExitFailed}
	var shared *sharedError
	if errors.As(err, &shared) {
		r.Exit = api.ExitUsage
	}
	find(&r, err)
	return r
}

// ended is err, or why there is one at all: somebody has told us to end.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &saidError{"cannot go on: deadman was told to end in the middle of a round", "nothing is lost: the next `deadman check` goes on with it"}
}

// find adds an error to a report, with its hint if it has one.
func find(r *api.Agent, err error) {
	r.Findings = append(r.Findings, err.Error())
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		r.Hints = append(r.Hints, hinted.Hint())
	}
}

// Finish completes a restore that was interrupted, and does nothing else: for
// ExecStartPre, so that no supervisor ever starts an agent on half a set.
func (d *Daemon) Finish(ctx context.Context, name string) error {
	if _, err := d.agent(name); err != nil {
		return err
	}
	l, err := acquire(ctx, d.agentDir(name), name, false, 0)
	var busy *BusyError
	if errors.As(err, &busy) {
		return nil // Whoever has it in hand is finishing it.
	}
	if err != nil {
		return err
	}
	defer l.release()
	plan, ok, err := restore.Load(d.agentDir(name))
	if err != nil || !ok || plan.Abandoned {
		return err
	}
	store, err := d.store(name)
	if err != nil {
		return err
	}
	defer store.Close()
	// The plan stays where it is: the guard that takes up the recovery finds it
	// carried out, and says so in its own record.
	confine.Do(rulesOf(plan, d.agentDir(name)), func() { _, err = restore.Execute(ctx, plan, store) })
	if err != nil {
		return fmt.Errorf("cannot finish putting back %s: %w", plan.Snapshot, err)
	}
	return nil
}
