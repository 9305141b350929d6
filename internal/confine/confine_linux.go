package confine

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Kept are the capabilities that capturing and restoring need, each shown by a
// test that fails without it: to read and write what belongs to another user, to
// give a file its owner, its mode, its setgid bit and its own capabilities, and to
// pass by a quota, which an agent may have used up. CAP_DAC_READ_SEARCH is not
// among them: the first one includes it, but for opening files by number anywhere.
var Kept = []int{
	unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_SETFCAP, unix.CAP_SYS_RESOURCE,
}

// Do does work on a thread that is confined to r, and returns when it is done.
func Do(r Rules, work func()) { apart(func() { restrict(r); work() }) }

// apart does work on a thread of its own, which ends with it.
func apart(work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks it
		if unix.Gettid() != os.Getpid() {
			work()
			return
		}
		// The first thread cannot end, and what the world sees of the process is
		// what it is. While it is held here, work gets another one.
		apart(work)
		runtime.UnlockOSThread()
	}()
	<-done
}

// restrict takes from the calling thread what it need not have. What the kernel
// does not know, or a container forbids, is done without: the code is careful all
// the same, and an agent that is not guarded is worse.
func restrict(r Rules) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return
	}
	landlock(r)
	drop(Kept)
}

// drop leaves the calling thread no capability but kept, of those it has.
func drop(kept []int) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return
	}
	var mask [2]uint32
	for _, c := range kept {
		mask[c/32] |= 1 << (c % 32)
	}
	for i := range data {
		data[i].Permitted &= mask[i]
		data[i].Effective &= mask[i]
		data[i].Inheritable = 0
	}
	_ = unix.Capset(&header, &data[0])
}
