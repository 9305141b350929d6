package powerloss

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inode numbers a file, directory or link over the whole life of a file system.
// No number is given out twice.
type Inode uint64

// Root is the directory that everything is beneath.
const Root Inode = 1

// Node is a file, directory or link. One that is on a [Disk] is never changed:
// disks share what is the same on them.
type Node struct {
	Mode     uint32 // type and permissions, as in stat(2)
	UID, GID uint32
	Data     []byte
	Target   string
	Names    map[string]Inode
	Xattrs   map[string][]byte

	once sync.Once
	sum  [sha256.Size]byte // of Data
}

func (n *Node) is(kind uint32) bool { return n.Mode&syscall.S_IFMT == kind }

// IsDir reports whether n is a directory.
func (n *Node) IsDir() bool { return n.is(syscall.S_IFDIR) }

// clone copies all but the bytes of n.
func (n *Node) clone() *Node {
	return &Node{Mode: n.Mode, UID: n.UID, GID: n.GID, Data: n.Data, Target: n.Target, Names: n.Names, Xattrs: n.Xattrs}
}

func (n *Node) digest() [sha256.Size]byte {
	n.once.Do(func() { n.sum = sha256.Sum256(n.Data) })
	return n.sum
}

// Disk is what a file system holds at one time.
type Disk struct{ nodes map[Inode]*Node }

// NewDisk returns an empty one.
func NewDisk() *Disk {
	return &Disk{map[Inode]*Node{Root: {Mode: syscall.S_IFDIR | 0o755}}}
}

// Clone returns a disk that can be changed without changing d.
func (d *Disk) Clone() *Disk { return &Disk{maps.Clone(d.nodes)} }

// At returns what is at a path beneath the root, nil if there is nothing. It
// follows no link.
func (d *Disk) At(path string) *Node {
	n := d.nodes[Root]
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if n = d.nodes[n.Names[name]]; n == nil {
			return nil
		}
	}
	return n
}

// Walk calls visit for everything beneath path, that included, each directory
// before what is in it and names in their order.
func (d *Disk) Walk(path string, visit func(path string, n *Node)) {
	n := d.At(path)
	if n == nil {
		return
	}
	visit(path, n)
	for _, name := range slices.Sorted(maps.Keys(n.Names)) {
		d.Walk(filepath.Join(path, name), visit)
	}
}

// Digest is a hash over all that is at these paths, and beneath them, except what
// skip, if it is given, leaves out.
func (d *Disk) Digest(skip func(path string) bool, paths ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, path := range paths {
		d.Walk(path, func(path string, n *Node) {
			if skip == nil || !skip(path) {
				n.write(h, path)
			}
		})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (n *Node) write(h hash.Hash, path string) {
	sum := n.digest()
	fmt.Fprintf(h, "%d:%s", len(path), path)
	_ = binary.Write(h, binary.LittleEndian, []uint32{n.Mode, n.UID, n.GID})
	h.Write(sum[:])
	fmt.Fprintf(h, "%d:%s", len(n.Target), n.Target)
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(n.Xattrs[name]), n.Xattrs[name])
	}
}

// Apply does one operation. What it needs need not be there: on a platter an
// operation is what it wrote, not what was asked for.
func (d *Disk) Apply(op *Op) {
	if op.Born != nil {
		if d.nodes[op.Inode] == nil {
			d.nodes[op.Inode] = op.Born
		}
	}
	for _, e := range op.Names {
		dir := d.nodes[e.Dir]
		if dir == nil {
			continue
		}
		dir = dir.clone()
		dir.Names = maps.Clone(dir.Names)
		if dir.Names == nil {
			dir.Names = map[string]Inode{}
		}
		if e.Inode == 0 {
			delete(dir.Names, e.Name)
		} else {
			dir.Names[e.Name] = e.Inode
		}
		d.nodes[e.Dir] = dir
	}
	old := d.nodes[op.Inode]
	if old == nil {
		return
	}
	n := old.clone()
	switch op.Kind {
	case OpWrite:
		n.Data = make([]byte, max(int64(len(old.Data)), op.Offset+int64(len(op.Data))))
		copy(n.Data, old.Data)
		copy(n.Data[op.Offset:], op.Data)
	case OpTruncate:
		n.Data = make([]byte, op.Size)
		copy(n.Data, old.Data)
	case OpAttr:
		n.Mode, n.UID, n.GID = n.Mode&syscall.S_IFMT|op.Mode&^syscall.S_IFMT, op.UID, op.GID
	case OpXattr:
		n.Xattrs = maps.Clone(n.Xattrs)
		if n.Xattrs == nil {
			n.Xattrs = map[string][]byte{}
		}
		if op.Data == nil {
			delete(n.Xattrs, op.Xattr)
		} else {
			n.Xattrs[op.Xattr] = op.Data
		}
	default:
		return
	}
	d.nodes[op.Inode] = n
}

// Write makes what is on the disk at these paths, as plain files beneath dir.
func (d *Disk) Write(dir string, paths ...string) error {
	first := map[*Node]string{} // a second name is a link to the first
	var errs error
	var settle []func() error // directories last, or a mode might bar the way
	for _, path := range paths {
		if d.At(path) == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
			return err
		}
		d.Walk(path, func(path string, n *Node) {
			full := filepath.Join(dir, path)
			var err error
			switch n.Mode & syscall.S_IFMT {
			case syscall.S_IFDIR:
				err = os.MkdirAll(full, 0o700)
			case syscall.S_IFLNK:
				err = errors.Join(os.Symlink(n.Target, full), os.Lchown(full, int(n.UID), int(n.GID)))
			default:
				if name, again := first[n]; again {
					err = os.Link(name, full)
					break
				}
				first[n] = full
				err = os.WriteFile(full, n.Data, 0o600)
			}
			errs = errors.Join(errs, err)
			if !n.is(syscall.S_IFLNK) {
				settle = append(settle, func() error {
					errs := errors.Join(os.Chown(full, int(n.UID), int(n.GID)), os.Chmod(full, fileMode(n.Mode)))
					for name, value := range n.Xattrs {
						errs = errors.Join(errs, unix.Setxattr(full, name, value, 0))
					}
					return errs
				})
			}
		})
	}
	for _, do := range slices.Backward(settle) {
		errs = errors.Join(errs, do())
	}
	return errs
}

func fileMode(mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]os.FileMode{
		syscall.S_ISUID: os.ModeSetuid, syscall.S_ISGID: os.ModeSetgid, syscall.S_ISVTX: os.ModeSticky,
	} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// Difference says where two disks differ, for a person.
func Difference(a, b *Disk) string {
	lines := map[string]string{}
	note := func(d *Disk, sign string) {
		d.Walk("", func(path string, n *Node) {
			sum := n.digest()
			lines[path] += fmt.Sprintf(" %s%o %d:%d %d bytes %x%s", sign, n.Mode, n.UID, n.GID, len(n.Data), sum[:4], n.Target)
		})
	}
	note(a, "-")
	note(b, "+")
	var out []string
	for path, line := range lines {
		x, y, both := strings.Cut(line, " +")
		if !both || strings.TrimPrefix(x, " -") != y {
			out = append(out, path+line)
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return strings.Join(out, "\n")
}

// ReadDisk returns what is beneath dir, without extended attributes.
func ReadDisk(dir string) (*Disk, error) {
	d := NewDisk()
	next := Root
	var read func(i Inode, dir string) error
	read = func(i Inode, dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		names := map[string]Inode{}
		d.nodes[i].Names = names
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			var st syscall.Stat_t
			if err := syscall.Lstat(path, &st); err != nil {
				return err
			}
			n := &Node{Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid}
			next++
			names[e.Name()], d.nodes[next] = next, n
			switch n.Mode & syscall.S_IFMT {
			case syscall.S_IFDIR:
				err = read(next, path)
			case syscall.S_IFLNK:
				n.Target, err = os.Readlink(path)
			case syscall.S_IFREG:
				n.Data, err = os.ReadFile(path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return d, read(Root, dir)
}
