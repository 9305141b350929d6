package restore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

// dir is one directory, open. Everything is done to a single name in it, so
// there is no path in which a link could be planted.
type dir struct {
	root *os.Root
	f    *os.File
	top  bool // belongs to tops, which close it
}

func newDir(root *os.Root) (*dir, error) {
	f, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &dir{root: root, f: f}, nil
}

func (d *dir) close() {
	if d.top {
		return
	}
	d.f.Close()
	d.root.Close()
}

// errNotDir is that a link or file is where a directory must be.
var errNotDir = errors.New("not a directory")

// open opens the directory name in d. It never follows a link: os.Root would
// follow one that stays beneath it, so what was opened is compared with what was
// seen to be a directory.
func (d *dir) open(name string) (*dir, error) {
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, errNotDir
	}
	root, err := d.root.OpenRoot(name + "/.")
	if err != nil {
		return nil, err
	}
	sub, err := newDir(root)
	if err != nil {
		return nil, err
	}
	after, err := sub.f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = errNotDir
	}
	if err != nil {
		sub.close()
		return nil, err
	}
	return sub, nil
}

// descend opens the directory that holds path, beneath top. When a directory on
// the way is missing, or is a link or a file, it returns the one above, with
// whole false: nothing is at path.
func (t *tops) descend(top, path string) (d *dir, base string, whole bool, err error) {
	if !filepath.IsLocal(path) || path == "." {
		return nil, "", false, fmt.Errorf("cannot open %q in %s: not beneath it", path, top)
	}
	elements := strings.Split(path, "/")
	d, err = t.open(top)
	if err != nil {
		return nil, "", false, err
	}
	for _, name := range elements[:len(elements)-1] {
		sub, err := d.open(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
			return d, elements[len(elements)-1], false, nil
		}
		d.close()
		if err != nil {
			return nil, "", false, err
		}
		d = sub
	}
	return d, elements[len(elements)-1], true, nil
}

// openFile opens the regular file base, without following a link and without
// waiting for whoever is at the other end of a FIFO.
func (d *dir) openFile(base string, flag int) (*os.File, error) {
	fd, err := unix.Openat(int(d.f.Fd()), base, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: base, Err: err}
	}
	f := os.NewFile(uintptr(fd), base)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: base, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Types of what can be live but is in no snapshot.
const (
	none  snapshot.Type = ""
	other snapshot.Type = "other"
)

// live is what is at a name now. Its SHA256 is "" for a file that is longer
// than anything it is compared with.
type live struct {
	snapshot.Member
	names uint64 // hard links
}

// look looks at base. A file's bytes are read as far as limit.
func (d *dir) look(base string, limit int64) (live, error) {
	info, err := d.root.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return live{}, nil
	}
	if err != nil {
		return live{}, err
	}
	switch info.Mode().Type() {
	case 0:
		f, err := d.openFile(base, os.O_RDONLY)
		if err != nil {
			return live{}, err
		}
		defer f.Close()
		return lookFile(f, limit)
	case fs.ModeSymlink:
		l := statOf(info)
		l.Type = snapshot.Link
		l.Target, err = d.root.Readlink(base)
		l.SHA256 = digest([]byte(l.Target))
		return l, err
	case fs.ModeDir:
		sub, err := d.open(base)
		if err != nil {
			return live{}, err
		}
		defer sub.close()
		return lookDir(sub.f)
	}
	l := statOf(info)
	l.Type = other
	return l, nil
}

func lookFile(f *os.File, limit int64) (live, error) {
	info, err := f.Stat()
	if err != nil {
		return live{}, err
	}
	l := statOf(info)
	l.Type = snapshot.File
	hash := sha256.New()
	n, err := io.Copy(hash, io.NewSectionReader(f, 0, limit+1))
	if err != nil {
		return live{}, err
	}
	if n <= limit {
		l.SHA256, l.Size = hex.EncodeToString(hash.Sum(nil)), n
	}
	l.Xattrs, err = xattrs(f)
	return l, err
}

func lookDir(f *os.File) (live, error) {
	info, err := f.Stat()
	if err != nil {
		return live{}, err
	}
	l := statOf(info)
	l.Type = snapshot.Dir
	l.Xattrs, err = xattrs(f)
	return l, err
}

func statOf(info fs.FileInfo) live {
	st := info.Sys().(*syscall.Stat_t)
	return live{
		Member: snapshot.Member{
			Mode: uint32(st.Mode) & 0o7777, UID: int(st.Uid), GID: int(st.Gid), Size: st.Size,
			Inode: st.Ino, Device: uint64(st.Dev),
		},
		names: uint64(st.Nlink),
	}
}

// dress gives the open file or directory f the owner, extended attributes and
// mode of want, where they differ from is. A change of owner clears setuid and
// capabilities, and a read-only mode keeps us from setting user attributes, so
// the order matters. An ACL and the mode's group bits are two views of one
// thing, and were recorded together.
func dress(f *os.File, is, want snapshot.Member) error {
	chowned := is.UID != want.UID || is.GID != want.GID
	if chowned {
		if err := f.Chown(want.UID, want.GID); err != nil {
			return err
		}
	}
	if chowned || !maps.EqualFunc(is.Xattrs, want.Xattrs, bytes.Equal) {
		for name := range is.Xattrs {
			if _, ok := want.Xattrs[name]; !ok {
				if err := removeXattr(f, name); err != nil {
					return err
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want.Xattrs)) {
			if err := setXattr(f, name, want.Xattrs[name]); err != nil {
				return fmt.Errorf("attribute %s: %w", name, err)
			}
		}
	}
	// Always: setting an ACL has changed the mode.
	if err := unix.Fchmod(int(f.Fd()), want.Mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return f.Sync()
}

// sizes returns how much of a file must be read to tell whether it is one of
// these.
func sizes(members ...*snapshot.Member) int64 {
	var n int64
	for _, m := range members {
		if m != nil {
			n = max(n, m.Size)
		}
	}
	return n
}
