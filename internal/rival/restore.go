package rival

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"deadman/internal/atomicfile"
)

// state is how far a deed of the journal has come, as the files say.
type state uint8

const (
	stateUndone state = iota + 1
	stateDone
	stateChanged // by somebody else
)

// state looks at what an entry speaks of, and says in words why it was changed.
func (e entry) state(h *Host) (state, string) {
	switch e.Deed {
	case Commented:
		data, _, err := readRegular(h.at(e.Path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return stateChanged, "it is gone"
		case err != nil:
			return stateChanged, err.Error()
		}
		s, _, why := e.shared(data)
		return s, why
	case Renamed:
		was, is := e.same(h, e.Path), e.same(h, e.Aside)
		switch {
		case was == nil && errors.Is(is, fs.ErrNotExist):
			return stateUndone, ""
		case is == nil && errors.Is(was, fs.ErrNotExist):
			return stateDone, ""
		case was == nil || is == nil:
			return stateChanged, "there is one at " + e.Path + " and one at " + e.Aside
		}
		return stateChanged, changedSince
	case Masked:
		switch target, err := os.Readlink(h.at(e.Path)); {
		case errors.Is(err, fs.ErrNotExist):
			return stateUndone, ""
		case err == nil && target == e.Link:
			return stateDone, ""
		}
		return stateChanged, changedSince
	}
	return stateDone, ""
}

// same reports, with a nil error, whether what is at p is what the entry has moved.
func (e entry) same(h *Host, p string) error {
	if e.Link != "" {
		target, err := os.Readlink(h.at(p))
		if err == nil && target != e.Link {
			err = errors.New("another link")
		}
		return err
	}
	data, _, err := readRegular(h.at(p))
	if err == nil && sumOf(data) != e.Before {
		err = errors.New("other bytes")
	}
	return err
}

// settle makes up for a crash: an entry whose deed was never done goes, and a unit
// that is aside is stopped.
func (j *journal) settle(ctx context.Context, h *Host, o Options) error {
	for _, e := range j.entries {
		if err := j.undone(h, e); err != nil {
			return err
		}
		if s, _ := e.state(h); s == stateDone && e.Active && o.tell(ctx, systemctl(e.User, "is-active", "--quiet", e.Unit)...) == nil {
			if err := o.tell(ctx, systemctl(e.User, "stop", e.Unit)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon drops an entry whose deed was refused. If it was done all the same (its
// last step failed), it stays.
func (j *journal) abandon(h *Host, e entry) error {
	if s, _ := e.state(h); s == stateDone {
		return nil
	}
	return j.drop(e)
}

// undone drops an entry if what it speaks of was not done, or no longer is. It may
// have been undone a moment ago, or by a deadman that ended before its sync.
func (j *journal) undone(h *Host, e entry) error {
	dir, err := h.parent(e.Path)
	if err == nil {
		defer dir.Close()
		if e.Temp != "" {
			if err := clear(dir, e.Temp); err != nil {
				return err
			}
		}
	}
	if s, _ := e.state(h); s != stateUndone {
		return nil
	}
	if err == nil {
		if err := atomicfile.SyncDir(dir, "."); err != nil {
			return err
		}
	}
	return j.drop(e)
}

// Restore undoes what the journal says, the latest first: of all, or of those that
// act on some agents. What somebody has changed since is left alone, and stays in
// the journal; of a shared file only a change of the rival's own lines is one. Doing so
// again does nothing.
func Restore(ctx context.Context, h *Host, dir string, agents []string, o Options) ([]Outcome, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	j, err := openJournal(dir)
	if err != nil {
		return nil, err
	}
	defer j.close()
	var outcomes []Outcome
	for _, e := range slices.Backward(j.entries) {
		if ctx.Err() != nil {
			return outcomes, ctx.Err()
		}
		if len(agents) > 0 && !slices.ContainsFunc(e.Agents, func(a string) bool { return slices.Contains(agents, a) }) {
			continue
		}
		outcome := Outcome{Rivals: e.Rivals, Path: e.Path, Deed: e.Deed}
		outcome.Note, outcome.Err = j.restore(ctx, h, e, o)
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

// restore undoes one entry.
func (j *journal) restore(ctx context.Context, h *Host, e entry, o Options) (string, error) {
	switch s, why := e.state(h); {
	case s == stateChanged:
		return "", &ChangedError{e.Path, why}
	case s == stateDone && e.Deed == Commented:
		if err := j.putBack(h, e, o); err != nil {
			return "", err
		}
	case s == stateDone && e.Deed == Renamed:
		if err := rename(h, e.Aside, e.Path, e.Before, e.Link); err != nil {
			return "", err
		}
	case s == stateDone && e.Deed == Masked:
		if err := unmask(h, e); err != nil {
			return "", err
		}
	case e.Deed == Killed:
		return fmt.Sprintf("process %d was ended, and nothing starts it again: do so by hand", e.Process.PID), j.drop(e)
	}
	o.step("back")
	if err := told(ctx, e, o); err != nil {
		// It is in place, and its manager does not know: the entry stays, to be
		// told again.
		return "", err
	}
	return "", j.undone(h, e)
}

// putBack makes the lines that were commented out what they were. What else is in the
// file stays.
func (j *journal) putBack(h *Host, e entry, o Options) error {
	if sumOf(e.Text) != e.Before {
		return fmt.Errorf("cannot restore %s: the journal is damaged", e.Path)
	}
	now, _, err := readRegular(h.at(e.Path))
	if err != nil {
		return fmt.Errorf("cannot read %s: %v", e.Path, err)
	}
	s, back, why := e.shared(now)
	if s != stateDone {
		return &ChangedError{e.Path, cmp.Or(why, changedSince)}
	}
	// The old temporary name may be taken by what an interrupted disabling left.
	if dir, err := h.parent(e.Path); err == nil {
		err = clear(dir, e.Temp)
		dir.Close()
		if err != nil {
			return err
		}
	}
	return replace(h, e.Path, e.Temp, sumOf(now), back, o.step)
}

func unmask(h *Host, e entry) error {
	dir, err := h.parent(e.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(path.Base(e.Path)); err != nil {
		return fmt.Errorf("cannot unmask %s: %v", e.Unit, err)
	}
	return nil
}

// told has what runs it know that it is back.
func told(ctx context.Context, e entry, o Options) error {
	switch e.Form {
	case Monit:
		return o.tell(ctx, "monit", "reload")
	case Systemd:
		if err := o.tell(ctx, systemctl(e.User, "daemon-reload")...); err != nil {
			return err
		}
		if e.Active {
			return o.tell(ctx, systemctl(e.User, "start", e.Unit)...)
		}
	case Supervisord:
		return errors.Join(o.tell(ctx, "supervisorctl", "reread"), o.tell(ctx, "supervisorctl", "update"))
	}
	return nil
}
