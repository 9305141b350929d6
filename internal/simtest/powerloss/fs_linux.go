// The library for FUSE does not build for 32 bits.

//go:build amd64 || arm64

package powerloss

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FS is a file system in memory that logs what is done to it. It obeys whoever
// may look at it, and keeps nobody out.
//
// The page cache is between it and the processes, so that a file can be mapped.
// What is written by a mapping comes when the kernel likes.
type FS struct {
	fuse.RawFileSystem // what is not supported

	mu      sync.Mutex
	history History
	now     *Disk // what processes see
	times   map[Inode]times
	links   map[Inode]uint32
	paths   map[Inode]string // where it was last, for a person and for Fault
	next    Inode

	// Fault, if it is set, is asked before an operation on a path, and its error
	// is that of the operation: "write", "sync", "create", "rename".
	Fault func(what, path string) syscall.Errno
	// Race, if it is set, is called before the process pid gives what is at a path
	// another name, or none, or writes to it: for what happens in that very moment,
	// like [FS.Overwrite].
	Race func(pid uint32, path string)
	// NoExchange is that two names cannot be exchanged, and that renaming without
	// replacing cannot be promised, as on NFS.
	NoExchange bool
	// NoAllocate is that space is had only by writing, as on NFS.
	NoAllocate bool
}

type times struct{ modified, changed time.Time }

// NewFS returns an empty one.
func NewFS() *FS {
	now := time.Now()
	return &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		history:       History{Begin: NewDisk()},
		now:           NewDisk(),
		times:         map[Inode]times{Root: {now, now}},
		links:         map[Inode]uint32{},
		paths:         map[Inode]string{Root: ""},
		next:          Root + 1,
	}
}

// Mount mounts it at dir, as root and without fusermount.
func (fs *FS) Mount(dir string) (*fuse.Server, error) {
	server, err := fuse.NewServer(fs, dir, &fuse.MountOptions{
		DirectMountStrict: true, AllowOther: true, Name: "powerloss", FsName: "powerloss",
		Options: []string{"default_permissions"}, MaxWrite: 128 << 10,
		DisableReadDirPlus: true,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot mount a file system at %s: %w", dir, err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("cannot mount a file system at %s: %w", dir, err)
	}
	return server, nil
}

// Len is how many operations there were.
func (fs *FS) Len() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.history.Ops)
}

// Now is what processes see.
func (fs *FS) Now() *Disk {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.now.Clone()
}

// History is the log so far.
func (fs *FS) History() History {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return History{Begin: fs.history.Begin.Clone(), Ops: slices.Clone(fs.history.Ops)}
}

// SyncAll makes everything durable that was done until now.
func (fs *FS) SyncAll() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.do(Op{Kind: OpSyncAll, Text: "sync all"})
}

// Overwrite writes to a file in place, durably, and returns after how many operations
// that was. It is for Race alone.
func (fs *FS) Overwrite(path string, data []byte) int {
	i := Root
	for name := range strings.SplitSeq(path, "/") {
		i = fs.now.nodes[i].Names[name]
	}
	fs.do(Op{Kind: OpTruncate, Text: fs.text("somebody truncates", i), Inode: i})
	fs.do(Op{Kind: OpWrite, Text: fs.text("somebody writes to", i), Inode: i, Data: data})
	fs.do(Op{Kind: OpSync, Text: fs.text("somebody syncs", i), Inode: i})
	return len(fs.history.Ops)
}

func (fs *FS) race(h *fuse.InHeader, paths ...string) {
	for _, path := range paths {
		if fs.Race != nil {
			fs.Race(h.Pid, path)
		}
	}
}

// do does an operation and logs it.
func (fs *FS) do(op Op) {
	for _, n := range op.Names {
		if old := fs.now.nodes[n.Dir].Names[n.Name]; old != 0 {
			fs.links[old]--
		}
		if n.Inode != 0 {
			fs.links[n.Inode]++
			fs.paths[n.Inode] = filepath.Join(fs.paths[n.Dir], n.Name)
		}
		fs.touch(n.Dir)
		if n.Inode != 0 && op.Born == nil {
			fs.change(n.Inode)
		}
	}
	switch op.Kind {
	case OpWrite, OpTruncate:
		fs.touch(op.Inode)
	case OpAttr, OpXattr:
		fs.change(op.Inode)
	case OpNames:
		if op.Born != nil {
			fs.touch(op.Inode)
		}
	}
	op.Memory = strings.HasSuffix(fs.paths[op.Inode], "-shm")
	fs.now.Apply(&op)
	fs.history.Ops = append(fs.history.Ops, op)
}

func (fs *FS) touch(i Inode) { now := time.Now(); fs.times[i] = times{now, now} }

func (fs *FS) change(i Inode) { fs.times[i] = times{fs.times[i].modified, time.Now()} }

func (fs *FS) text(verb string, i Inode) string { return verb + " /" + fs.paths[i] }

func (fs *FS) fault(what string, path string) fuse.Status {
	if fs.Fault == nil {
		return fuse.OK
	}
	return fuse.Status(fs.Fault(what, path))
}

func (fs *FS) attr(i Inode, out *fuse.Attr) {
	n, t := fs.now.nodes[i], fs.times[i]
	size := uint64(len(n.Data) + len(n.Target))
	*out = fuse.Attr{
		Ino: uint64(i), Mode: n.Mode, Owner: fuse.Owner{Uid: n.UID, Gid: n.GID},
		Size: size, Blocks: (size + sector - 1) / sector, Blksize: 4096, Nlink: max(fs.links[i], 1),
	}
	if n.IsDir() {
		out.Nlink = 2
	} else if fs.links[i] == 0 {
		out.Nlink = 0
	}
	out.SetTimes(&t.modified, &t.modified, &t.changed)
}

// entry answers with what is at a name. Nothing is cached: the clock of change
// times is ours.
func (fs *FS) entry(i Inode, out *fuse.EntryOut) {
	out.NodeId, out.Generation = uint64(i), 1
	fs.attr(i, &out.Attr)
}

func (fs *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := fs.now.nodes[Inode(h.NodeId)].Names[name]
	if i == 0 {
		return fuse.ENOENT
	}
	fs.entry(i, out)
	return fuse.OK
}

func (fs *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.attr(Inode(in.NodeId), &out.Attr)
	return fuse.OK
}

func (fs *FS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(in.NodeId)
	n := fs.now.nodes[i]
	if size, ok := in.GetSize(); ok && size != uint64(len(n.Data)) {
		if s := fs.fault("write", fs.paths[i]); s != fuse.OK {
			return s
		}
		fs.do(Op{Kind: OpTruncate, Text: fs.text(fmt.Sprint("truncate to ", size), i), Inode: i, Size: int64(size)})
	}
	op := Op{Kind: OpAttr, Text: fs.text("attributes", i), Inode: i, Mode: n.Mode, UID: n.UID, GID: n.GID}
	mode, chmod := in.GetMode()
	uid, chown := in.GetUID()
	gid, chgrp := in.GetGID()
	if chmod {
		op.Mode = mode
	}
	if chown {
		op.UID = uid
	}
	if chgrp {
		op.GID = gid
	}
	if chmod || chown || chgrp {
		fs.do(op)
	}
	// A time that is set is not worth an operation: nothing is proven by one
	// that lies before a boot.
	if m, ok := in.GetMTime(); ok {
		fs.times[i] = times{m, time.Now()}
	}
	fs.attr(i, &out.Attr)
	return fuse.OK
}

// make makes something new.
func (fs *FS) make(dir Inode, verb, name string, n *Node) (Inode, fuse.Status) {
	if fs.now.nodes[dir].Names[name] != 0 {
		return 0, fuse.Status(syscall.EEXIST)
	}
	if s := fs.fault("create", filepath.Join(fs.paths[dir], name)); s != fuse.OK {
		return 0, s
	}
	i := fs.next
	fs.next++
	fs.do(Op{
		Kind: OpNames, Text: verb + " /" + filepath.Join(fs.paths[dir], name), Inode: i, Born: n,
		Names: []Name{{dir, name, i}},
	})
	return i, fuse.OK
}

func born(h *fuse.InHeader, kind, mode uint32) *Node {
	return &Node{Mode: kind | mode&^syscall.S_IFMT, UID: h.Uid, GID: h.Gid}
}

func (fs *FS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if in.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fuse.EPERM
	}
	i, s := fs.make(Inode(in.NodeId), "create", name, born(&in.InHeader, syscall.S_IFREG, in.Mode))
	if s == fuse.OK {
		fs.entry(i, out)
	}
	return s
}

func (fs *FS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i, s := fs.make(Inode(in.NodeId), "mkdir", name, born(&in.InHeader, syscall.S_IFDIR, in.Mode))
	if s == fuse.OK {
		fs.entry(i, out)
	}
	return s
}

func (fs *FS) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := born(h, syscall.S_IFLNK, 0o777)
	n.Target = target
	i, s := fs.make(Inode(h.NodeId), "symlink", name, n)
	if s == fuse.OK {
		fs.entry(i, out)
	}
	return s
}

func (fs *FS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return []byte(fs.now.nodes[Inode(h.NodeId)].Target), fuse.OK
}

func (fs *FS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, i := Inode(in.NodeId), Inode(in.Oldnodeid)
	if fs.now.nodes[dir].Names[name] != 0 {
		return fuse.Status(syscall.EEXIST)
	}
	fs.do(Op{Kind: OpNames, Text: fs.text("link", i) + " as " + name, Names: []Name{{dir, name, i}}})
	fs.entry(i, out)
	return fuse.OK
}

func (fs *FS) remove(h *fuse.InHeader, name string, isDir bool) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir := Inode(h.NodeId)
	i := fs.now.nodes[dir].Names[name]
	switch n := fs.now.nodes[i]; {
	case i == 0:
		return fuse.ENOENT
	case isDir && !n.IsDir():
		return fuse.ENOTDIR
	case !isDir && n.IsDir():
		return fuse.Status(syscall.EISDIR)
	case len(n.Names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	fs.race(h, filepath.Join(fs.paths[dir], name))
	fs.do(Op{Kind: OpNames, Text: "remove /" + filepath.Join(fs.paths[dir], name), Names: []Name{{dir, name, 0}}})
	return fuse.OK
}

func (fs *FS) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return fs.remove(h, name, false)
}

func (fs *FS) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return fs.remove(h, name, true)
}

func (fs *FS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	from, to := Inode(in.NodeId), Inode(in.Newdir)
	i, j := fs.now.nodes[from].Names[oldName], fs.now.nodes[to].Names[newName]
	exchange, whole := in.Flags&unix.RENAME_EXCHANGE != 0, in.Flags&unix.RENAME_NOREPLACE != 0
	paths := []string{filepath.Join(fs.paths[from], oldName), filepath.Join(fs.paths[to], newName)}
	for _, path := range paths {
		if s := fs.fault("rename", path); s != fuse.OK {
			return s
		}
	}
	switch {
	case (exchange || whole) && fs.NoExchange:
		return fuse.EINVAL
	case i == 0 || exchange && j == 0:
		return fuse.ENOENT
	case whole && j != 0:
		return fuse.Status(syscall.EEXIST)
	case i == j:
		return fuse.OK
	case j != 0 && !exchange:
		a, b := fs.now.nodes[i], fs.now.nodes[j]
		if b.IsDir() != a.IsDir() {
			return fuse.Status(syscall.EISDIR)
		}
		if len(b.Names) > 0 {
			return fuse.Status(syscall.ENOTEMPTY)
		}
	}
	fs.race(&in.InHeader, paths...)
	op := Op{Kind: OpNames, Names: []Name{{from, oldName, 0}, {to, newName, i}}}
	verb := "rename /"
	if exchange {
		op.Names[0].Inode = j
		verb = "exchange /"
	}
	op.Text = verb + paths[0] + " and /" + paths[1]
	fs.do(op)
	return fuse.OK
}

func (fs *FS) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (fs *FS) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	value, ok := fs.now.nodes[Inode(h.NodeId)].Xattrs[name]
	if !ok {
		return 0, fuse.ENOATTR
	}
	return reply(dest, value)
}

func (fs *FS) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var list []byte
	for _, name := range slices.Sorted(maps.Keys(fs.now.nodes[Inode(h.NodeId)].Xattrs)) {
		list = append(append(list, name...), 0)
	}
	return reply(dest, list)
}

func reply(dest, value []byte) (uint32, fuse.Status) {
	if len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}

func (fs *FS) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	if !strings.HasPrefix(name, "user.") {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(in.NodeId)
	fs.do(Op{Kind: OpXattr, Text: fs.text("xattr", i), Inode: i, Xattr: name, Data: append([]byte{}, data...)})
	return fuse.OK
}

func (fs *FS) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(h.NodeId)
	if _, ok := fs.now.nodes[i].Xattrs[name]; !ok {
		return fuse.ENOATTR
	}
	fs.do(Op{Kind: OpXattr, Text: fs.text("no xattr", i), Inode: i, Xattr: name})
	return fuse.OK
}

func (fs *FS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i, s := fs.make(Inode(in.NodeId), "create", name, born(&in.InHeader, syscall.S_IFREG, in.Mode))
	if s == fuse.OK {
		fs.entry(i, &out.EntryOut)
	}
	return s
}

func (fs *FS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(in.NodeId)
	if in.Flags&syscall.O_TRUNC != 0 && len(fs.now.nodes[i].Data) > 0 {
		fs.do(Op{Kind: OpTruncate, Text: fs.text("truncate", i), Inode: i})
	}
	return fuse.OK
}

func (fs *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	data := fs.now.nodes[Inode(in.NodeId)].Data
	n := 0
	if in.Offset < uint64(len(data)) {
		n = copy(buf, data[in.Offset:])
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

func (fs *FS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(in.NodeId)
	if s := fs.fault("write", fs.paths[i]); s != fuse.OK {
		return 0, s
	}
	fs.race(&in.InHeader, fs.paths[i])
	fs.do(Op{
		Kind: OpWrite, Text: fs.text(fmt.Sprintf("write %d bytes at %d to", len(data), in.Offset), i),
		Inode: i, Offset: int64(in.Offset), Data: slices.Clone(data),
	})
	return uint32(len(data)), fuse.OK
}

func (fs *FS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := Inode(in.NodeId)
	if fs.NoAllocate || in.Mode&^unix.FALLOC_FL_KEEP_SIZE != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	if s := fs.fault("write", fs.paths[i]); s != fuse.OK {
		return s
	}
	if end := int64(in.Offset + in.Length); in.Mode == 0 && end > int64(len(fs.now.nodes[i].Data)) {
		fs.do(Op{Kind: OpTruncate, Text: fs.text(fmt.Sprint("allocate ", end), i), Inode: i, Size: end})
	}
	return fuse.OK
}

func (fs *FS) sync(i Inode) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if s := fs.fault("sync", fs.paths[i]); s != fuse.OK {
		return s
	}
	fs.do(Op{Kind: OpSync, Text: fs.text("sync", i), Inode: i})
	return fuse.OK
}

func (fs *FS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fs.sync(Inode(in.NodeId))
}

func (fs *FS) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fs.sync(Inode(in.NodeId))
}

func (fs *FS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (fs *FS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (fs *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir := fs.now.nodes[Inode(in.NodeId)]
	// By inode, so that a place in the list stays one while names come and go.
	type named struct {
		inode Inode
		name  string
	}
	var list []named
	for name, i := range dir.Names {
		list = append(list, named{i, name})
	}
	slices.SortFunc(list, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.inode, b.inode), cmp.Compare(a.name, b.name))
	})
	at := uint64(0)
	for i, e := range list {
		at++
		if i == 0 || e.inode != list[i-1].inode {
			at = uint64(e.inode) << 16 // room for its other names
		}
		if at <= in.Offset {
			continue
		}
		if !out.AddDirEntry(fuse.DirEntry{Mode: fs.now.nodes[e.inode].Mode, Name: e.name, Ino: uint64(e.inode), Off: at}) {
			break
		}
	}
	return fuse.OK
}

func (fs *FS) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}

func (fs *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Blocks: 1 << 20, Bfree: 1 << 19, Bavail: 1 << 19, Files: 1 << 20, Ffree: 1 << 19, Bsize: 4096, Frsize: 4096, NameLen: 255}
	return fuse.OK
}

func (fs *FS) String() string { return "powerloss" }
