package restore

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs returns the extended attributes of f that are restored, which are
// those that a snapshot records.
func xattrs(f *os.File) (map[string][]byte, error) {
	buf := make([]byte, 64<<10) // the kernel's limit for a list and for a value
	n, err := unix.Flistxattr(int(f.Fd()), buf)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, nil // as a snapshot does
	}
	if err != nil {
		return nil, err
	}
	attrs := map[string][]byte{}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		switch {
		case name == "security.capability", name == "system.posix_acl_access", name == "system.posix_acl_default":
		case strings.HasPrefix(name, "user."):
		default:
			continue
		}
		n, err := unix.Fgetxattr(int(f.Fd()), name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		attrs[name] = bytes.Clone(value[:n])
	}
	return attrs, nil
}

func setXattr(f *os.File, name string, value []byte) error {
	return unix.Fsetxattr(int(f.Fd()), name, value, 0)
}

func removeXattr(f *os.File, name string) error {
	err := unix.Fremovexattr(int(f.Fd()), name)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	return err
}

// immutable reports whether the file or link base in the directory cannot be
// replaced whatever its permissions say (chattr +i, +a).
func immutable(dir *os.File, base string) bool {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), base, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}
