package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/snapshot"
	"deadman/internal/validate"
)

// Arg is what a person's word needs beside its verb.
type Arg struct {
	// Snapshot is an id, a unique prefix of one, or "known-good"; of accept it
	// may be empty or "live", which is the same.
	Snapshot string `json:"snapshot,omitempty"`
	// For is the length of a pause, or the time to confirm in.
	For time.Duration `json:"for,omitempty"`
	// From is a directory, and Ref a commit of the canonical repository: one of
	// them has what is to be applied.
	From string `json:"from,omitempty"`
	Ref  string `json:"ref,omitempty"`
	// Reload and Force are those of lifecycle.Word.
	Reload bool `json:"reload,omitempty"`
	Force  bool `json:"force,omitempty"`
}

// askTime is how long a live watch is given to answer, and takeTime to take the
// word up, which it does at once, whatever else it has in hand: one that does
// not is stuck.
const (
	askTime  = 10 * time.Minute
	takeTime = 10 * time.Second
)

// Tell carries a person's word (stop, start, pause, resume, accept, restore,
// rollback, apply, arm, confirm) to who guards the agent, or carries it out itself, and returns how
// the agent stands then.
func (d *Daemon) Tell(ctx context.Context, name, verb string, arg Arg, wait time.Duration) (api.Agent, error) {
	a, err := d.agent(name)
	if err != nil {
		return api.Agent{}, err
	}
	m := d.messenger(a)
	r, ours, err := d.tell(ctx, a, m, verb, arg, wait)
	if ours {
		m.once(ctx, &r)
		if perr := d.publishDue(ctx, a); perr != nil {
			find(&r, perr)
		}
	}
	if r.Exit == api.ExitOK && slices.Contains(notDone, r.Reason) {
		r.Exit = api.ExitFailed
	}
	return r, err
}

// notDone are the reasons of a restart in place of what was asked for.
var notDone = []deadman.Reason{deadman.CannotKeep, deadman.CannotRestore}

// tell is Tell without telling others of it; ours says that the word was carried
// out by this process.
func (d *Daemon) tell(ctx context.Context, a config.Agent, m *messenger, verb string, arg Arg, wait time.Duration) (r api.Agent, ours bool, err error) {
	name := a.Name
	l, said, err := d.reach(ctx, a, verb, arg, wait)
	if said != nil {
		switch {
		case said.busy != nil:
			err = said.busy
		case said.Refused != 0:
			err = &RefusedError{saidError{said.Error, said.Hint}, said.Refused}
		case said.Error != "":
			err = &saidError{said.Error, said.Hint}
		}
		return said.Agent, false, err
	}
	if err != nil {
		return api.Agent{}, false, err
	}
	defer l.release()
	if a.Supervisor.Child != nil && (verb == string(lifecycle.Apply) || verb == string(lifecycle.Arm)) {
		return api.Agent{}, false, refuse("`deadman watch` or `deadman run` does", "cannot %s %s: it is a child and nobody watches it, so nobody would put anything back", verb, name)
	}
	k, err := d.newKeeper(ctx, name)
	if err != nil {
		return api.Agent{}, false, ended(ctx, err)
	}
	defer k.close()
	k.journal.begin = func() { l.announce(false) }
	k.journal.news = m
	err = k.obey(ctx, verb, arg)
	if ctx.Err() == nil {
		if derr := d.deliverOf(ctx, k); derr != nil {
			err = errors.Join(err, derr)
		}
	}
	return k.report(), true, ended(ctx, err)
}

// obey carries out a word in this process.
func (k *keeper) obey(ctx context.Context, verb string, arg Arg) error {
	if err := k.guard.Resume(ctx); err != nil {
		return err
	}
	word, err := k.word(ctx, verb, arg)
	if err != nil || word == nil {
		return err
	}
	if err := k.guard.Hear(ctx, *word); err != nil {
		return err
	}
	switch word.Verb {
	case lifecycle.StartNow, lifecycle.Restore, lifecycle.Rollback, lifecycle.Resume, lifecycle.Accept, lifecycle.Apply:
		return k.guard.Once(ctx)
	}
	return nil
}

// word builds what the lifecycle hears, nil if there is nothing to be done, and
// refuses what makes no sense now.
func (k *keeper) word(ctx context.Context, verb string, arg Arg) (*lifecycle.Word, error) {
	w, s := k.world, k.guard.State
	word := &lifecycle.Word{Verb: lifecycle.Verb(verb)}
	switch word.Verb {
	case lifecycle.Pause:
		word.Until = k.guard.Now().Add(arg.For)
	case lifecycle.Apply:
		return k.applying(ctx, arg)
	case lifecycle.Arm:
		return k.arming(ctx, arg)
	case lifecycle.Confirm:
		if err := k.confirming(); err != nil {
			return nil, err
		}
	case lifecycle.Resume, lifecycle.StopNow:
	case lifecycle.StartNow:
		in, err := w.sup.Inspect(ctx)
		if err == nil && in.Presence == deadman.Running {
			return nil, fmt.Errorf("cannot start %s: it is running as process %d", w.agent.Name, in.Process.PID)
		}
	case lifecycle.Rollback:
		if s.Known.IsZero() {
			return nil, &saidError{fmt.Sprintf("cannot roll back %s: nothing is known to be good", w.agent.Name), listing(w.agent.Name)}
		}
		word.Config = s.Known.Config
	case lifecycle.Accept, lifecycle.Restore:
		if word.Verb == lifecycle.Restore && arg.Snapshot == wordLive {
			return nil, &saidError{fmt.Sprintf("cannot restore what is live of %s: it is in place", w.agent.Name), listing(w.agent.Name)}
		}
		m, look, err := w.choose(ctx, s, arg.Snapshot)
		if err != nil {
			return nil, err
		}
		if word.Verb == lifecycle.Accept {
			if err := w.unfit(ctx, m, look); err != nil {
				return nil, err
			}
		}
		word.Config = lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)}
	default:
		return nil, fmt.Errorf("cannot do %q: no such word", verb)
	}
	return word, nil
}

// choose finds the snapshot that a person named; the look is of what is live, if
// that was meant.
func (w *world) choose(ctx context.Context, s lifecycle.State, id string) (m snapshot.Manifest, look *snapshot.Look, err error) {
	switch id {
	case "known-good":
		if s.Known.IsZero() {
			return m, nil, noKnownGood(w.agent.Name)
		}
		m, err = w.store.Load(s.Known.Snapshot)
	case "", wordLive:
		// Wherever links lead: that it is meant is what this word says.
		if look, err = w.look(ctx); err == nil {
			m, err = w.stored(look, snapshot.Meta{Now: time.Now(), AgentVersion: w.memo.Version, Evidence: "accept"})
		}
	default:
		if m, err = w.store.Load(id); errors.Is(err, fs.ErrNotExist) {
			err = &saidError{err.Error(), listing(w.agent.Name)}
		}
	}
	return m, look, err
}

// unfit is why nobody can vouch for a version: it does not validate. A person
// overrides the guards, which guess; a file that does not parse is none. The
// user's validator is asked of what is live, which is what it may look at.
func (w *world) unfit(ctx context.Context, m snapshot.Manifest, look *snapshot.Look) error {
	var damage error
	findings := validate.Syntax(w.files(m.Members, func(name string) []byte {
		member, ok := m.Member(name)
		if !ok || member.Type != snapshot.File {
			return nil
		}
		bytes, err := w.store.ReadFile(m.ID, name)
		damage = errors.Join(damage, err)
		return bytes
	}))
	if damage != nil {
		return damage
	}
	if len(findings) == 0 && look != nil && len(w.agent.Validate) > 0 {
		if finding, ok := w.validator(ctx, look); !ok && finding.Kind != validate.KindCommandUnknown {
			findings = append(findings, finding)
		}
	}
	if len(findings) == 0 {
		return nil
	}
	return &saidError{
		fmt.Sprintf("cannot accept %s of %s: it does not validate: %s", m.ID, w.agent.Name, findings[0]),
		"accept overrides the guards, and no error in the config; mend it first",
	}
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
	// Refused is the Exit of a RefusedError.
	Refused int `json:"refused,omitempty"`

	// busy: there was none.
	busy *BusyError
	// gone: the watch has ended, and has not taken the word up.
	gone bool
}

// reach takes the lock of an agent, waiting at most wait for it, so that something
// can be done here; or has the live watch that guards it do it, and returns what
// that said.
func (d *Daemon) reach(ctx context.Context, a config.Agent, verb string, arg Arg, wait time.Duration) (*lock, *answer, error) {
	for {
		l, err := acquire(ctx, d.agentDir(a.Name), a.Name, false, wait)
		var busy *BusyError
		if !errors.As(err, &busy) || !busy.Watch {
			return l, nil, err
		}
		said := d.ask(ctx, a, verb, arg, max(wait, askTime))
		if !said.gone {
			return nil, &said, nil
		}
		wait = max(wait, time.Second) // It is about to let go of the lock.
	}
}

// askPoll is how often an answer is looked for.
const askPoll = 20 * time.Millisecond

// ask posts to the inbox of a live watch and waits for the answer. A word that was not
// taken up in time is withdrawn, so that nobody obeys it hours later.
func (d *Daemon) ask(ctx context.Context, a config.Agent, verb string, arg Arg, wait time.Duration) answer {
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
	deadline, take := time.Now().Add(wait), time.Now().Add(d.takeTime)
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
		watch := readActor(d.agentDir(a.Name))
		over := !watch.Watch || ctx.Err() != nil || time.Now().After(deadline)
		if over || time.Now().After(take) {
			untaken, err := log.Withdraw(context.WithoutCancel(ctx), id)
			if err != nil {
				return answer{Error: err.Error()}
			}
			if untaken && !watch.Watch && ctx.Err() == nil {
				return answer{gone: true}
			}
			if untaken && ctx.Err() == nil {
				busy := &BusyError{Agent: a.Name, PID: watch.Process.PID, Silent: true}
				return answer{Agent: api.Agent{Exit: api.ExitBusy, Watched: true}, Error: busy.Error(), Hint: busy.Hint(), busy: busy}
			}
			if over {
				return answer{Agent: api.Agent{Exit: api.ExitBusy, Watched: true}, Error: "cannot get an answer from the watch that guards " + a.Name}
			}
			take = deadline // It has it in hand.
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
					var refused *RefusedError
					if errors.As(err, &refused) {
						said.Refused = refused.Exit
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
