package snapshot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenStepwise is OpenPlain where the kernel cannot do it.
func OpenStepwise(path string) (*os.Root, error) {
	fd, err := stepwise(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d/.", fd))
}
