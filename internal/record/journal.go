package record

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Journal is a Log that goes on when its database cannot be written. It is safe
// for concurrent use; the spools may be shared with other processes.
type Journal struct {
	dir    string
	spools [2]spool // in the state directory, in the runtime directory
	mirror mirror

	mu  sync.Mutex
	log *Log // nil until something is written
	// busyUntil holds the database off after somebody sat on it for the whole
	// of busyTimeout: the recovery of every agent would wait as long again.
	busyUntil time.Time
	closed    bool
}

// busyPause is how long a database that was held by another program is left
// alone.
const busyPause = 5 * time.Second

// NewJournal returns a journal over the state directory dir, with runtime
// (/run/deadman, or $XDG_RUNTIME_DIR/deadman) as its last resort. boot is the id
// of this boot; without it every Load reads the database. It opens nothing: a
// round that finds nothing to record only ever reads.
func NewJournal(dir, runtime, boot string) *Journal {
	return &Journal{
		dir:    dir,
		spools: [2]spool{{path: filepath.Join(dir, spoolName)}, {path: filepath.Join(runtime, spoolName)}},
		mirror: mirror{dir: filepath.Join(dir, "agents"), boot: boot},
	}
}

// Close closes the database.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.log == nil {
		return nil
	}
	err := j.log.Close()
	j.log = nil
	return err
}

// Log returns the database, opened for writing, for those who need no
// fallback: the inbox, the sinks, the history. It belongs to the journal; do
// not close it, and do not keep it beyond [Journal.SetAside].
func (j *Journal) Log() (*Log, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open()
}

func (j *Journal) open() (*Log, error) {
	if j.closed {
		return nil, errClosed
	}
	if j.log == nil {
		l, err := Open(j.dir)
		if err != nil {
			return nil, err
		}
		j.log = l
	}
	return j.log, nil
}

// Load returns the newest saved state of an agent, from the database, its mirror
// or a spool, or ErrNoState. Any other error means that it is not known. It
// writes nothing.
func (j *Journal) Load(ctx context.Context, agent string) (Saved, error) {
	// The spools come first: one that is emptied meanwhile is in the database
	// when we get there.
	var newest Saved
	var spoolErr error
	for _, s := range j.spools {
		c, err := s.read()
		if err != nil {
			spoolErr = errors.Join(spoolErr, err)
		}
		if saved, ok := c.state(agent); ok && saved.Revision > newest.Revision {
			newest = saved
		}
	}
	stored, err := j.loadStored(ctx, agent)
	switch {
	case err == nil && stored.Revision > newest.Revision:
		newest = stored
	case errors.Is(err, ErrNoState), errors.Is(err, ErrNoLog):
		err = nil
	}
	// A spooled state follows the stored one, so it stands also when the
	// database cannot be read; nothing stands for a spool that cannot.
	if spoolErr != nil {
		return Saved{}, fmt.Errorf("cannot load the state of agent %q: %w", agent, spoolErr)
	}
	if newest.Revision > 0 {
		return newest, nil
	}
	if err == nil {
		err = fmt.Errorf("cannot load the state of agent %q: %w", agent, ErrNoState)
	}
	return Saved{}, err
}

func (j *Journal) loadStored(ctx context.Context, agent string) (Saved, error) {
	j.mu.Lock()
	l, closed := j.log, j.closed
	j.mu.Unlock()
	if closed {
		return Saved{}, errClosed
	}
	if l != nil {
		return l.Load(ctx, agent)
	}
	if saved, ok := j.mirror.read(agent, filepath.Join(j.dir, fileName)); ok {
		return saved, nil
	}
	l, err := OpenReadOnly(j.dir)
	if errors.Is(err, sqlite3.READONLY) {
		// The power went while the database was created. What was half written
		// must be taken back first, and only a writer can.
		if l, err = j.Log(); err != nil {
			return Saved{}, err
		}
		return l.Load(ctx, agent)
	}
	if err != nil {
		return Saved{}, err
	}
	// Giving its memory back takes as long as the rest of a healthy check, and a
	// process that is about to end need not wait for it.
	defer func() { go l.Close() }()
	return l.Load(ctx, agent)
}

// Receipt is what became of a commit.
type Receipt struct {
	// Saved carries the new revision.
	Saved Saved
	// Entries have no ID, Prev or Hash while they are spooled.
	Entries []Entry
	Place   Place
	// Err is why the place is not the database; nil there. It wraps ErrCorrupt
	// when [Journal.SetAside] is the remedy.
	Err error
}

// Commit saves a state with its entries in the best place that takes them, see
// [Log.Commit]. The error is ErrRevision, a canceled context, entries that
// cannot be stored anywhere, or, with the place Nowhere, that every place failed.
func (j *Journal) Commit(ctx context.Context, saved Saved, entries []Entry) (Receipt, error) {
	saved, entries, err := next(saved, entries)
	if err != nil {
		return Receipt{Place: Nowhere}, err
	}
	return j.commit(ctx, &saved, entries)
}

// Append appends entries without a state in the best place that takes them.
func (j *Journal) Append(ctx context.Context, entries []Entry) (Receipt, error) {
	entries, err := loose(entries)
	if err != nil {
		return Receipt{Place: Nowhere}, err
	}
	return j.commit(ctx, nil, entries)
}

func (j *Journal) commit(ctx context.Context, saved *Saved, entries []Entry) (Receipt, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Receipt{Place: Nowhere}, errClosed
	}
	receipt := Receipt{Entries: entries, Place: InDatabase}
	if saved != nil {
		receipt.Saved = *saved
	}

	err := j.toDatabase(ctx, saved, entries)
	if isFull(err) {
		if freed, _ := Release(j.dir); freed {
			receipt.Place, receipt.Err = InReserve, err
			_ = j.spools[0].prepare(ctx) // without it the runtime directory comes sooner
			err = j.toDatabase(ctx, saved, entries)
		}
	}
	if err == nil {
		if saved != nil {
			j.mirror.write(*saved, filepath.Join(j.dir, fileName))
		}
		return receipt, nil
	}
	if errors.Is(err, ErrRevision) || errors.Is(ctx.Err(), context.Canceled) {
		return Receipt{Place: Nowhere}, err
	}

	// The deadline of ctx may be what the database used up; a spool is quick.
	ctx = context.WithoutCancel(ctx)
	receipt.Err = err
	place, err := j.toSpool(ctx, saved, entries)
	receipt.Place = place
	switch {
	case err == nil:
		return receipt, nil
	case errors.Is(err, ErrRevision):
		return Receipt{Place: Nowhere}, err
	}
	return receipt, fmt.Errorf("cannot record anywhere: %w", errors.Join(receipt.Err, err))
}

// toDatabase replays what is spooled and then commits, so that the log keeps
// the order in which things happened.
func (j *Journal) toDatabase(ctx context.Context, saved *Saved, entries []Entry) error {
	if time.Now().Before(j.busyUntil) {
		return errors.New("cannot commit: the database was busy a moment ago")
	}
	if saved != nil {
		if err := j.mirror.drop(saved.Agent); err != nil {
			return err
		}
	}
	l, err := j.open()
	if err == nil {
		_, err = j.drain(ctx, l)
	}
	if err == nil {
		err = l.commit(ctx, saved, entries)
	}
	if isBusy(err) {
		j.busyUntil = time.Now().Add(busyPause)
	}
	return err
}

// toSpool appends to the first spool that takes the commit. Once the runtime
// directory holds something, what follows goes there too: replaying the one
// and then the other must give the order of the commits.
func (j *Journal) toSpool(ctx context.Context, saved *Saved, entries []Entry) (Place, error) {
	first := 0
	if c, err := j.spools[1].read(); err == nil && !c.empty() {
		first = 1
	}
	var errs error
	for i, place := range []Place{InSpool, InRun} {
		if i < first {
			continue
		}
		err := j.spoolIn(ctx, j.spools[i], saved, entries)
		if err == nil || errors.Is(err, ErrRevision) {
			return place, err
		}
		errs = errors.Join(errs, err)
	}
	return Nowhere, errs
}

func (j *Journal) spoolIn(ctx context.Context, s spool, saved *Saved, entries []Entry) error {
	h, err := s.hold(ctx, true)
	if err != nil {
		return err
	}
	defer h.close()
	if saved != nil {
		if err := follows(*saved, j.newest(ctx, saved.Agent)); err != nil {
			return err
		}
	}
	return h.add(saved, entries)
}

// newest is the newest revision of an agent that can be seen. With nothing
// spooled and no database to ask it is 0, and the caller's word stands.
func (j *Journal) newest(ctx context.Context, agent string) int64 {
	var revision int64
	for _, s := range j.spools {
		c, err := s.read()
		if err != nil {
			continue // what cannot be read cannot be appended to either
		}
		if saved, ok := c.state(agent); ok {
			revision = max(revision, saved.Revision)
		}
	}
	l := j.log
	if l == nil {
		var err error
		if l, err = OpenReadOnly(j.dir); err != nil {
			return revision
		}
		defer l.Close()
	}
	if saved, err := l.Load(ctx, agent); err == nil {
		revision = max(revision, saved.Revision)
	}
	return revision
}

// SetAside replaces a damaged database by a new one, see the function of that
// name, and replays what is spooled into it. It returns the name that the old
// database has now, or none if there was nothing wrong with it.
func (j *Journal) SetAside(ctx context.Context, now time.Time) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return "", errClosed
	}
	if j.log != nil {
		_ = j.log.Close()
		j.log = nil
	}
	l, kept, err := SetAside(ctx, j.dir, now)
	if err != nil {
		return kept, err
	}
	j.log = l
	_, err = j.drain(ctx, l)
	return kept, err
}
