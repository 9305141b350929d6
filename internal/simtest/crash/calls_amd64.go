//go:build linux

package crash

import "golang.org/x/sys/unix"

// Architecture is how the kernel calls this one in what it asks.
const Architecture = unix.AUDIT_ARCH_X86_64

// legacy are calls that newer architectures do without.
var legacy = []call{
	{name: "open", number: unix.SYS_OPEN, kind: names, fd: none, dir: none, path: 0, arg: 1, bits: unix.O_CREAT | unix.O_TRUNC},
	{name: "creat", number: unix.SYS_CREAT, kind: names, fd: none, dir: none, path: 0},
	{name: "rename", number: unix.SYS_RENAME, kind: names, fd: none, dir: none, path: 1},
	{name: "link", number: unix.SYS_LINK, kind: names, fd: none, dir: none, path: 1},
	{name: "symlink", number: unix.SYS_SYMLINK, kind: names, fd: none, dir: none, path: 1},
	{name: "unlink", number: unix.SYS_UNLINK, kind: names, fd: none, dir: none, path: 0},
	{name: "rmdir", number: unix.SYS_RMDIR, kind: names, fd: none, dir: none, path: 0},
	{name: "mkdir", number: unix.SYS_MKDIR, kind: names, fd: none, dir: none, path: 0},
	{name: "mknod", number: unix.SYS_MKNOD, kind: names, fd: none, dir: none, path: 0},
	{name: "chmod", number: unix.SYS_CHMOD, fd: none, dir: none, path: 0},
	{name: "chown", number: unix.SYS_CHOWN, fd: none, dir: none, path: 0},
	{name: "lchown", number: unix.SYS_LCHOWN, fd: none, dir: none, path: 0},
	{name: "utimes", number: unix.SYS_UTIMES, fd: none, dir: none, path: 0},
	{name: "fork", number: unix.SYS_FORK, fd: none, dir: none, path: none},
	{name: "vfork", number: unix.SYS_VFORK, fd: none, dir: none, path: none},
}
