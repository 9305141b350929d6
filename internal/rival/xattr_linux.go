package rival

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyXattrs gives f the extended attributes of another. One that it has
// already (a label that the system gives) need not be given.
func copyXattrs(from, f *os.File) error {
	buf := make([]byte, 64<<10) // the kernel's limit for a list and for a value
	n, err := unix.Flistxattr(int(from.Fd()), buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("attributes: %v", err)
	}
	value, has := make([]byte, 64<<10), make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err != nil {
			return fmt.Errorf("attribute %s: %v", name, err)
		}
		if m, err := unix.Fgetxattr(int(f.Fd()), name, has); err == nil && string(has[:m]) == string(value[:n]) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, value[:n], 0); err != nil {
			return fmt.Errorf("attribute %s: %v", name, err)
		}
	}
	return nil
}
