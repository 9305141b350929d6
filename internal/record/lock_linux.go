package record

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockShared takes SQLite's SHARED lock on f without waiting: a read lock on
// its 510 shared bytes (https://sqlite.org/fileformat2.html#the_lock_byte_page).
// It belongs to the open file and not to the process, so closing another
// descriptor of the same file does not drop it.
func lockShared(f *os.File) bool {
	const sharedFirst, sharedSize = 0x40000000 + 2, 510
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: sharedFirst, Len: sharedSize}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock) == nil
}

// unlockShared gives the lock up. Closing f alone would not while a child is
// between fork and exec: it shares the open file.
func unlockShared(f *os.File) {
	lock := unix.Flock_t{Type: unix.F_UNLCK}
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
}
