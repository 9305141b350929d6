package snapshot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// search opens a directory for looking up names in it, which takes no right to
// read it.
const search = unix.O_PATH

func openPlain(path string) (*os.Root, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	// Before Linux 5.6, and where a container's filter does not know the call.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		fd, err = stepwise(path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	// The one way from a descriptor to an os.Root.
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d/.", fd))
}
