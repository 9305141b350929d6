package restore

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"deadman/internal/snapshot"
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
	if i >= 0 && statOf(info).Inode != t.plan.Roots[i].Inode {
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
