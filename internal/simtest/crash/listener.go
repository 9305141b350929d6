//go:build linux && (amd64 || arm64)

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is struct seccomp_notif, answer struct seccomp_notif_resp
// (linux/seccomp.h).
type notification struct {
	id           uint64
	pid          uint32 // of the thread
	flags        uint32
	number       int32
	architecture uint32
	ip           uint64
	args         [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	err   int32 // negative
	flags uint32
}

// listener is where the kernel asks.
type listener int

// next waits for a question; ok is false when nobody is left who could ask.
func (l listener) next() (n notification, ok bool) {
	for {
		fds := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return n, false
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return n, false // POLLHUP: the last process with the filter is gone
		}
		n = notification{}
		// Whoever asked may have died meanwhile (ENOENT).
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno == 0 {
			return n, true
		}
	}
}

// reply lets a call go, or has it fail. Whoever asked may have died meanwhile.
func (l listener) reply(n notification, refuse unix.Errno) {
	a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if refuse != 0 {
		a = answer{id: n.id, err: -int32(refuse)}
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
}

// Held is a call that waits for our answer.
type Held struct {
	// Name is the system call's, Path the file that it is about, "" if none.
	Name, Path string
	kind       kind
}

// Frees reports whether the call gives room back, or only asks that what was written
// be kept: a disk that is full does not refuse those.
func (h Held) Frees() bool {
	return h.kind == syncs || slices.Contains([]string{"unlink", "unlinkat", "rmdir", "ftruncate", "truncate"}, h.Name)
}

// OnDisk reports whether a disk that has failed may refuse the call.
func (h Held) OnDisk() bool { return h.kind != other }

func (h Held) String() string { return strings.TrimSpace(h.Name + " " + h.Path) }

// held says what a call is about. Calls on what is no file are not held.
func held(n notification) (h Held, ok bool) {
	c, ok := named(int(n.number))
	if !ok {
		return h, false
	}
	h = Held{Name: c.name, kind: c.kind}
	proc := fmt.Sprintf("/proc/%d/", n.pid)
	switch {
	case c.fd != none:
		h.Path, _ = os.Readlink(fmt.Sprintf("%sfd/%d", proc, int32(n.args[c.fd])))
		// socket:[1], pipe:[1], anon_inode:[eventfd]
		return h, strings.HasPrefix(h.Path, "/") && !strings.HasPrefix(h.Path, "/dev/")
	case c.path != none:
		h.Path = text(n.pid, uintptr(n.args[c.path]))
		if filepath.IsAbs(h.Path) {
			break
		}
		dir := proc + "cwd"
		if c.dir != none && int32(n.args[c.dir]) != unix.AT_FDCWD {
			dir = fmt.Sprintf("%sfd/%d", proc, int32(n.args[c.dir]))
		}
		dir, _ = os.Readlink(dir)
		h.Path = filepath.Join(dir, h.Path)
	}
	return h, true
}

// text reads a string of a process.
func text(pid uint32, at uintptr) string {
	buffer := make([]byte, unix.PathMax)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer mem.Close()
	n, _ := mem.ReadAt(buffer, int64(at)) // up to where its memory ends
	name, _, _ := strings.Cut(string(buffer[:n]), "\x00")
	return name
}
