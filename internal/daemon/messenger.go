package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/sink/notify"
)

// The limits of one attempt on one target, and of all that a one-shot does to
// deliver. What is not delivered then waits for the next run.
const (
	sendTime    = 15 * time.Second
	messageTime = 5 * time.Second
)

// messenger tells people what becomes of one agent. It reads the log behind a
// cursor of its own; what is to be told waits in the agent's outbox.
type messenger struct {
	d     *Daemon
	agent config.Agent
	dir   string
	// since is when it was made. To targets that are new, only what comes after
	// is news.
	since time.Time
}

// messenger returns that of an agent, nil if nobody is to be told anything.
func (d *Daemon) messenger(a config.Agent) *messenger {
	if len(a.Notify) == 0 {
		return nil
	}
	return &messenger{d: d, agent: a, dir: d.agentDir(a.Name), since: time.Now()}
}

// mark is the file whose presence says that something may wait, and whose time
// says until when it need not be looked at. It is all that a healthy check looks
// at, and is set before anything is recorded: deadman may end before it tells.
func (m *messenger) mark() string { return filepath.Join(m.dir, "notify-due") }

// set sets the mark.
func (m *messenger) set(at time.Time) {
	if m == nil {
		return
	}
	f, err := os.OpenFile(m.mark(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // Where nothing can be written, the next entry sets it again.
	}
	f.Close()
	_ = os.Chtimes(m.mark(), at, at)
}

// due reports whether the mark is set, and its time has come.
func (m *messenger) due() bool {
	if m == nil {
		return false
	}
	info, err := os.Stat(m.mark())
	return err == nil && (!info.ModTime().After(time.Now()) || time.Until(info.ModTime()) > 2*time.Hour)
}

// run takes what is new in the log into the outbox and delivers what waits there.
// It returns when there is something to do again, zero for when there is news. The
// errors are those of targets and of disk and database; nothing is lost by one.
func (m *messenger) run(ctx context.Context, limit time.Duration) (next time.Time, err error) {
	if m == nil {
		return time.Time{}, nil
	}
	turn := flock.New(filepath.Join(m.dir, "notify.lock"), flock.SetPermissions(0o600))
	if ok, err := turn.TryLock(); err != nil || !ok {
		// Another deadman is at it, and may have read the log before our entry.
		next = time.Now().Add(time.Second)
		m.set(next)
		return next, err
	}
	defer turn.Unlock()
	targets, err := m.targets()
	if len(targets) == 0 {
		return time.Time{}, err
	}
	box, berr := notify.Open(m.dir)
	if berr != nil {
		return time.Now().Add(deliveryRetry), errors.Join(err, berr)
	}
	// A database that cannot be read keeps nobody from what waits already.
	cerr := m.collect(ctx, box, targets)
	err = errors.Join(err, cerr, box.Deliver(ctx, targets, limit, time.Now))
	next = box.Due(time.Now(), targets)
	if retry := time.Now().Add(deliveryRetry); cerr != nil && (next.IsZero() || next.After(retry)) {
		next = retry
	}
	if next.IsZero() {
		_ = os.Remove(m.mark())
	} else {
		m.set(next)
	}
	return next, err
}

// targets are those of the agent that can be used, and what is wrong with others.
func (m *messenger) targets() ([]notify.Target, error) {
	var targets []notify.Target
	var errs []error
	for i, url := range m.agent.Notify {
		found, err := notify.Parse(url)
		if err != nil {
			errs = append(errs, fmt.Errorf("notify[%d]: %w", i, err))
		}
		targets = append(targets, found...)
	}
	return targets, errors.Join(errs...)
}

// collect takes what is new in the log into the outbox, and moves the cursor.
func (m *messenger) collect(ctx context.Context, box *notify.Outbox, targets []notify.Target) error {
	log, err := m.d.journal.Log()
	if err != nil {
		return fmt.Errorf("cannot read what is to be told: %w", err)
	}
	sink := "notify " + m.agent.Name
	cursor, err := log.Cursor(ctx, sink)
	if err != nil {
		return err
	}
	last := cursor
	var facts []notify.Fact
	for e, err := range log.Entries(ctx, record.Query{Agent: m.agent.Name, After: cursor}) {
		if err != nil {
			return err
		}
		last = e.ID
		if cursor > 0 || !box.New || e.Time.After(m.since) {
			facts = append(facts, fact(e))
		}
	}
	if err := box.Put(facts, time.Now(), targets, func(msg *notify.Message) { m.finish(ctx, log, msg) }); err != nil {
		return err
	}
	if last == cursor {
		return nil
	}
	return log.Advance(ctx, sink, last)
}

// fact is what an entry says to people, and what it says of whether things are
// well.
func fact(e record.Entry) notify.Fact {
	body := bodyOf(e)
	f := notify.Fact{
		Record: e.ID, Hash: e.Hash, Time: e.Time, Agent: e.Agent, Incident: e.Incident,
		Cause: e.Cause, Reason: e.Reason, Snapshot: e.Snapshot, Reverted: body.Reverted,
		Left: body.Phase == deadman.Stopped,
	}
	if body.Step != nil && body.Step.Event.Round != nil {
		round, up := body.Step.Event.Round, body.Phase == deadman.Up
		// An incident may end although the agent is not ready: that is not well.
		f.Well = up && !round.Partial && round.Ready != deadman.Unhealthy
		live := round.Live
		f.Fine = (up || e.Incident == "") && !live.Unreadable && live.Valid == deadman.Healthy && !live.Held && !live.Bad
	}
	switch e.Kind {
	case kindOutcome:
		if e.Reason == deadman.AcceptedByPerson.String() && e.Outcome == "ok" {
			f.Fine = true // A person has seen to it.
		}
	case kindRollback:
		if ending(e) {
			f.Event = notify.Rollback
		}
	case kindFailed:
		f.Event = notify.Failed
	case string(lifecycle.Alert):
		var reason deadman.Reason
		_ = reason.UnmarshalText([]byte(e.Reason))
		switch reason {
		case deadman.Exhausted: // The entry after it says so.
		case deadman.CandidateHeld:
			f.Event, f.Config = notify.Held, true
		case deadman.BrokenUnderGreen, deadman.HeldVersionBack, deadman.NotCaptured:
			f.Event, f.Config = notify.Alert, true
		case deadman.ForeignStart:
			f.Event = notify.ForeignStart
		case deadman.RivalStarts:
			f.Event = notify.StoodDown
		default:
			f.Event = notify.Alert
		}
	}
	return f
}

// finish adds to a message what the log alone does not say in one entry.
func (m *messenger) finish(ctx context.Context, log *record.Log, msg *notify.Message) {
	msg.Host, _ = os.Hostname()
	switch msg.Event {
	case notify.Held:
		msg.Command = "deadman accept " + m.agent.Name
	case notify.StoodDown:
		msg.Command = "deadman resume " + m.agent.Name
	case notify.Rollback:
		incident, err := collect(ctx, log, record.Query{Agent: m.agent.Name, Incident: msg.Incident})
		if err != nil {
			return // It is said without.
		}
		before := slices.DeleteFunc(slices.Clone(incident), func(e record.Entry) bool { return e.ID >= msg.Record })
		if decided, ok := decision(before); ok {
			msg.Command = undo(decided, incident)
		}
	}
}

// always runs whenever kicked and whenever something is due, until ctx ends. It
// is in nobody's way. A failure is said when it is new.
func (m *messenger) always(ctx context.Context, kick <-chan struct{}, warn func(string)) {
	var said []string
	for {
		next, err := m.run(ctx, sendTime)
		if ctx.Err() != nil {
			return
		}
		var lines []string
		for _, err := range unjoin(err) {
			if line := err.Error(); !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
		for _, line := range lines {
			if !slices.Contains(said, line) {
				warn(m.agent.Name + ": " + line)
			}
		}
		said = lines
		var again <-chan time.Time
		if !next.IsZero() {
			again = time.After(max(time.Until(next), 0))
		}
		select {
		case <-ctx.Done():
			return
		case <-kick:
		case <-again:
		}
	}
}

// once runs for a one-shot, after it has let go of the agent, and adds to its
// report what could not be done. That is no failure of what the one-shot did.
func (m *messenger) once(ctx context.Context, r *api.Agent) {
	if !m.due() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, messageTime)
	defer cancel()
	_, err := m.run(ctx, messageTime)
	for _, err := range unjoin(err) {
		find(r, err)
	}
}

// unjoin returns the errors that were joined.
func unjoin(err error) []error {
	var joined interface{ Unwrap() []error }
	if err == nil {
		return nil
	}
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, unjoin(one)...)
	}
	return all
}
