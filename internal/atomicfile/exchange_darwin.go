package atomicfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps a and b in the directory dirfd.
func exchange(dirfd int, a, b string) error {
	err := unix.RenameatxNp(dirfd, a, dirfd, b, unix.RENAME_SWAP)
	if unsupported(err) {
		return ErrNoExchange
	}
	return err
}

// renameNew renames a to b unless b is there.
func renameNew(fromfd int, a string, tofd int, b string) error {
	err := unix.RenameatxNp(fromfd, a, tofd, b, unix.RENAME_EXCL)
	if unsupported(err) {
		return errNoRenameNew
	}
	return err
}

// unsupported: HFS+ and network volumes answer ENOTSUP.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP)
}
