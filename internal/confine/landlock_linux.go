package confine

import (
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	read = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// write has the making of FIFOs, sockets and devices, which is what it is to
	// rename one. To make a device takes a capability that is not there.
	write = read | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	list = unix.LANDLOCK_ACCESS_FS_READ_DIR
	// all is what the first version restricts.
	all = unix.LANDLOCK_ACCESS_FS_EXECUTE | write&^unix.LANDLOCK_ACCESS_FS_TRUNCATE&^unix.LANDLOCK_ACCESS_FS_REFER
)

// Landlock is the version of Landlock that is in force: 0, there is none. The
// first version counts for none: with it no file can be renamed from one directory
// to another, which a restore does.
var Landlock = sync.OnceValue(func() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < 2 {
		return 0
	}
	return int(version)
})

// landlock restricts the calling thread to r. The library for this restricts every
// thread of the process, what it starts included.
func landlock(r Rules) {
	version := Landlock()
	if version == 0 {
		return
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: all | unix.LANDLOCK_ACCESS_FS_REFER}
	if version >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return
	}
	ruleset := int(fd)
	defer unix.Close(ruleset)
	for _, rule := range []struct {
		dirs   []string
		access uint64
	}{{r.Read, read}, {r.Write, write}, {r.List, list}} {
		for _, dir := range rule.dirs {
			if !allow(ruleset, dir, rule.access&attr.Handled_access_fs) {
				return
			}
		}
	}
	_, _, _ = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
}

// allow allows access to all that is beneath dir. A link on the way, which whoever
// can write to a directory there may plant at any time, allows nothing. It returns
// false where a container's filter lets nobody ask for that: a rule would be
// missing, and the config could not be read at all.
func allow(ruleset int, dir string, access uint64) bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM)
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	return errno == 0
}
