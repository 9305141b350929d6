package snapshot

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

const (
	// maxDepth bounds the directories held open at once.
	maxDepth = 64
	// scanFactor times Limits.Files names are looked at before a pattern with
	// ** that has run into something huge is given up.
	scanFactor = 100
	// maxHeld bounds the files held open until the end of a look.
	maxHeld = 64
)

// observer is one attempt at a look.
type observer struct {
	ctx     context.Context
	limits  Limits
	gone    bool // a root may be gone, and what cannot be captured is left
	look    *Look
	total   int64 // bytes read
	scanned int   // names looked at
	held    []held

	// of the set in hand
	in       *Set
	physical string // of in.Root
	follows  []follow
}

// held is a file that was read, and what it was like before.
type held struct {
	file   *os.File
	before stamp
}

// directory is one that the walk is in.
type directory struct {
	root     *os.Root
	parent   *directory
	path     string // of its members' names; "" for the set's root
	followed string // its absolute path, if a followed link led to it or above it
	owner    int    // of the set's root, or of the directory of Follow it is in
	self     Member // what it contributes when something in it is captured
	is       stamp
	captured bool // self has been added
}

func (d *directory) join(name string) string { return path.Join(d.path, name) }

// set reads one set.
func (o *observer) set(s *Set) error {
	o.in, o.follows = s, nil
	defer func() {
		for _, f := range o.follows {
			f.root.Close()
		}
	}()
	root, id, st, err := openRoot(s.Root)
	if missing := (*RefusedError)(nil); o.gone && errors.As(err, &missing) && missing.Why == RootMissing {
		if id, err = goneRoot(s.Root, err); err == nil {
			id.Label = s.Label
			o.look.Roots = append(o.look.Roots, id)
		}
		return err
	}
	if err != nil {
		return err
	}
	defer root.Close()
	id.Label, o.physical = s.Label, id.Real
	o.look.Roots = append(o.look.Roots, id)
	o.renamed(st)
	return o.walk(&directory{root: root, owner: st.uid, is: st, captured: true}, s.start())
}

// walk reads what the patterns match in d and beneath it.
func (o *observer) walk(d *directory, at position) error {
	names, err := o.names(d, at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.ctx.Err(); err != nil {
			return err
		}
		next, v := at.step(name)
		matched := v.files || v.reads
		if !matched && !next.open() {
			continue
		}
		there := matched || o.in.Dirs[d.join(name)]
		info, err := d.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a literal that is missing, or one that has just gone
		} else if err != nil {
			return o.refuse(d, name, Unreadable, err)
		}
		switch info.Mode().Type() {
		case 0:
			if there {
				m := Member{Set: o.in.Label, Path: d.join(name), Reads: v.reads}
				if d.followed != "" {
					m.Followed = filepath.Join(d.followed, name)
				}
				err = o.file(d, d.root, name, d.owner, info, m)
			}
		case fs.ModeDir:
			if next.open() {
				err = o.descend(d, name, info, next)
			} else if o.in.spells(d.join(name)) {
				err = o.refuse(d, name, NotFile, nil)
			}
		case fs.ModeSymlink:
			err = o.link(d, name, info, at, next, v)
		default:
			if there {
				err = o.refuse(d, name, NotRegular, nil)
			}
		}
		if err != nil {
			err = o.leave(d, name, info, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// names returns the names in d that could match, sorted. When the patterns
// spell all of them out the directory is not read.
func (o *observer) names(d *directory, at position) ([]string, error) {
	if names, all := at.names(); all {
		return names, nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return nil, o.refuse(d, "", Unreadable, err)
	}
	defer f.Close()
	var names []string
	for {
		entries, err := f.ReadDir(512)
		for _, e := range entries {
			next, v := at.step(e.Name())
			switch e.Type() {
			case fs.ModeDir, fs.ModeSymlink:
				if v.files || v.reads || next.open() {
					names = append(names, e.Name())
				}
			default:
				if v.files || v.reads || next.open() && o.in.Dirs[d.join(e.Name())] {
					names = append(names, e.Name())
				}
			}
		}
		if o.scanned += len(entries); o.scanned > scanFactor*o.limits.Files {
			return nil, o.refuse(d, "", TooManyHere, nil)
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		} else if err != nil {
			return nil, o.refuse(d, "", Unreadable, err)
		}
		if err := o.ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// descend walks the directory name in d, which Lstat found to be info.
func (o *observer) descend(d *directory, name string, info fs.FileInfo, at position) error {
	sub := &directory{parent: d, path: d.join(name), owner: d.owner}
	if d.followed != "" {
		sub.followed = filepath.Join(d.followed, name)
	}
	return o.enter(sub, d.root, name, info, at)
}

// enter opens sub as name beneath root and walks it. It must be what info says:
// os.Root follows a link that was put there since, if it stays beneath root.
func (o *observer) enter(sub *directory, root *os.Root, name string, info fs.FileInfo, at position) error {
	depth := 0
	for d := sub.parent; d != nil; d = d.parent {
		depth++
	}
	if depth > maxDepth {
		return o.refuse(sub, "", TooDeep, nil)
	}
	var err error
	if sub.root, err = root.OpenRoot(name + "/."); err != nil { // "/.": a FIFO is refused, not waited for
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return ErrUnsettled
		}
		return o.refuse(sub, "", Unreadable, err)
	}
	defer sub.root.Close()
	now, err := sub.root.Stat(".")
	if err != nil {
		return o.refuse(sub, "", Unreadable, err)
	}
	if !os.SameFile(info, now) {
		return ErrUnsettled
	}
	sub.is = stampOf(now)
	if sub.self.Type == "" {
		sub.self = sub.is.member(Member{Set: o.in.Label, Path: sub.path, Type: Dir, Followed: sub.followed})
	}
	return o.walk(sub, at)
}

// add appends m, which is in d, and the directories above it.
func (o *observer) add(d *directory, m Member) error {
	for ; d != nil && !d.captured; d = d.parent {
		d.captured = true
		o.renamed(d.is)
		if d.self.Type == Dir {
			f, err := d.root.Open(".")
			if err != nil {
				return o.refuse(d, "", Unreadable, err)
			}
			d.self.Xattrs, err = xattrs(f)
			f.Close()
			if err != nil {
				return o.refuse(d, "", Unreadable, err)
			}
		}
		if err := o.append(d.self); err != nil {
			return err
		}
	}
	return o.append(m)
}

func (o *observer) append(m Member) error {
	if len(o.look.Members) >= o.limits.Files {
		return &RefusedError{Path: filepath.Join(o.in.Root, m.Path), Why: TooMany}
	}
	o.look.Members = append(o.look.Members, m)
	return nil
}

// written makes the look as young as a file or link.
func (o *observer) written(s stamp) {
	if c := s.changed(); c.After(o.look.Written) {
		o.look.Written = c
	}
	o.renamed(s)
}

// renamed makes the look as young as a directory.
func (o *observer) renamed(s stamp) {
	if c := s.changed(); c.After(o.look.Changed) {
		o.look.Changed = c
	}
}

// refuse names the file that cannot be captured; name is "" for d itself.
func (o *observer) refuse(d *directory, name string, why Refusal, err error) error {
	return &RefusedError{Path: filepath.Join(o.in.Root, d.path, name), Why: why, Err: err}
}

// spells reports whether a pattern of the set is this very path.
func (s *Set) spells(path string) bool {
	return slices.ContainsFunc(slices.Concat(s.Files, s.Reads), func(pattern string) bool {
		name, ok := literal(pattern)
		return ok && name == path
	})
}
