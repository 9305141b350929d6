package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenPlain opens the directory at an absolute path on which no element is a
// link. One that is, or a link at the end, is syscall.ELOOP: whoever may write
// to a directory on the way can plant it, and lead us anywhere.
func OpenPlain(path string) (*os.Root, error) { return openPlain(path) }

// stepwise opens a directory one element at a time, where the kernel cannot be
// told to pass by no link. The descriptor is good for looking up names.
func stepwise(path string) (int, error) {
	at, err := unix.Open("/", search|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for element := range strings.SplitSeq(path, "/") {
		if err != nil {
			return -1, err
		}
		if element == "" {
			continue
		}
		up := at
		at, err = unix.Openat(up, element, search|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOTDIR) {
			var st unix.Stat_t
			if unix.Fstatat(up, element, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
				err = unix.ELOOP
			}
		}
		_ = unix.Close(up)
	}
	return at, err
}

// openRoot opens a directory that the user has configured, and says where it
// is. The user's own links on the way are followed, but only to find that out:
// it is opened by a path without any, so that what is opened is what is named.
func openRoot(name string) (*os.Root, RootID, stamp, error) {
	id := RootID{Path: name, Real: filepath.Clean(name)}
	root, err := OpenPlain(name)
	if errors.Is(err, syscall.ELOOP) {
		if id.Real, err = filepath.EvalSymlinks(name); err == nil {
			if root, err = OpenPlain(id.Real); errors.Is(err, syscall.ELOOP) {
				return nil, id, stamp{}, ErrUnsettled
			}
		}
	}
	if err != nil {
		why := Unreadable
		switch {
		case errors.Is(err, fs.ErrNotExist):
			why = RootMissing
		case errors.Is(err, syscall.ENOTDIR):
			why = RootNotDir
		}
		return nil, id, stamp{}, &RefusedError{Path: name, Why: why, Err: err}
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, id, stamp{}, &RefusedError{Path: name, Why: Unreadable, Err: err}
	}
	st := stampOf(info)
	id.Device, id.Inode, id.Mode, id.UID, id.GID = st.device, st.inode, st.mode, st.uid, st.gid
	return root, id, st, nil
}

// goneRoot says where a root would be that is not there, or returns err: there
// is something (a link that leads nowhere), or no directory to make it in.
func goneRoot(name string, err error) (RootID, error) {
	name = filepath.Clean(name)
	if _, e := os.Lstat(name); !errors.Is(e, fs.ErrNotExist) {
		return RootID{}, err
	}
	up, e := Locate(filepath.Dir(name))
	if e != nil {
		return RootID{}, err
	}
	return RootID{Path: name, Real: filepath.Join(up.Real, filepath.Base(name))}, nil
}

// Locate says where a directory that the user has configured is.
func Locate(name string) (RootID, error) {
	root, id, _, err := openRoot(name)
	if err != nil {
		return id, err
	}
	return id, root.Close()
}

// is reports whether r and o are of the same directory of the config.
func (r RootID) is(o RootID) bool { return r.Label == o.Label && r.Path == o.Path }

// Linked reports whether the directory is reached through a link.
func (r RootID) Linked() bool { return r.Real != filepath.Clean(r.Path) }

// astray reports whether r, a root as it is now, may not be taken for the one
// that was recorded as was: it is reached through a link, and leads to another
// directory than it did.
//
// A directory in place of a directory is a change like any other, whatever its
// inode: a checkout or a deployment makes the directory anew. What could
// whoever owns its parent put there? Only what may be moved by them, which is
// a directory that they can write to (rename(2) asks for that, since ".." in
// it changes) in one that they can write to, and a mount takes root. So nothing
// gets into our hands that was not in theirs. A link names anything.
func (r RootID) astray(was RootID) bool {
	switch {
	case !r.Linked():
		return false
	case was.Real == "": // recorded by a version that did not look
		return r.Device != was.Device || r.Inode != was.Inode
	}
	return r.Real != was.Real
}

// Astray returns an *AstrayError if one of the directories now may not be taken
// for what the snapshot was has recorded of it, in Roots or Follows. Of one that
// it has not recorded nothing is known, and nothing is said.
func Astray(now []RootID, was Manifest) error {
	for _, id := range now {
		for _, before := range slices.Concat(was.Roots, was.Follows) {
			if id.is(before) && id.astray(before) {
				return &AstrayError{Agent: was.Agent, Path: id.Path, Real: id.Real, Was: cmp.Or(before.Real, "another directory")}
			}
		}
	}
	return nil
}

// AstrayError is that a directory of the config leads, by a link, to another
// directory than it did. What is there is neither stored nor replaced.
type AstrayError struct {
	Agent     string
	Path      string // as configured
	Real, Was string // where it leads, and led when the known good was stored
}

func (e *AstrayError) Error() string {
	return fmt.Sprintf("cannot take %s for the config of %s: it leads to %s by way of a link, and led to %s", e.Path, e.Agent, e.Real, e.Was)
}

// Hint says what a person can do about it.
func (e *AstrayError) Hint() string {
	return fmt.Sprintf("if that is meant, `deadman accept %s` takes what is there for the known good; else put the directory back", e.Agent)
}

// Anchor is the snapshot that says where the roots are: the known good, or,
// while there is none, the newest. It is the zero Manifest if nothing is stored.
func (s *Store) Anchor() (Manifest, error) {
	if m, ok, err := s.KnownGood(); err == nil && ok {
		return m, nil
	}
	all, err := s.List()
	if len(all) > 0 {
		return all[0], nil
	}
	return Manifest{}, err
}
