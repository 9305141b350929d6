package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// Arg is what a person's word needs beside its verb.
type Arg struct {
	// Snapshot is an id, a unique prefix of one, or "known-good"; of accept it
	// may be empty, which is what is live.
	Snapshot string `json:"snapshot,omitempty"`
	// For is the length of a pause.
	For time.Duration `json:"for,omitempty"`
}

// askTime is how long a live watch is given to answer.
const askTime = 10 * time.Minute

// Tell carries a person's word (stop, start, pause, resume, accept, restore,
// rollback) to who guards the agent, or carries it out itself, and returns how
// the agent stands then.
func (d *Daemon) Tell(ctx context.Context, name, verb string, arg Arg, wait time.Duration) (api.Agent, error) {
	a, err := d.agent(name)
	if err != nil {
		return api.Agent{}, err
	}
	l, err := acquire(ctx, d.agentDir(name), name, false, wait)
	var busy *BusyError
	if errors.As(err, &busy) {
		if !readActor(d.agentDir(name)).Watch {
			return api.Agent{}, busy
		}
		answer := d.askRaw(ctx, a, verb, arg, max(wait, askTime))
		if answer.Error != "" {
			return answer.Agent, &saidError{answer.Error, answer.Hint}
		}
		return answer.Agent, nil
	}
	if err != nil {
		return api.Agent{}, err
	}
	defer l.release()
	k, err := d.newKeeper(ctx, name)
	if err != nil {
		return api.Agent{}, err
	}
	defer k.close()
	k.journal.begin = func() { l.announce(false) }
	err = k.obey(ctx, verb, arg)
	if k.journal.written > 0 {
		if derr := d.deliver(ctx); derr != nil {
			err = errors.Join(err, derr)
		}
	}
	return k.report(), err
}

// obey carries out a word in this process.
func (k *keeper) obey(ctx context.Context, verb string, arg Arg) error {
	if err := k.guard.Resume(ctx); err != nil {
		return err
	}
	word, err := k.word(ctx, verb, arg)
	if err != nil {
		return err
	}
	if err := k.guard.Hear(ctx, *word); err != nil {
		return err
	}
	switch word.Verb {
	case lifecycle.StartNow, lifecycle.Restore, lifecycle.Rollback, lifecycle.Resume, lifecycle.Accept:
		return k.guard.Once(ctx)
	}
	return nil
}

// word builds what the lifecycle hears, and refuses what makes no sense now.
func (k *keeper) word(ctx context.Context, verb string, arg Arg) (*lifecycle.Word, error) {
	w, s := k.world, k.guard.State
	word := &lifecycle.Word{Verb: lifecycle.Verb(verb)}
	switch word.Verb {
	case lifecycle.Pause:
		word.Until = k.guard.Now().Add(arg.For)
	case lifecycle.Resume, lifecycle.StopNow:
	case lifecycle.StartNow:
		in, err := w.sup.Inspect(ctx)
		if err == nil && in.Presence == deadman.Running {
			return nil, fmt.Errorf("cannot start %s: it is running as process %d", w.agent.Name, in.Process.PID)
		}
	case lifecycle.Rollback:
		if s.Known.IsZero() {
			return nil, &saidError{fmt.Sprintf("cannot roll back %s: nothing is known to be good", w.agent.Name), "deadman snapshots lists what is stored"}
		}
		word.Config = s.Known.Config
	case lifecycle.Accept, lifecycle.Restore:
		m, err := w.choose(ctx, s, arg.Snapshot)
		if err != nil {
			return nil, err
		}
		word.Config = lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)}
	default:
		return nil, fmt.Errorf("cannot do %q: no such word", verb)
	}
	return word, nil
}

// choose finds the snapshot that a person named.
func (w *world) choose(ctx context.Context, s lifecycle.State, id string) (snapshot.Manifest, error) {
	switch id {
	case "known-good":
		return w.store.Load(s.Known.Snapshot)
	case "":
		// Wherever links lead: that it is meant is what this word says.
		look, err := snapshot.Observe(ctx, w.looked(), w.limits)
		if err != nil {
			return snapshot.Manifest{}, err
		}
		return w.store.Save(look, w.sets, snapshot.Meta{Now: time.Now(), AgentVersion: w.memo.Version, Evidence: "accept"})
	}
	return w.store.Load(id)
}

// saidError is an error that a watch answered with.
type saidError struct{ text, hint string }

func (e *saidError) Error() string { return e.text }

// Hint is the hint of the answer.
func (e *saidError) Hint() string { return e.hint }

// answer is what a watch says to a word.
type answer struct {
	Agent api.Agent `json:"agent"`
	Error string    `json:"error,omitempty"`
	Hint  string    `json:"hint,omitempty"`
}

// ask has a live watch do something, and returns how the agent stands then.
func (d *Daemon) ask(ctx context.Context, a config.Agent, verb string, arg Arg, wait time.Duration) api.Agent {
	said := d.askRaw(ctx, a, verb, arg, wait)
	if said.Error != "" {
		said.Agent.Name = a.Name
		said.Agent.Findings = append(said.Agent.Findings, said.Error)
		if said.Agent.Exit == api.ExitOK {
			said.Agent.Exit = api.ExitFailed
		}
	}
	return said.Agent
}

// askPoll is how often an answer is looked for.
const askPoll = 20 * time.Millisecond

// askRaw posts to the inbox and waits for the answer. A word that was not taken
// up in time is withdrawn, so that nobody obeys it hours later.
func (d *Daemon) askRaw(ctx context.Context, a config.Agent, verb string, arg Arg, wait time.Duration) answer {
	log, err := d.journal.Log()
	if err != nil {
		return answer{Error: err.Error()}
	}
	args, err := json.Marshal(arg)
	if err != nil {
		return answer{Error: err.Error()}
	}
	id, err := log.Post(ctx, a.Name, verb, args, d.opts.By, time.Now())
	if err != nil {
		return answer{Error: err.Error()}
	}
	ring(d.agentDir(a.Name))
	deadline := time.Now().Add(wait)
	for {
		text, ok, err := log.Answered(ctx, id)
		if err != nil {
			return answer{Error: err.Error()}
		}
		if ok {
			var said answer
			if err := json.Unmarshal(text, &said); err != nil {
				return answer{Error: err.Error()}
			}
			return said
		}
		alive := readActor(d.agentDir(a.Name)).Watch
		if !alive || ctx.Err() != nil || time.Now().After(deadline) {
			if _, err := log.Withdraw(context.WithoutCancel(ctx), id); err != nil {
				return answer{Error: err.Error()}
			}
			return answer{Agent: api.Agent{Exit: api.ExitBusy}, Error: "cannot get an answer from the watch that guards " + a.Name}
		}
		time.Sleep(askPoll)
	}
}

// bell is the file in an agent's directory whose change wakes its watch.
const bell = "inbox"

// ring wakes the watch on the agent in dir.
func ring(dir string) {
	path := filepath.Join(dir, bell)
	now := time.Now()
	if os.Chtimes(path, now, now) != nil {
		_ = os.WriteFile(path, nil, 0o600)
	}
}

// requests takes what is in the inbox. Each becomes one request to the guard;
// its answer goes back the same way.
func (k *keeper) requests(ctx context.Context, log *record.Log) ([]guard.Request, error) {
	pending, err := log.Pending(ctx, k.world.agent.Name)
	if err != nil {
		return nil, err
	}
	var requests []guard.Request
	for _, command := range pending {
		if ok, err := log.Claim(ctx, command.ID); err != nil || !ok {
			continue
		}
		var arg Arg
		if len(command.Args) > 0 {
			if err := json.Unmarshal(command.Args, &arg); err != nil {
				continue
			}
		}
		requests = append(requests, guard.Request{
			Word: func() (*lifecycle.Word, error) {
				k.journal.fresh = nil
				if command.Verb == "check" {
					return nil, nil
				}
				k.journal.by = command.By
				return k.word(ctx, command.Verb, arg)
			},
			Answer: func(err error) {
				said := answer{Agent: k.report()}
				if err != nil {
					said.Error = err.Error()
					var hinted interface{ Hint() string }
					if errors.As(err, &hinted) {
						said.Hint = hinted.Hint()
					}
				}
				text, merr := json.Marshal(said)
				if merr == nil {
					_ = log.Answer(context.WithoutCancel(ctx), command.ID, text)
				}
			},
		})
	}
	return requests, nil
}
