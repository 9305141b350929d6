package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deadman/internal/document"
)

// Look is one consistent reading of an agent's live config: its members with
// their bytes, before anything is stored.
type Look struct {
	// Members are sorted by Name.
	Members []Member
	// Roots are in the order of the sets.
	Roots []RootID
	// Follows are the directories of Set.Follow that a link of the set led into.
	Follows []RootID
	// Missing are the names (label and path) that Files spells out and that do
	// not exist, sorted.
	Missing []string
	// Left is what ObserveGone has left, in the order of names.
	Left []Left
	// Hash, the bytes hash, is the hex SHA-256 over the sorted lines
	//
	//	path NUL type NUL mode NUL uid:gid NUL sha256 LF
	//
	// of the members: path is Name, type is file, dir or link, mode is four
	// octal digits, uid and gid are decimal, sha256 is Member.SHA256. Two looks
	// with equal hashes read the same bytes, modes and owners under the same
	// names.
	Hash string
	// Content is the same over lines without mode and owner:
	//
	//	path NUL type NUL sha256 LF
	//
	// Equal Content and different Hash is a change of permissions.
	Content string
	// Identity is Hash, but a file that has preserve keys and parses
	// contributes the SHA-256 of its canonical decoded form without those keys
	// in place of that of its bytes. Every comparison that asks "is this the
	// same config" uses it. A file that does not parse contributes its bytes.
	Identity string
	// Changed is the latest ctime of any member, of every directory and link
	// on the way to one, and of the roots. A process that started later than
	// this started on these bytes, as far as ctimes can tell.
	Changed time.Time
	// Written is the same without directories, whose ctime moves with every
	// pid file and log that the agent makes beside its config. Whatever puts a
	// file in place (write, rename, link, chmod) moves the file's own ctime, so
	// Written misses only that a member was removed, or that a whole directory
	// took the place of another; an earlier look with the same members, inodes
	// and roots rules both out.
	Written time.Time

	bytes map[string][]byte
}

// Bytes returns the bytes of the file with this name, nil if there is none. The
// caller must not change them.
func (l *Look) Bytes(name string) []byte { return l.bytes[name] }

// Member returns the member with this name.
func (l *Look) Member(name string) (Member, bool) { return find(l.Members, name) }

// rereads is how often a look is repeated when the files change under it, and
// pace the wait before each: together a third of a second, which outlasts an
// editor's save and leaves a check within its deadline.
var rereads = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond}

// Observe reads the config that sets describe. It changes nothing, and follows
// no link but those that Set.Follow allows.
//
// Files are held open until all (or 64 of them) are read, and compared with
// what they were before: a file changed or replaced meanwhile makes Observe
// look again, and after a few times return [ErrUnsettled]. A file system whose
// timestamps have a coarse grain can hide a change of equal length within one
// grain (4 ms on most kernels); nothing is proven before the set has settled,
// which is what makes that harmless.
//
// The error is [ErrUnsettled], a [*RefusedError], that of ctx, or that of an
// invalid set.
func Observe(ctx context.Context, sets []Set, limits Limits) (*Look, error) {
	return look(ctx, sets, limits, false)
}

// ObserveGone is Observe for who is about to put the set back: a root that is
// gone, in a directory that is there, is a set without members. Its RootID has
// no inode. In health it is an error, because a config that is gone is not an
// empty one. And what cannot be captured is in Look.Left, and no error.
func ObserveGone(ctx context.Context, sets []Set, limits Limits) (*Look, error) {
	return look(ctx, sets, limits, true)
}

func look(ctx context.Context, sets []Set, limits Limits, gone bool) (*Look, error) {
	if err := valid(sets); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		look, err := observe(ctx, sets, limits, gone)
		if !errors.Is(err, ErrUnsettled) || i == len(rereads) {
			return look, err
		}
		select {
		case <-time.After(rereads[i]):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func observe(ctx context.Context, sets []Set, limits Limits, gone bool) (*Look, error) {
	o := observer{ctx: ctx, gone: gone, limits: limits, look: &Look{bytes: map[string][]byte{}}}
	defer o.close()
	for i := range sets {
		if err := o.set(&sets[i]); err != nil {
			return nil, err
		}
	}
	if err := o.settled(); err != nil {
		return nil, err
	}
	l := o.look
	slices.SortFunc(l.Members, byName)
	slices.SortFunc(l.Left, func(a, b Left) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, s := range sets {
		l.Missing = append(l.Missing, missing(s, l.Members)...)
	}
	slices.Sort(l.Missing)
	l.Hash, l.Content = hash(l.Members), content(l.Members)
	l.Identity, _ = identity(sets, l.Members, func(name string) ([]byte, error) { return l.bytes[name], nil })
	return l, nil
}

func byName(a, b Member) int { return cmp.Compare(a.Name(), b.Name()) }

func find(members []Member, name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(members, name, func(m Member, name string) int { return cmp.Compare(m.Name(), name) })
	if !ok {
		return Member{}, false
	}
	return members[i], true
}

// missing returns the names that the set spells out, does not exclude, and
// members lack.
func missing(s Set, members []Member) []string {
	var names []string
	for _, pattern := range s.Files {
		path, ok := literal(pattern)
		if !ok || !s.Matches(path) {
			continue
		}
		name := Member{Set: s.Label, Path: path}.Name()
		if _, ok := find(members, name); !ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// hash is Look.Hash of members.
func hash(members []Member) string {
	return digest(members, func(m Member) string {
		return fmt.Sprintf("%s\x00%s\x00%04o\x00%d:%d\x00%s\n", m.Name(), m.Type, m.Mode, m.UID, m.GID, m.SHA256)
	})
}

// content is Look.Content of members.
func content(members []Member) string {
	return digest(members, func(m Member) string {
		return fmt.Sprintf("%s\x00%s\x00%s\n", m.Name(), m.Type, m.SHA256)
	})
}

// IdentityLike is the identity that the look would have if its members had the
// modes and owners of those of the same name in like: that of a snapshot from
// which nothing else tells them apart.
func (l *Look) IdentityLike(sets []Set, like []Member) string {
	members := slices.Clone(l.Members)
	for i, m := range members {
		if was, ok := find(like, m.Name()); ok && was.Type == m.Type {
			members[i].Mode, members[i].UID, members[i].GID = was.Mode, was.UID, was.GID
		}
	}
	id, _ := identity(sets, members, func(name string) ([]byte, error) { return l.bytes[name], nil })
	return id
}

// identity is Look.Identity of members whose bytes read returns.
func identity(sets []Set, members []Member, read func(name string) ([]byte, error)) (string, error) {
	members = slices.Clone(members)
	for _, s := range sets {
		keys := map[string][]string{}
		for _, k := range s.Preserve {
			keys[k.File] = append(keys[k.File], k.Path)
		}
		for path, paths := range keys {
			name := Member{Set: s.Label, Path: path}.Name()
			i := slices.IndexFunc(members, func(m Member) bool { return m.Type == File && m.Name() == name })
			if i < 0 {
				continue
			}
			src, err := read(name)
			if err != nil {
				return "", err
			}
			format, ok := s.Formats[path]
			if !ok {
				format = document.FormatOf(path)
			}
			if canonical, ok := document.Identity(format, src, paths); ok {
				members[i].SHA256 = sum(canonical)
			}
		}
	}
	return hash(members), nil
}

func digest(members []Member, line func(Member) string) string {
	lines := make([]string, len(members))
	for i, m := range members {
		lines[i] = line(m)
	}
	slices.Sort(lines)
	return sum([]byte(strings.Join(lines, "")))
}

// Sum is what Member.SHA256 is of a file's bytes or a link's text.
func Sum(b []byte) string { return sum(b) }

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
