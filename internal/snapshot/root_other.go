//go:build unix && !linux

package snapshot

import (
	"os"

	"golang.org/x/sys/unix"
)

const search = unix.O_RDONLY

func openPlain(path string) (*os.Root, error) {
	fd, err := stepwise(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	want, err := f.Stat()
	if err == nil {
		var is os.FileInfo
		if is, err = root.Stat("."); err == nil && !os.SameFile(is, want) {
			err = &os.PathError{Op: "open", Path: path, Err: unix.ELOOP} // a link was planted meanwhile
		}
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}
