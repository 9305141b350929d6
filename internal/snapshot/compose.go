package snapshot

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
)

// Piece is a file or link that takes its place in a composed version.
type Piece struct {
	Set, Path string // as those of a Member
	Type      Type   // File or Link
	// Executable is all that its source knows of a mode.
	Executable bool
	// Bytes are those of the file, or the text of the link.
	Bytes []byte
}

// ComposeError is that pieces and base make no version together.
type ComposeError struct{ Name, Why string }

func (e *ComposeError) Error() string { return fmt.Sprintf("cannot compose %q: %s", e.Name, e.Why) }

// Compose returns what the config would be with pieces in the place of those
// members of base that they name, or beside them. Nothing is taken away. Modes,
// owners, attributes and links are those of base: a file that is a link there
// (followed or not) stays one, and one that is new is like the file nearest to it.
// Pieces that the patterns do not name are passed by, and so are members of base
// that today's do not. The result can be saved and put back as any other; it
// was never live, so it has no times and what is new in it no inodes.
//
// The error is a [*ComposeError] or, over a limit, a [*RefusedError].
func Compose(sets []Set, base *Look, pieces []Piece, limits Limits) (*Look, error) {
	if err := valid(sets); err != nil {
		return nil, err
	}
	c := composer{sets: sets, base: base, look: &Look{Follows: base.Follows, bytes: map[string][]byte{}}}
	for _, s := range sets {
		i := slices.IndexFunc(base.Roots, func(id RootID) bool { return id.Label == s.Label && filepath.Clean(id.Path) == filepath.Clean(s.Root) })
		if i < 0 {
			return nil, &ComposeError{s.Root, "what it is made over has no such set"}
		}
		c.look.Roots = append(c.look.Roots, base.Roots[i])
	}
	for _, m := range base.Members {
		if m.Type != Dir && (Match(sets, m) || m.Reads && c.has(m.Set)) {
			c.put(m, base.bytes[m.Name()])
		}
	}
	for _, p := range pieces {
		if err := c.piece(p); err != nil {
			return nil, err
		}
	}
	if err := c.directories(); err != nil {
		return nil, err
	}
	return c.done(limits)
}

type composer struct {
	sets []Set
	base *Look
	look *Look
}

func (c *composer) has(label string) bool {
	return slices.ContainsFunc(c.sets, func(s Set) bool { return s.Label == label })
}

// put adds m, or takes the place of the member of its name.
func (c *composer) put(m Member, data []byte) {
	i, found := slices.BinarySearchFunc(c.look.Members, m, byName)
	if found {
		c.look.Members[i] = m
	} else {
		c.look.Members = slices.Insert(c.look.Members, i, m)
	}
	if m.Type == File {
		c.look.bytes[m.Name()] = data
	}
}

// piece puts one piece in its place.
func (c *composer) piece(p Piece) error {
	m := Member{Set: p.Set, Path: p.Path, Type: File}
	if !Match(c.sets, m) {
		return nil
	}
	was, had := c.look.Member(m.Name())
	if dir, ok := c.base.Member(m.Name()); ok && dir.Type == Dir {
		return &ComposeError{m.Name(), "it is a directory, and a file is to take its place"}
	}
	switch {
	case had && was.Type == Link && p.Type == File:
		return nil // It stays the link that it is; what it leads to is none of the set.
	case had && was.Type == p.Type:
		m = was
		m.Inode, m.Device = 0, 0
	case had, p.Type == Link && slices.ContainsFunc(c.sets, func(s Set) bool { return s.Label == p.Set && len(s.Follow) > 0 }):
		return &ComposeError{m.Name(), "it is a link, and what it leads to cannot be told before it is in place"}
	default:
		m = c.fresh(p)
	}
	m.Size, m.SHA256 = int64(len(p.Bytes)), sum(p.Bytes)
	if p.Type == Link {
		m.Target = string(p.Bytes)
	}
	if err := m.check(); err != nil {
		return &ComposeError{m.Name(), err.Error()}
	}
	c.put(m, p.Bytes)
	return nil
}

// fresh is the member of a piece that base has not: with the mode and owner of
// the file nearest to it, or for nobody but the owner of the root.
func (c *composer) fresh(p Piece) Member {
	m := Member{Set: p.Set, Path: p.Path, Type: p.Type, Mode: 0o600}
	root := c.root(p.Set)
	m.UID, m.GID = root.UID, root.GID
	if near, ok := c.near(p); ok {
		m.Mode, m.UID, m.GID = near.Mode&0o666, near.UID, near.GID
	}
	if p.Executable {
		m.Mode |= m.Mode & 0o444 >> 2
	}
	if p.Type == Link {
		m.Mode = 0o777
	}
	return m
}

// near is the file of base that is nearest to a piece: in its directory, or in the
// nearest one above it; if any has its ending, one of those.
func (c *composer) near(p Piece) (Member, bool) {
	dirs := above(p.Path)
	slices.Reverse(dirs)
	dirs = append(dirs, ".")
	for _, alike := range []bool{true, false} {
		for _, dir := range dirs {
			for _, m := range c.base.Members {
				if m.Set == p.Set && m.Type == File && !m.Reads && m.Followed == "" && path.Dir(m.Path) == dir && (!alike || path.Ext(m.Path) == path.Ext(p.Path)) {
					return m, true
				}
			}
		}
	}
	return Member{}, false
}

// directories adds those that hold members: base's, or new ones like the
// directory that they are in.
func (c *composer) directories() error {
	for _, m := range slices.Clone(c.look.Members) {
		for _, dir := range above(m.Path) {
			d := Member{Set: m.Set, Path: dir, Type: Dir}
			was, had := c.base.Member(d.Name())
			is, there := c.look.Member(d.Name())
			switch {
			case there && is.Type == Dir:
			case !there && had && was.Type == Dir:
				c.put(was, nil)
			case m.Followed != "" && m.Target == "":
				// A link above it led there, and is a member of its own.
			case there:
				return &ComposeError{m.Name(), fmt.Sprintf("%s, in which it would lie, is a %s", d.Name(), is.Type)}
			default:
				up := c.root(m.Set)
				d.Mode, d.UID, d.GID = up.Mode&0o777, up.UID, up.GID
				if parent, ok := c.look.Member(Member{Set: m.Set, Path: path.Dir(dir)}.Name()); ok {
					d.Mode, d.UID, d.GID = parent.Mode&0o777, parent.UID, parent.GID
				}
				c.put(d, nil)
			}
		}
	}
	return nil
}

func (c *composer) root(label string) RootID {
	return c.look.Roots[slices.IndexFunc(c.look.Roots, func(id RootID) bool { return id.Label == label })]
}

// above are the directories above a member, from the top.
func above(name string) []string {
	var dirs []string
	for i, r := range name {
		if r == '/' {
			dirs = append(dirs, name[:i])
		}
	}
	return dirs
}

// done finishes the look.
func (c *composer) done(limits Limits) (*Look, error) {
	l := c.look
	total := int64(0)
	for _, m := range l.Members {
		total += m.Size
		switch {
		case m.Size > limits.File:
			return nil, &RefusedError{Path: m.Name(), Why: FileTooBig}
		case total > limits.Set:
			return nil, &RefusedError{Path: m.Name(), Why: SetTooBig}
		}
	}
	if len(l.Members) > limits.Files {
		return nil, &RefusedError{Path: l.Roots[0].Path, Why: TooMany}
	}
	for _, s := range c.sets {
		l.Missing = append(l.Missing, missing(s, l.Members)...)
	}
	slices.Sort(l.Missing)
	l.Hash, l.Content = hash(l.Members), content(l.Members)
	l.Identity, _ = identity(c.sets, l.Members, func(name string) ([]byte, error) { return l.bytes[name], nil })
	return l, nil
}

// Recall returns a snapshot as a look, with its bytes, as it was captured. The
// error wraps [ErrDamaged] where they are no longer those.
func (s *Store) Recall(m Manifest) (*Look, error) {
	l := &Look{
		Members: slices.Clone(m.Members), Roots: slices.Clone(m.Roots), Follows: slices.Clone(m.Follows),
		Hash: m.Hash, Content: m.Content, Identity: m.Identity, bytes: map[string][]byte{},
	}
	for _, member := range m.Members {
		if member.Type != File {
			continue
		}
		data, err := s.read(m.ID, member)
		if err != nil {
			return nil, err
		}
		l.bytes[member.Name()] = data
	}
	return l, nil
}

// Pieces are the files and links of a look: of a directory that holds a minimal
// config, or a new one.
func (l *Look) Pieces() []Piece {
	var pieces []Piece
	for _, m := range l.Members {
		switch m.Type {
		case File:
			pieces = append(pieces, Piece{Set: m.Set, Path: m.Path, Type: File, Executable: m.Mode&0o100 != 0, Bytes: l.bytes[m.Name()]})
		case Link:
			pieces = append(pieces, Piece{Set: m.Set, Path: m.Path, Type: Link, Bytes: []byte(m.Target)})
		}
	}
	return pieces
}
