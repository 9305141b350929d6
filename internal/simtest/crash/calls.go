//go:build linux && (amd64 || arm64)

package crash

import "golang.org/x/sys/unix"

// kind is what a call does, as far as a disk can refuse it.
type kind uint8

const (
	other  kind = iota // no disk refuses it
	writes             // bytes, or room for them
	syncs
	names // makes, moves or takes away a name
)

// call is a system call that changes the world.
type call struct {
	name   string
	number int
	kind   kind
	// fd is the argument that is an open file; dir and path are those that are a
	// directory (none: the working directory) and a name in it.
	fd, dir, path int8
	// The call counts only if an argument has one of these bits, or, with without,
	// none of them. No bits: it always counts.
	arg     uint8
	bits    uint32
	without bool
}

const none = -1

// calls are those that there are on every architecture.
var calls = append(legacy, []call{
	{name: "openat", number: unix.SYS_OPENAT, kind: names, fd: none, dir: 0, path: 1, arg: 2, bits: unix.O_CREAT | unix.O_TRUNC},
	{name: "write", number: unix.SYS_WRITE, kind: writes, fd: 0, dir: none, path: none},
	{name: "writev", number: unix.SYS_WRITEV, kind: writes, fd: 0, dir: none, path: none},
	{name: "pwrite64", number: unix.SYS_PWRITE64, kind: writes, fd: 0, dir: none, path: none},
	{name: "pwritev", number: unix.SYS_PWRITEV, kind: writes, fd: 0, dir: none, path: none},
	{name: "pwritev2", number: unix.SYS_PWRITEV2, kind: writes, fd: 0, dir: none, path: none},
	{name: "sendfile", number: unix.SYS_SENDFILE, kind: writes, fd: 0, dir: none, path: none},
	{name: "copy_file_range", number: unix.SYS_COPY_FILE_RANGE, kind: writes, fd: 2, dir: none, path: none},
	{name: "ftruncate", number: unix.SYS_FTRUNCATE, kind: writes, fd: 0, dir: none, path: none},
	{name: "truncate", number: unix.SYS_TRUNCATE, kind: writes, fd: none, dir: none, path: 0},
	{name: "fallocate", number: unix.SYS_FALLOCATE, kind: writes, fd: 0, dir: none, path: none},
	{name: "fsync", number: unix.SYS_FSYNC, kind: syncs, fd: 0, dir: none, path: none},
	{name: "fdatasync", number: unix.SYS_FDATASYNC, kind: syncs, fd: 0, dir: none, path: none},
	{name: "syncfs", number: unix.SYS_SYNCFS, kind: syncs, fd: 0, dir: none, path: none},
	{name: "renameat2", number: unix.SYS_RENAMEAT2, kind: names, fd: none, dir: 2, path: 3},
	{name: "renameat", number: unix.SYS_RENAMEAT, kind: names, fd: none, dir: 2, path: 3},
	{name: "linkat", number: unix.SYS_LINKAT, kind: names, fd: none, dir: 2, path: 3},
	{name: "symlinkat", number: unix.SYS_SYMLINKAT, kind: names, fd: none, dir: 1, path: 2},
	{name: "unlinkat", number: unix.SYS_UNLINKAT, kind: names, fd: none, dir: 0, path: 1},
	{name: "mkdirat", number: unix.SYS_MKDIRAT, kind: names, fd: none, dir: 0, path: 1},
	{name: "mknodat", number: unix.SYS_MKNODAT, kind: names, fd: none, dir: 0, path: 1},
	{name: "fchmod", number: unix.SYS_FCHMOD, fd: 0, dir: none, path: none},
	{name: "fchmodat", number: unix.SYS_FCHMODAT, fd: none, dir: 0, path: 1},
	{name: "fchmodat2", number: unix.SYS_FCHMODAT2, fd: none, dir: 0, path: 1},
	{name: "fchown", number: unix.SYS_FCHOWN, fd: 0, dir: none, path: none},
	{name: "fchownat", number: unix.SYS_FCHOWNAT, fd: none, dir: 0, path: 1},
	{name: "utimensat", number: unix.SYS_UTIMENSAT, fd: none, dir: 0, path: 1},
	{name: "setxattr", number: unix.SYS_SETXATTR, fd: none, dir: none, path: 0},
	{name: "lsetxattr", number: unix.SYS_LSETXATTR, fd: none, dir: none, path: 0},
	{name: "fsetxattr", number: unix.SYS_FSETXATTR, fd: 0, dir: none, path: none},
	{name: "removexattr", number: unix.SYS_REMOVEXATTR, fd: none, dir: none, path: 0},
	{name: "lremovexattr", number: unix.SYS_LREMOVEXATTR, fd: none, dir: none, path: 0},
	{name: "fremovexattr", number: unix.SYS_FREMOVEXATTR, fd: 0, dir: none, path: none},
	{name: "kill", number: unix.SYS_KILL, fd: none, dir: none, path: none, arg: 1, bits: 0xff},
	{name: "pidfd_send_signal", number: unix.SYS_PIDFD_SEND_SIGNAL, fd: none, dir: none, path: none, arg: 1, bits: 0xff},
	{name: "clone", number: unix.SYS_CLONE, fd: none, dir: none, path: none, arg: 0, bits: unix.CLONE_THREAD, without: true},
	{name: "clone3", number: unix.SYS_CLONE3, fd: none, dir: none, path: none},
	{name: "connect", number: unix.SYS_CONNECT, fd: none, dir: none, path: none},
	{name: "sendto", number: unix.SYS_SENDTO, fd: none, dir: none, path: none},
}...)

// named is the call of that number.
func named(number int) (call, bool) {
	for _, c := range calls {
		if c.number == number {
			return c, true
		}
	}
	return call{}, false
}
