package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"
)

// maxName is how long a file's name may be, in bytes.
const maxName = 255

// asideName is a name that no pattern matches (snapshot takes no name with this
// prefix for config), that nobody has, and that says what it was.
func asideName(s Step) string {
	base := strings.ToValidUTF8(s.path()[strings.LastIndexByte(s.path(), '/')+1:], "_")
	unique := atomicfile.Prefix + "aside-" + strings.TrimPrefix(atomicfile.TempName(), atomicfile.Prefix)[:8] + "-"
	if n := maxName - len(unique); len(base) > n {
		for !utf8.RuneStart(base[n]) {
			n--
		}
		base = base[:n]
	}
	return unique + base
}

// Moved is what was in the way of a member, could not be kept, and is now beside
// it.
type Moved struct {
	Name string `json:"name"` // of the member
	To   string `json:"to"`   // absolute
}

func (m Moved) String() string {
	return fmt.Sprintf("what stood in the place of %q could not be kept, and is now %q", m.Name, m.To)
}

// inTheWay reports whether is, which Keep did not take, may be moved out of the way
// of what step s wants.
func (s Step) inTheWay(is live) bool {
	switch {
	case s.Aside == "" || s.Want == nil:
		return false
	case is.Type == snapshot.Dir:
		return s.Want.Type != snapshot.Dir
	case is.Type == snapshot.File:
		return s.Left != 0 && is.Inode == s.Left
	}
	return is.Type == other
}

// moveAside gets what is at base out of the way. It overwrites nothing, and what
// turns out to be something else goes back.
func (e *executor) moveAside(d *dir, base string, s Step) error {
	e.at("before moving aside")
	if err := atomicfile.Move(d.root, base, d.root, s.Aside); err != nil {
		return err
	}
	e.at("moved aside")
	is, err := d.look(s.Aside, 0)
	if err == nil && !s.inTheWay(is) {
		err = &ErrChangedSinceKeep{Name: s.Name()}
	}
	if err != nil {
		// Synced with what is staged beside it, which goes now.
		return errors.Join(err, atomicfile.Move(d.root, s.Aside, d.root, base))
	}
	return d.f.Sync()
}

// movedAside notes what step i has moved aside, now or in an earlier go.
func (e *executor) movedAside(i int) error {
	s := e.plan.Steps[i]
	if s.Aside == "" || s.Op == OpSettle {
		return nil
	}
	d, _, whole, err := e.tops.descend(s.Dir, s.path())
	if err != nil {
		return e.blocked(s, err)
	}
	defer d.close()
	if !whole {
		return nil
	}
	_, err = d.root.Lstat(s.Aside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	e.report.Aside = append(e.report.Aside, Moved{s.Name(), strings.TrimSuffix(s.Path(), s.path()[strings.LastIndexByte(s.path(), '/')+1:]) + s.Aside})
	return err
}
