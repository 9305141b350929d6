package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

// Report is what a plan did, by the members' names. It is the same when the
// plan was carried out in several goes.
type Report struct {
	Replaced []string `json:"replaced,omitempty"`
	Created  []string `json:"created,omitempty"`
	Removed  []string `json:"removed,omitempty"`
	// Kept were right already.
	Kept []string `json:"kept,omitempty"`
	// NotAtomic are those among Replaced during whose replacement a reader could
	// have seen a part, or nothing.
	NotAtomic []string `json:"not_atomic,omitempty"`
	// WroteThrough are the absolute paths outside the set that were changed
	// because a link in the set leads there.
	WroteThrough []string `json:"wrote_through,omitempty"`
	// Aside is what was moved out of the way.
	Aside []Moved  `json:"aside,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Untidy says that files may be left under the plan's temporary names: only
	// the plan knows them, see Tidy.
	Untidy bool `json:"untidy,omitempty"`
}

// ErrChangedSinceKeep is that a live file is neither what Keep took nor what
// the plan wants: somebody wrote meanwhile. What they wrote is where they wrote
// it. Files before it in the plan may have been put back. Take Keep anew,
// prepare a new plan from it, and execute that.
type ErrChangedSinceKeep struct{ Name string }

func (e *ErrChangedSinceKeep) Error() string {
	return fmt.Sprintf("cannot replace %s: it has changed since it was kept", e.Name)
}

// UnkeptError is that the file which a link leads to would be overwritten, and
// no snapshot has its bytes: at the time of Keep the link was not there. A new
// Keep would not help. Nothing has been changed.
type UnkeptError struct{ Name, Path string }

func (e *UnkeptError) Error() string {
	return fmt.Sprintf("cannot write through %s: no snapshot has what is in %s", e.Name, e.Path)
}

// Hint says what a person can do about it.
func (e *UnkeptError) Hint() string {
	return fmt.Sprintf("save %s elsewhere, or make %s a link to it again, and try again", e.Path, e.Name)
}

// BlockedError is that the system does not let a file be replaced.
type BlockedError struct {
	Name, Path string
	Err        error // of the system
}

func (e *BlockedError) Error() string { return fmt.Sprintf("cannot put back %s: %v", e.Name, e.Err) }
func (e *BlockedError) Unwrap() error { return e.Err }

// Hint says what a person can do about it.
func (e *BlockedError) Hint() string {
	switch {
	case errors.Is(e.Err, errImmutable):
		return fmt.Sprintf("see lsattr %q; chattr -i -a makes it replaceable", e.Path)
	case errors.Is(e.Err, unix.EROFS):
		return fmt.Sprintf("%s is mounted read-only", e.Path)
	case errors.Is(e.Err, unix.ENOSPC), errors.Is(e.Err, unix.EDQUOT):
		return fmt.Sprintf("make room on the file system of %s", e.Path)
	case errors.Is(e.Err, fs.ErrPermission):
		return "run deadman as root, or as the owner of the file and its directory"
	}
	return ""
}

var errImmutable = errors.New("it is immutable or append-only")

// MismatchError is that, after everything was put back, these members are not
// what they should be.
type MismatchError struct{ Names []string }

func (e *MismatchError) Error() string {
	return "cannot confirm what was put back: different when read again: " + strings.Join(e.Names, ", ")
}

// executor is one execution.
type executor struct {
	plan     *Plan
	tops     *tops
	store    *snapshot.Store
	report   Report
	inPlace  map[int]bool    // steps whose file cannot be renamed over
	hashes   map[string]bool // of all bytes in the store, once asked for
	longest  int64           // of the files with these hashes
	exchange func(dir *os.Root, a, b string) error
	// at is called at every point at which a crash leaves something different.
	at func(point string)
}

// Execute carries out p, which the caller has saved, or the rest of it. On an
// error while it is getting ready (ENOSPC most of all) the live files are what
// they were and nothing is left behind. From the first swap on ctx is not
// heeded: half a set is the worst of all. Any other error leaves something
// half done, that Execute with the same plan takes up; see also
// ErrChangedSinceKeep.
func Execute(ctx context.Context, p *Plan, store *snapshot.Store) (Report, error) {
	e := &executor{plan: p, store: store, exchange: atomicfile.Exchange, at: func(string) {}}
	return e.execute(ctx)
}

func (e *executor) execute(ctx context.Context) (Report, error) {
	e.inPlace = map[int]bool{}
	e.report.Notes = slices.Clone(e.plan.Notes)
	if e.plan.Version != Version {
		return e.report, fmt.Errorf("cannot execute plan: it has version %d and this program knows %d", e.plan.Version, Version)
	}
	defer func() { e.plan.begun = true }()
	e.tops = newTops(e.plan)
	defer e.tops.close()
	if err := e.checkRoots(); err != nil {
		return e.report, err
	}
	if err := e.each(e.tidy); err != nil {
		e.report.Untidy = true
		return e.report, err
	}
	err := e.each(func(i int) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot put back: %w", err)
		}
		return e.stage(i)
	})
	if err == nil {
		// As late as possible, and before the first swap.
		err = e.each(e.check)
	}
	if err == nil {
		err = e.each(e.perform)
	}
	tidied := errors.Join(e.each(e.tidy), e.each(e.movedAside))
	e.report.Untidy = tidied != nil
	if err != nil {
		return e.report, err // the first error is the one that matters
	}
	if tidied != nil {
		return e.report, tidied
	}
	if e.plan.begun {
		if err := e.each(e.settled); err != nil {
			return e.report, err
		}
	}
	return e.report, e.plan.readBack(context.WithoutCancel(ctx), e.tops)
}

// Tidy removes what a plan that will not be carried out has left under its
// temporary names. A disk that has become read-only keeps them from being removed
// at the time.
func Tidy(p *Plan, store *snapshot.Store) error {
	e := &executor{plan: p, store: store, exchange: atomicfile.Exchange, at: func(string) {}, inPlace: map[int]bool{}, tops: newTops(p)}
	defer e.tops.close()
	if err := e.checkRoots(); err != nil {
		return err
	}
	return e.each(e.tidy)
}

// each calls do for every step until one fails.
func (e *executor) each(do func(i int) error) error {
	for i := range e.plan.Steps {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// checkRoots makes sure that the roots are the directories that Keep looked at.
func (e *executor) checkRoots() error {
	for _, id := range e.plan.Roots {
		if !slices.ContainsFunc(e.plan.Steps, func(s Step) bool { return s.Dir == id.Path }) {
			continue
		}
		var err error
		if id.Inode == 0 {
			err = e.makeRoot(id)
		}
		if err == nil {
			_, err = e.tops.open(id.Path)
		}
		var changed *ErrChangedSinceKeep
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &RefusedError{
				what: fmt.Sprintf("cannot put back: %s is gone", id.Path),
				hint: "it was there when the live config was kept; try again",
			}
		case errors.As(err, &changed):
			return err
		case err != nil:
			return fmt.Errorf("cannot put back: %w", err)
		}
	}
	return nil
}

// perform does step i. That it may have been done is for each to find out.
func (e *executor) perform(i int) error {
	s := e.plan.Steps[i]
	d, base, whole, err := e.tops.descend(s.Dir, s.path())
	if err != nil {
		return e.blocked(s, err)
	}
	defer d.close()
	if !whole {
		if s.Want == nil { // it went with its directory
			e.report.Removed = append(e.report.Removed, s.Name())
			return nil
		}
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	switch s.Op {
	case OpMkdir:
		err = e.mkdir(d, base, s)
	case OpPut, OpRepair, OpHold:
		err = e.put(d, base, i, s)
	case OpRemove:
		err = e.remove(d, base, s)
	case OpRmdir:
		err = e.rmdir(d, base, s)
	case OpSettle:
		err = e.settle(d, base, s)
	default:
		return fmt.Errorf("cannot execute plan: step %q is unknown", s.Op)
	}
	if err != nil {
		return e.blocked(s, err)
	}
	return nil
}

// settled makes step i durable once more: of what an earlier go has done nobody can
// see whether it was.
func (e *executor) settled(i int) error {
	s := e.plan.Steps[i]
	d, base, whole, err := e.tops.descend(s.Dir, s.path())
	if err != nil {
		return e.blocked(s, err)
	}
	defer d.close()
	if whole && s.Want != nil && s.Want.Type != snapshot.Link {
		f, err := d.root.OpenFile(base, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return e.blocked(s, err)
		}
	}
	if err := d.f.Sync(); err != nil {
		return e.blocked(s, err)
	}
	return nil
}

// mkdir is idempotent: a directory that is there is left as it is until settle.
func (e *executor) mkdir(d *dir, base string, s Step) error {
	if s.Have == nil && !slices.Contains(e.report.Created, s.Name()) {
		e.report.Created = append(e.report.Created, s.Name())
	}
	err := d.root.Mkdir(base, 0o700)
	if errors.Is(err, fs.ErrExist) {
		is, err := d.look(base, 0)
		switch {
		case err != nil:
			return err
		case is.Type == snapshot.Dir:
			return nil
		case !s.inTheWay(is):
			return &ErrChangedSinceKeep{Name: s.Name()}
		}
		if err := e.moveAside(d, base, s); err != nil {
			return err
		}
		return e.mkdir(d, base, s)
	}
	e.at("made directory")
	return errors.Join(err, d.f.Sync())
}

// rmdir is idempotent: a directory that is gone, or is not empty, is left.
func (e *executor) rmdir(d *dir, base string, s Step) error {
	// Not Root.Remove, which would remove a file as well.
	err := unix.Unlinkat(int(d.f.Fd()), base, unix.AT_REMOVEDIR)
	switch {
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		e.report.Notes = append(e.report.Notes, s.Name()+": the directory is not in the snapshot, and is left because it is not empty")
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		// Gone before; or, in a second go, replaced by the file that belongs here.
	case err != nil:
		return err
	}
	e.at("removed directory")
	e.report.Removed = append(e.report.Removed, s.Name())
	return d.f.Sync()
}

// settle is idempotent: it sets what a directory shall have, and nothing if it
// has it.
func (e *executor) settle(d *dir, base string, s Step) error {
	if s.Have != nil && !sameMember(*s.Have, *s.Want) {
		e.report.Replaced = append(e.report.Replaced, s.Name())
	}
	sub, err := d.open(base)
	if err != nil {
		return err
	}
	defer sub.close()
	is, err := lookDir(sub.f)
	if err != nil || sameMember(is.Member, *s.Want) {
		return err
	}
	e.at("before settling directory")
	return dress(sub.f, is.Member, *s.Want)
}

// blocked gives an error of the system the name of the file.
func (e *executor) blocked(s Step, err error) error {
	var changed *ErrChangedSinceKeep
	var unkept *UnkeptError
	var blocked *BlockedError
	if errors.As(err, &changed) || errors.As(err, &unkept) || errors.As(err, &blocked) {
		return err
	}
	return &BlockedError{Name: s.Name(), Path: s.Path(), Err: err}
}

// mark notes durably, beside the plan, that step s writes in place, so that
// what a crash leaves of that is not taken for somebody's work. A plan that was
// not saved has nowhere to note it, and takes it for that.
func (e *executor) mark(s Step) error {
	if e.plan.stateDir == "" {
		return nil
	}
	root, err := os.OpenRoot(filepath.Join(e.plan.stateDir, spliceDir))
	if err != nil {
		return err
	}
	defer root.Close()
	return atomicfile.WriteFile(root, s.Temp, nil, 0o600)
}

func (e *executor) marked(s Step) bool {
	if e.plan.stateDir == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(e.plan.stateDir, spliceDir, s.Temp))
	return err == nil
}

// stored reports whether any snapshot has the bytes of base, which is there.
// Nothing is read that is longer than any of them: a sparse file costs nothing to
// make, and hours to read.
func (e *executor) stored(d *dir, base string) (live, bool, error) {
	if e.hashes == nil {
		// A snapshot that cannot be listed only makes us more careful.
		manifests, err := e.store.List()
		if len(manifests) == 0 && err != nil {
			return live{}, false, err
		}
		e.hashes = map[string]bool{}
		for _, m := range manifests {
			for _, member := range m.Members {
				e.hashes[string(member.Type)+member.SHA256] = true
				e.longest = max(e.longest, member.Size)
			}
		}
	}
	is, err := d.look(base, e.longest)
	return is, err == nil && is.SHA256 != "" && e.hashes[string(is.Type)+is.SHA256], err
}
