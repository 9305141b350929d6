package restore

import (
	"errors"

	"golang.org/x/sys/unix"
)

// lchown gives the link base its owner. By its name alone, a hard link to
// somebody's file that was put there since would get that owner.
func (d *dir) lchown(base string, uid, gid int) error {
	fd, err := unix.Openat(int(d.f.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK || st.Nlink != 1 {
		return errors.New("it is no longer the link that was there")
	}
	return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}
