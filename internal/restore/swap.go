package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

// put is idempotent: a file or link that has the wanted bytes is not replaced,
// and one that has the wanted owner and mode as well is not touched.
func (e *executor) put(d *dir, base string, i int, s Step) error {
	e.account(s)
	is, err := d.look(base, sizes(s.Have, s.Want))
	if err != nil {
		return err
	}
	switch {
	case !replaces(is, *s.Want):
		if sameMember(is.Member, *s.Want) {
			return nil
		}
		e.at("before repair")
		return repair(d, base, s)
	case s.inTheWay(is):
		if err := e.moveAside(d, base, s); err != nil {
			return err
		}
		return e.create(d, base, s)
	case is.Type == snapshot.Dir:
		return errors.New("a directory that is not empty is in its place")
	case e.inPlace[i]:
		return e.overwrite(d, base, s)
	case is.Type == none:
		return e.create(d, base, s)
	}
	return e.swap(d, base, s)
}

// account reports what step s does, whether now or in an earlier go.
func (e *executor) account(s Step) {
	list := &e.report.Kept
	switch {
	case s.Op == OpPut && s.Have == nil:
		list = &e.report.Created
	case s.Op != OpHold:
		list = &e.report.Replaced
	case s.Want.Type == snapshot.Link && s.Want.UID == -1:
		return // the link to a file that has a step, and the same name
	}
	*list = append(*list, s.Name())
	if s.Through && s.Op != OpHold {
		e.report.WroteThrough = append(e.report.WroteThrough, s.Path())
	}
	if e.marked(s) {
		e.report.NotAtomic = append(e.report.NotAtomic, s.Name())
	}
}

func (e *executor) notAtomic(s Step) {
	if !slices.Contains(e.report.NotAtomic, s.Name()) {
		e.report.NotAtomic = append(e.report.NotAtomic, s.Name())
	}
}

// repair sets owner, mode and extended attributes of what has the right bytes.
func repair(d *dir, base string, s Step) error {
	if s.Want.Type == snapshot.Link {
		return chownLink(d, base, *s.Want)
	}
	f, err := d.openFile(base, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	// Again, on what is open now: it must not be somebody else's file that was
	// given this name.
	is, err := lookFile(f, s.Want.Size)
	if err != nil {
		return err
	}
	if replaces(is, *s.Want) {
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	return dress(f, is.Member, *s.Want)
}

// create puts the staged file where there is none. One that appears meanwhile
// is somebody's and wins.
func (e *executor) create(d *dir, base string, s Step) error {
	from, err := e.staged(d, s)
	if err != nil {
		return err
	}
	if from != d {
		defer from.close()
	}
	e.at("before create")
	err = atomicfile.Move(from.root, s.Temp, d.root, base)
	if errors.Is(err, fs.ErrExist) {
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	if err != nil {
		return err
	}
	e.at("created")
	return errors.Join(d.f.Sync(), from.f.Sync())
}

// staged returns the directory that step s is staged in: d or one above it.
func (e *executor) staged(d *dir, s Step) (*dir, error) {
	if _, err := d.root.Lstat(s.Temp); err == nil {
		return d, nil
	}
	for _, path := range stagings(s.path()) {
		up, _, whole, err := e.tops.descend(s.Dir, path)
		if err != nil {
			return nil, err
		}
		if whole {
			if _, err := up.root.Lstat(s.Temp); err == nil {
				return up, nil
			}
		}
		up.close()
	}
	// Everything was staged that had to be replaced then; this has changed since.
	return nil, &ErrChangedSinceKeep{Name: s.Name()}
}

// swap exchanges the staged file and the live one, and then looks at what it
// has displaced.
func (e *executor) swap(d *dir, base string, s Step) error {
	from, err := e.staged(d, s)
	if err != nil {
		return err
	}
	if from != d {
		// Staged when its directory was not there.
		defer from.close()
		if err := atomicfile.Move(from.root, s.Temp, d.root, s.Temp); err != nil {
			return err
		}
	}
	e.at("before exchange")
	err = e.exchange(d.root, s.Temp, base)
	switch {
	case errors.Is(err, atomicfile.ErrNoExchange):
		return e.setAside(d, base, s)
	case mounted(err):
		return e.overwrite(d, base, s)
	case errors.Is(err, fs.ErrNotExist):
		return e.create(d, base, s)
	case err != nil:
		return err
	}
	e.at("exchanged")
	_, ok, err := e.accept(d, s.Temp, s)
	if err != nil || !ok {
		back := errors.Join(e.exchange(d.root, s.Temp, base), d.f.Sync())
		if err == nil {
			err = &ErrChangedSinceKeep{Name: s.Name()}
		}
		return errors.Join(err, back)
	}
	e.at("before removing the displaced")
	if err := d.root.Remove(s.Temp); err != nil {
		return err
	}
	e.at("swapped")
	return d.f.Sync()
}

// mounted reports whether err is that of renaming a mount point.
func mounted(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) }

// setAside does what swap does where names cannot be exchanged. There is a
// moment in which there is no file; to rename over the old one would be
// smoother, but whatever was written in the last moment would be lost.
func (e *executor) setAside(d *dir, base string, s Step) error {
	old := s.Temp + aside
	err := atomicfile.Move(d.root, base, d.root, old)
	if mounted(err) {
		return e.overwrite(d, base, s)
	}
	if err != nil {
		return err
	}
	e.notAtomic(s)
	e.at("set aside")
	_, ok, err := e.accept(d, old, s)
	if err != nil || !ok {
		back := atomicfile.Move(d.root, old, d.root, base) // Synced with what is staged, which goes now.
		if err == nil {
			err = &ErrChangedSinceKeep{Name: s.Name()}
		}
		return errors.Join(err, back)
	}
	if err := e.create(d, base, s); err != nil {
		return err
	}
	e.at("before removing the old")
	return errors.Join(d.root.Remove(old), d.f.Sync())
}

// overwrite writes a file in place that cannot be renamed over. The part that
// needs new space goes first: if there is none, the file is as it was. Some file
// systems (NFS) find out only when it is synced.
func (e *executor) overwrite(d *dir, base string, s Step) error {
	if s.Want.Type != snapshot.File {
		return errors.New("it is a mount point, where a link belongs")
	}
	is, ok, err := e.accept(d, base, s)
	if err != nil {
		return err
	}
	if !ok {
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	data, err := e.plan.bytes(e.store, s)
	if err != nil {
		return err
	}
	f, err := d.openFile(base, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := lookFile(f, sizes(s.Have, s.Want, &is.Member))
	if err != nil {
		return err
	}
	if now.Inode != is.Inode || now.Device != is.Device || !sameBytes(now.Member, is.Member) {
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	if now.names > 1 && !sameBytes(now.Member, *s.Want) {
		return errors.New("it has several names, and would change under all of them")
	}
	if err := e.mark(s); err != nil {
		return fmt.Errorf("cannot note that it is written in place: %w", err)
	}
	e.notAtomic(s)
	e.at("before writing in place")
	if size := int64(len(data)); size > now.Size {
		_, err := f.WriteAt(data[now.Size:], now.Size)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return errors.Join(err, f.Truncate(now.Size))
		}
	}
	half := len(data) / 2
	if _, err := f.WriteAt(data[:half], 0); err != nil {
		return err
	}
	e.at("writing in place")
	if _, err := f.WriteAt(data[half:], int64(half)); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	e.at("wrote in place")
	if now, err = lookFile(f, s.Want.Size); err != nil {
		return err
	}
	if !sameBytes(now.Member, *s.Want) {
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	return dress(f, now.Member, *s.Want) // and syncs
}

// remove is idempotent: a file that is gone, or has made room for what belongs
// there, is done. It goes by way of the temporary name, so that it can be
// looked at when nobody can replace it any more.
func (e *executor) remove(d *dir, base string, s Step) error {
	e.report.Removed = append(e.report.Removed, s.Name())
	if s.Through {
		e.report.WroteThrough = append(e.report.WroteThrough, s.Path())
	}
	is, ok, err := e.accept(d, base, s)
	if err != nil {
		return err
	}
	switch {
	case is.Type == none || e.superseded(s, is):
		return nil
	case !ok:
		return &ErrChangedSinceKeep{Name: s.Name()}
	}
	e.at("before remove")
	if err := atomicfile.Move(d.root, base, d.root, s.Temp); err != nil {
		return err
	}
	e.at("moved away")
	_, ok, err = e.accept(d, s.Temp, s)
	if err != nil || !ok {
		back := errors.Join(atomicfile.Move(d.root, s.Temp, d.root, base), d.f.Sync())
		if err == nil {
			err = &ErrChangedSinceKeep{Name: s.Name()}
		}
		return errors.Join(err, back)
	}
	if err := d.root.Remove(s.Temp); err != nil {
		return err
	}
	e.at("removed")
	return d.f.Sync()
}
