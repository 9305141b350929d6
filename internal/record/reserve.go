package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// reserveName is the file that holds space for a bad day.
const reserveName = "reserve"

// Reserve makes <dir>/reserve hold at least size bytes of allocated space, to
// be given up when the disk is full (incident 58). It does nothing when it does
// so already, and refuses while less than size would be left for everybody
// else: a reserve must not be what fills the disk.
func Reserve(dir string, size int64) error {
	f, err := os.OpenFile(filepath.Join(dir, reserveName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot reserve space: %w", err)
	}
	defer f.Close()
	held, err := allocated(f)
	if err != nil {
		return fmt.Errorf("cannot reserve space: %w", err)
	}
	if held >= size {
		return nil
	}
	free, err := freeSpace(f)
	if err != nil {
		return fmt.Errorf("cannot reserve space: %w", err)
	}
	if free < size-held+size {
		return fmt.Errorf("cannot reserve %d bytes in %s: only %d are free", size, dir, free)
	}
	if err := allocate(f, size); err != nil {
		_ = f.Truncate(0)
		return fmt.Errorf("cannot reserve %d bytes in %s: %w", size, dir, err)
	}
	return nil
}

// Release gives the reserve up and reports whether that freed any space.
func Release(dir string) (bool, error) {
	path := filepath.Join(dir, reserveName)
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot release the reserve: %w", err)
	}
	defer f.Close()
	held, err := allocated(f)
	if err != nil {
		return false, fmt.Errorf("cannot release the reserve: %w", err)
	}
	// Truncating frees the space even where another process still has the
	// file open; removing would not.
	if err := f.Truncate(0); err != nil {
		return false, fmt.Errorf("cannot release the reserve: %w", err)
	}
	return held > 0, nil
}

// allocated is the space that a file takes on disk, which for a sparse one is
// less than its length.
func allocated(f *os.File) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, errors.New("the reserve is not a regular file")
	}
	return min(st.Blocks*512, st.Size), nil
}

// freeSpace is what an ordinary user may still fill: the blocks kept for root
// are not a reason to take more.
func freeSpace(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// fill allocates by writing, for file systems that cannot do it otherwise. Among them
// are some (NFS) that look for the space only when it is synced.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<16)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
