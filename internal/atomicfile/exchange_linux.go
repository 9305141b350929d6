package atomicfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps a and b in the directory dirfd.
func exchange(dirfd int, a, b string) error {
	err := unix.Renameat2(dirfd, a, dirfd, b, unix.RENAME_EXCHANGE)
	if unsupported(err) {
		return ErrNoExchange
	}
	return err
}

// renameNew renames a to b unless b is there.
func renameNew(fromfd int, a string, tofd int, b string) error {
	err := unix.Renameat2(fromfd, a, tofd, b, unix.RENAME_NOREPLACE)
	if unsupported(err) {
		return errNoRenameNew
	}
	return err
}

// unsupported: a file system says EINVAL, a kernel before 3.15 ENOSYS, some
// FUSE servers ENOTSUP.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP)
}
