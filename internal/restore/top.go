package restore

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

// tops are the directories that the user has configured, each opened once for
// all that is done: what it was when it was looked at it stays, whatever
// becomes of its name.
type tops struct {
	plan *Plan
	dirs map[string]*dir // by Step.Dir
}

// newTops opens nothing yet.
func newTops(p *Plan) *tops { return &tops{plan: p, dirs: map[string]*dir{}} }

func (t *tops) close() {
	for _, d := range t.dirs {
		d.top = false
		d.close()
	}
	clear(t.dirs)
}

// open returns the directory that a Step.Dir names. A root must be the directory
// that Keep has looked at. Devices are not compared: a reboot may number them
// anew.
func (t *tops) open(name string) (*dir, error) {
	if d, ok := t.dirs[name]; ok {
		return d, nil
	}
	root, err := t.plan.openTop(name)
	if err != nil {
		return nil, err
	}
	d, err := newDir(root)
	if err != nil {
		return nil, err
	}
	info, err := d.f.Stat()
	if err != nil {
		d.close()
		return nil, err
	}
	i := slices.IndexFunc(t.plan.Roots, func(id snapshot.RootID) bool { return id.Path == name })
	if i >= 0 && t.plan.Roots[i].Inode != 0 && statOf(info).Inode != t.plan.Roots[i].Inode {
		d.close()
		return nil, &ErrChangedSinceKeep{Name: name}
	}
	d.top = true
	t.dirs[name] = d
	return d, nil
}

// openTop opens a configured directory where it was when the plan was made, and
// by no link.
func (p *Plan) openTop(name string) (*os.Root, error) {
	for _, id := range slices.Concat(p.Roots, p.Follows) {
		// A plan of an earlier version has no Real.
		if (id.Path == name || id.Real == name) && id.Real != "" {
			root, err := snapshot.OpenPlain(id.Real)
			if errors.Is(err, syscall.ELOOP) {
				err = &ErrChangedSinceKeep{Name: name}
			}
			return root, err
		}
	}
	// "/." so that a FIFO in its place is refused, and not waited for.
	return os.OpenRoot(strings.TrimRight(name, "/") + "/.")
}

// locate notes where the directories outside the roots are that the plan writes
// to, by the links in the set.
func (p *Plan) locate(places ...map[string]place) {
	for _, all := range places {
		for _, pl := range all {
			known := func(id snapshot.RootID) bool { return id.Path == pl.follow && id.Label == pl.member.Set }
			if !pl.through || slices.ContainsFunc(p.Follows, known) {
				continue
			}
			id, err := snapshot.Locate(pl.follow)
			if err != nil {
				id.Real = filepath.Clean(pl.follow) // The step that needs it says so.
			}
			id.Label = pl.member.Set
			p.Follows = append(p.Follows, id)
		}
	}
	slices.SortFunc(p.Follows, func(a, b snapshot.RootID) int {
		return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Path, b.Path))
	})
}

// makeRoot makes a root that was gone when the plan was made, and still is, with
// the owner and mode of the snapshot's.
func (e *executor) makeRoot(id snapshot.RootID) error {
	root, err := snapshot.OpenPlain(filepath.Dir(id.Real))
	if err != nil {
		return err
	}
	up, err := newDir(root)
	if err != nil {
		return err
	}
	defer up.close()
	base := filepath.Base(id.Real)
	if err := root.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	e.at("made root")
	d, err := up.open(base)
	if errors.Is(err, errNotDir) {
		return &ErrChangedSinceKeep{Name: id.Path}
	}
	if err != nil {
		return err
	}
	defer d.close()
	is, err := lookDir(d.f)
	if err != nil {
		return err
	}
	// Only the one that we have made, now or before a crash, is dressed: whoever
	// owns the directory above may have put another there.
	if is.UID == os.Geteuid() && is.Mode&0o777 == 0o700 {
		if is.UID != id.UID || is.GID != id.GID {
			if err := d.f.Chown(id.UID, id.GID); err != nil {
				return err
			}
		}
		if err := unix.Fchmod(int(d.f.Fd()), id.Mode); err != nil {
			return err
		}
		e.report.Notes = append(e.report.Notes, id.Path+" was gone, and was made anew")
	}
	return up.f.Sync() // What is put into it syncs the directory itself.
}
