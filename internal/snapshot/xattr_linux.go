package snapshot

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs returns the extended attributes of f that a restore puts back. A file
// system without any, and one that hides them, has none.
func xattrs(f *os.File) (map[string][]byte, error) {
	list, err := grow(func(buf []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), buf) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var attrs map[string][]byte
	for name := range strings.SplitSeq(string(list), "\x00") {
		if !keepXattr(name) {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile, which the ctime tells
		} else if err != nil {
			return nil, err
		}
		if attrs == nil {
			attrs = map[string][]byte{}
		}
		attrs[name] = value
	}
	return attrs, nil
}

func keepXattr(name string) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.")
}

// grow calls read with a small buffer, which nearly always is enough, and with
// the largest the kernel knows (64 KiB) if it is not.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	n, err := read(buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10)
		n, err = read(buf)
	}
	if err != nil {
		return nil, err
	}
	return slices.Clip(buf[:n]), nil
}
