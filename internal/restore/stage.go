package restore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

// Beside its Temp name, under which only complete files are ever seen, a step
// uses two more.
const (
	draft = ".draft" // being written
	aside = ".old"   // displaced, where names cannot be exchanged
)

// stage writes what step i will put in place, in full and durably, to the
// directory it belongs in, or to the nearest one above that exists: a rename
// out of there is just as good, as a directory that is yet to be made is on the
// same file system. Its bytes are durable, its temporary name need not be: it
// goes again, and whoever takes it away syncs the directory.
func (e *executor) stage(i int) error {
	s := e.plan.Steps[i]
	if s.Op != OpPut && s.Op != OpRepair && s.Op != OpHold {
		return nil
	}
	d, base, whole, err := e.tops.descend(s.Dir, s.path())
	if err != nil {
		return e.blocked(s, err)
	}
	defer d.close()
	var is live
	if whole {
		if is, err = d.look(base, sizes(s.Have, s.Want)); err != nil {
			return e.blocked(s, err)
		}
	} else if s.Through {
		return e.blocked(s, fmt.Errorf("the directory of %s is missing", s.Path()))
	}
	if !replaces(is, *s.Want) {
		return nil
	}
	if err = e.draft(d, s); err == nil {
		err = d.root.Rename(s.Temp+draft, s.Temp)
	}
	if err == nil {
		e.at("staged")
		return nil
	}
	// A file that may be written, in a directory that takes no new file or that
	// we may not give the file's owner in, can still be written in place. Be sure
	// of that before anything else is changed.
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		if s.Want.Type == snapshot.File && is.Type == snapshot.File {
			f, openErr := d.openFile(base, os.O_RDWR)
			if openErr == nil {
				f.Close()
			}
			if openErr == nil && (os.Geteuid() == 0 || sameOwner(is.Member, *s.Want)) {
				e.inPlace[i] = true
				return nil
			}
		}
	}
	return e.blocked(s, err)
}

// replaces reports whether it takes a new file to get from is to want. A file
// with several names is not repaired: it would be under the other names, too.
func replaces(is live, want snapshot.Member) bool {
	return !sameBytes(is.Member, want) ||
		want.Type == snapshot.File && is.names > 1 && !sameMember(is.Member, want)
}

// draft writes the file or link of step s under its draft name. It is created
// anew, so nobody has it open, and dressed by its descriptor.
func (e *executor) draft(d *dir, s Step) error {
	if s.Want.Type == snapshot.Link {
		if err := d.root.Symlink(s.Want.Target, s.Temp+draft); err != nil {
			return err
		}
		e.at("made link")
		return chownLink(d, s.Temp+draft, *s.Want)
	}
	data, err := e.plan.bytes(e.store, s)
	if err != nil {
		return err
	}
	f, err := d.root.OpenFile(s.Temp+draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	e.at("created draft")
	if _, err := f.Write(data); err != nil {
		return err
	}
	e.at("wrote draft")
	is, err := lookFile(f, s.Want.Size)
	if err != nil {
		return err
	}
	if !sameBytes(is.Member, *s.Want) {
		return errors.New("what was written is not what is read")
	}
	if err := dress(f, is.Member, *s.Want); err != nil {
		return err
	}
	return f.Close()
}

// chownLink sets the owner of the link base, if it has one to be set.
func chownLink(d *dir, base string, want snapshot.Member) error {
	if want.UID == -1 && want.GID == -1 {
		return nil
	}
	if info, err := d.root.Lstat(base); err == nil && sameOwner(statOf(info).Member, want) {
		return nil
	}
	return d.lchown(base, want.UID, want.GID)
}

func sameOwner(a, b snapshot.Member) bool { return a.UID == b.UID && a.GID == b.GID }

// check makes sure, when all is staged and nothing is changed, that step i will
// find what Keep took or what is wanted.
func (e *executor) check(i int) error {
	s := e.plan.Steps[i]
	d, base, whole, err := e.tops.descend(s.Dir, s.path())
	if err != nil {
		return e.blocked(s, err)
	}
	defer d.close()
	if !whole {
		return nil // nothing is there
	}
	is, ok, err := e.accept(d, base, s)
	if err != nil {
		return e.blocked(s, err)
	}
	if is.Type == none {
		return nil
	}
	if s.Op == OpRmdir {
		return nil // does no harm, whatever it finds
	}
	if !ok && !e.cleared(s, is) && !e.superseded(s, is) && !s.inTheWay(is) {
		if s.Through && s.Have == nil {
			return &UnkeptError{Name: s.Name(), Path: s.Path()}
		}
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	if (s.Want == nil || !sameMember(is.Member, *s.Want)) && immutable(d.f, base) {
		return e.blocked(s, errImmutable)
	}
	return nil
}

// cleared reports whether what is in the way of step s is removed by an earlier
// step, which checks it.
func (e *executor) cleared(s Step, is live) bool {
	for _, other := range e.plan.Steps {
		if other.Want == nil && other.Path() == s.Path() && other.Op != s.Op {
			return (other.Op == OpRmdir) == (is.Type == snapshot.Dir)
		}
	}
	return false
}

// superseded reports whether what step s is to remove has, in an earlier go,
// been removed and replaced by what belongs there.
func (e *executor) superseded(s Step, is live) bool {
	for _, other := range e.plan.Steps {
		if s.Want == nil && other.Want != nil && other.Path() == s.Path() && sameBytes(is.Member, *other.Want) {
			return true
		}
	}
	return false
}

// accept looks at base and reports whether nothing is lost when step s puts
// something else there: it is what Keep took, what is wanted, or, where a link
// leads out of what Keep could see, at least in some snapshot.
func (e *executor) accept(d *dir, base string, s Step) (live, bool, error) {
	is, err := d.look(base, sizes(s.Have, s.Want))
	if err != nil {
		return is, false, err
	}
	if s.Want != nil && sameBytes(is.Member, *s.Want) || s.Have != nil && sameBytes(is.Member, *s.Have) {
		return is, true, nil
	}
	if s.Through && s.Have == nil && is.Type == snapshot.File {
		return e.stored(d, base)
	}
	if is.Type == snapshot.File && e.marked(s) {
		ok, err := e.torn(d, base, s)
		return is, ok, err
	}
	return is, false, nil
}

// torn reports whether base is what is left of writing step s in place when the
// machine went down: at every offset the byte that was there, the one that was
// to be, or, past the end of the old file, a zero.
func (e *executor) torn(d *dir, base string, s Step) (bool, error) {
	if s.Have == nil || s.Want == nil {
		return false, nil
	}
	have, err := e.store.ReadFile(e.plan.Keep, s.Name())
	if err != nil {
		return false, err
	}
	want, err := e.plan.bytes(e.store, s)
	if err != nil {
		return false, err
	}
	f, err := d.openFile(base, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	longest := max(len(have), len(want))
	is, err := io.ReadAll(io.LimitReader(f, int64(longest)+1))
	if err != nil || len(is) > longest {
		return false, err
	}
	for i, b := range is {
		old := i < len(have) && b == have[i] || i >= len(have) && b == 0
		if !old && (i >= len(want) || b != want[i]) {
			return false, nil
		}
	}
	return true, nil
}

// tidy removes what a crash, or a failure, has left of step i under its
// temporary names. What was displaced and is neither in Keep nor wanted was
// written by somebody: it goes back to where it was.
func (e *executor) tidy(i int) error {
	s := e.plan.Steps[i]
	if s.Temp == "" {
		return nil
	}
	paths := stagings(s.path())
	for i, path := range paths {
		d, base, whole, err := e.tops.descend(s.Dir, path)
		if err != nil {
			return e.blocked(s, err)
		}
		if whole {
			err = e.tidyIn(d, base, s, i == len(paths)-1)
		}
		d.close()
		if err != nil {
			return e.blocked(s, err)
		}
		if !whole {
			break
		}
	}
	return nil
}

// tidyIn is tidy in d. The file at base is the step's own, or d is a directory
// further up, where files are only ever staged.
func (e *executor) tidyIn(d *dir, base string, s Step, own bool) error {
	removed := false
	unlink := func(name string) error {
		removed = true
		return d.root.Remove(name)
	}
	if _, err := d.root.Lstat(s.Temp + draft); err == nil {
		if err := unlink(s.Temp + draft); err != nil {
			return err
		}
	}
	for _, name := range []string{s.Temp, s.Temp + aside} {
		was, ok, err := e.accept(d, name, s)
		if err != nil {
			return err
		}
		if was.Type == none {
			continue
		}
		if !own {
			if ok {
				err = unlink(name)
			}
			if err != nil {
				return err
			}
			continue
		}
		is, err := d.look(base, sizes(s.Have, s.Want))
		if err != nil {
			return err
		}
		gone := is.Type == none
		switch {
		case ok && gone && name == s.Temp+aside:
			// A crash after the old file was set aside: back to the beginning, so
			// that a full disk while staging still leaves what there was.
			err = atomicfile.Move(d.root, name, d.root, base)
		case ok:
			err = unlink(name)
		case gone:
			err = errors.Join(atomicfile.Move(d.root, name, d.root, base), d.f.Sync(), &ErrChangedSinceKeep{Name: s.Name()})
		case s.Want != nil && sameBytes(is.Member, *s.Want):
			// Displaced by us, and not looked at before the crash.
			if err = e.exchange(d.root, name, base); errors.Is(err, atomicfile.ErrNoExchange) {
				err = d.root.Rename(name, base)
			} else if err == nil {
				// What is back must be so on the disk before its other name goes.
				if err = d.f.Sync(); err == nil {
					err = unlink(name)
				}
			}
			err = errors.Join(err, d.f.Sync(), &ErrChangedSinceKeep{Name: s.Name()})
		default:
			// Two versions that nobody has kept. Both stay.
			err = &ErrChangedSinceKeep{Name: s.Name()}
		}
		if err != nil {
			return err
		}
		e.at("tidied")
	}
	if removed {
		return d.f.Sync()
	}
	return nil
}

// stagings returns the paths whose directories may hold temporary names of a
// step with this path: its own, and those of the directories above it.
func stagings(path string) []string {
	var out []string
	for i := range path {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	return append(out, path)
}
