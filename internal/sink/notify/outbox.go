package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"deadman/internal/atomicfile"
)

// fileName is the outbox in an agent's directory.
const fileName = "notify.json"

// The gaps between attempts on a target that fails, and the longest that one may
// ask for.
const (
	gapFirst = 5 * time.Second
	gapMost  = 10 * time.Minute
	waitMax  = time.Hour
)

// refusedMax is how often one message may be refused for what it is before it is
// given up: those behind it would wait for ever.
const refusedMax = 5

// waitingMax bounds the messages that wait; the cooldown makes it weeks.
const waitingMax = 500

// Outbox is what waits for its targets, of one agent. It is for one goroutine.
type Outbox struct {
	dir string
	// New: there was no file.
	New bool
	box box
}

// box is an Outbox in its file.
type box struct {
	Ledger  Ledger           `json:"ledger"`
	Waiting []waiting        `json:"waiting,omitempty"` // oldest first
	Trials  map[string]Trial `json:"trials,omitempty"`  // by the target's ID
	// Last is the hash of the newest fact that was taken: facts come again, if
	// deadman ends before it has noted how far it was.
	Last string `json:"last,omitempty"`
}

type waiting struct {
	Message Message  `json:"message"`
	For     []string `json:"for"` // the IDs of targets that have yet to take it
	Refused int      `json:"refused,omitempty"`
}

// Trial is a target that does not take messages now.
type Trial struct {
	Failures int       `json:"failures"`
	Next     time.Time `json:"next"`
}

// Open reads the outbox in dir. One that cannot be understood is begun anew: it
// is better to say something twice than nothing any more.
func Open(dir string) (*Outbox, error) {
	o := &Outbox{dir: dir}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the outbox: %w", err)
	}
	defer root.Close()
	text, err := root.ReadFile(fileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.New = true
	case err != nil:
		return nil, fmt.Errorf("cannot read the outbox: %w", err)
	case json.Unmarshal(text, &o.box) != nil:
		o.box = box{}
	}
	return o, nil
}

func (o *Outbox) save() error {
	text, err := json.Marshal(o.box)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return fmt.Errorf("cannot open the outbox: %w", err)
	}
	defer root.Close()
	if err := atomicfile.WriteFile(root, fileName, text, 0o600); err != nil {
		return fmt.Errorf("cannot write the outbox: %w", err)
	}
	return nil
}

// Put takes facts into the ledger and what is to be said, for targets, into the
// outbox, with what finish adds to each. When it returns, that is on disk: only
// then may the cursor move on. With no facts it looks whether something that was
// withheld is due.
func (o *Outbox) Put(facts []Fact, now time.Time, targets []Target, finish func(*Message)) error {
	again := slices.IndexFunc(facts, func(f Fact) bool { return f.Hash == o.box.Last })
	facts = facts[again+1:]
	if n := len(facts); n > 0 {
		o.box.Last = facts[n-1].Hash
	}
	messages := append(o.box.Ledger.Take(facts, now), o.box.Ledger.Flush(now)...)
	for _, m := range messages {
		finish(&m)
		w := waiting{Message: m}
		for _, t := range targets {
			w.For = append(w.For, t.ID)
		}
		o.box.Waiting = append(o.box.Waiting, w)
	}
	o.box.Waiting = slices.Clone(o.box.Waiting[max(0, len(o.box.Waiting)-waitingMax):])
	if len(facts) == 0 && len(messages) == 0 && !o.New {
		return nil
	}
	o.New = false
	return o.save()
}

// Due is when Deliver or Put has something to do next, zero if nothing waits.
func (o *Outbox) Due(now time.Time, targets []Target) time.Time {
	due := o.box.Ledger.Due()
	for _, w := range o.box.Waiting {
		for _, t := range targets {
			if !slices.Contains(w.For, t.ID) {
				continue
			}
			next := o.box.Trials[t.ID].Next
			if next.Before(now) {
				next = now
			}
			if due.IsZero() || next.Before(due) {
				due = next
			}
		}
	}
	if most := now.Add(waitMax); due.After(most) {
		due = most // The clock was set back.
	}
	return due
}

// Waiting is how many messages wait for any of the targets, and the services of
// those that did not take the last one.
func (o *Outbox) Waiting(targets []Target) (n int, failing []string) {
	for _, w := range o.box.Waiting {
		if slices.ContainsFunc(targets, func(t Target) bool { return slices.Contains(w.For, t.ID) }) {
			n++
		}
	}
	for _, t := range targets {
		if _, ok := o.box.Trials[t.ID]; ok && !slices.Contains(failing, t.Service) {
			failing = append(failing, t.Service)
		}
	}
	return n, failing
}

// Deliver sends what waits to all targets at once, to each in its order and until
// the first failure. Each delivery is on disk before the next. The error joins
// the failures, a *SendError each; what they concern waits on.
func (o *Outbox) Deliver(ctx context.Context, targets []Target, limit time.Duration, now func() time.Time) error {
	o.forget(targets)
	mine := make([][]Message, len(targets))
	for i, t := range targets {
		trial := o.box.Trials[t.ID]
		if wait := trial.Next.Sub(now()); wait > 0 && wait <= waitMax {
			continue
		}
		for _, w := range o.box.Waiting {
			if slices.Contains(w.For, t.ID) {
				mine[i] = append(mine[i], w.Message)
			}
		}
	}
	var mu sync.Mutex // over o.box and errs
	var errs []error
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() {
			for _, m := range mine[i] {
				limited, cancel := context.WithTimeout(ctx, limit)
				err := t.Send(limited, m)
				cancel()
				mu.Lock()
				// That we are told to end says nothing of the target.
				if !errors.Is(ctx.Err(), context.Canceled) || err == nil {
					err = o.note(t, m, err, now())
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// note keeps how an attempt came out.
func (o *Outbox) note(t Target, m Message, err error, now time.Time) error {
	var failed *SendError
	refused := errors.As(err, &failed) && failed.Refused
	done := err == nil
	for i := range o.box.Waiting {
		w := &o.box.Waiting[i]
		if w.Message.Key != m.Key {
			continue
		}
		if refused {
			w.Refused++
			done = w.Refused >= refusedMax
		}
		if done {
			w.For = slices.DeleteFunc(w.For, func(id string) bool { return id == t.ID })
		}
		break
	}
	o.box.Waiting = slices.DeleteFunc(o.box.Waiting, func(w waiting) bool { return len(w.For) == 0 })
	if err == nil {
		delete(o.box.Trials, t.ID)
		return o.save()
	}
	trial := o.box.Trials[t.ID]
	trial.Failures++
	gap := gapMost
	if trial.Failures < 9 {
		gap = min(gapFirst<<(trial.Failures-1), gapMost)
	}
	if failed != nil {
		gap = max(gap, failed.After)
	}
	trial.Next = now.UTC().Round(0).Add(gap)
	if o.box.Trials == nil {
		o.box.Trials = map[string]Trial{}
	}
	o.box.Trials[t.ID] = trial
	return errors.Join(err, o.save())
}

// forget drops what waits for targets that are no more.
func (o *Outbox) forget(targets []Target) {
	gone := func(id string) bool {
		return !slices.ContainsFunc(targets, func(t Target) bool { return t.ID == id })
	}
	for i := range o.box.Waiting {
		o.box.Waiting[i].For = slices.DeleteFunc(o.box.Waiting[i].For, gone)
	}
	o.box.Waiting = slices.DeleteFunc(o.box.Waiting, func(w waiting) bool { return len(w.For) == 0 })
	for id := range o.box.Trials {
		if gone(id) {
			delete(o.box.Trials, id)
		}
	}
}
