package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MkdirAll makes the directory at path and those above it that are missing, with
// permissions perm before the umask, and makes the names of those it has made
// durable: what survives a power failure in a directory that does not is lost.
// One that is there costs one look. It follows links.
//
// A directory above whose reading is not allowed, or a file system that cannot
// sync directories, is no error.
func MkdirAll(path string, perm os.FileMode) error {
	var missing []string
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := syncNames(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("cannot sync directory %s: %w", filepath.Dir(dir), err)
		}
	}
	return nil
}

func syncNames(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
