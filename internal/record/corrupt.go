package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// SetAside renames a damaged database and its -wal and -shm to
// deadman.db.corrupt-<now>…, begins a new one and returns it with the name that
// the old one has now. Nothing is deleted.
//
// It looks for the damage itself, with the whole of [Log.Check], and if there is
// none (another process was quicker, or the fault has passed) it returns the
// database as it is and no name. The new log numbers its entries from 1.
func SetAside(ctx context.Context, dir string, now time.Time) (*Log, string, error) {
	path := filepath.Join(dir, fileName)
	kept, err := setAside(ctx, path, now)
	if err != nil {
		return nil, "", err
	}
	l, err := Open(dir)
	return l, kept, err
}

func setAside(ctx context.Context, path string, now time.Time) (kept string, err error) {
	unlock, err := lockDirOf(ctx, path)
	if err != nil {
		return "", err
	}
	defer unlock()

	// Read-only: opening for writing might create a database, and that waits
	// for the lock that we hold.
	err = damage(ctx, filepath.Dir(path))
	if !errors.Is(err, ErrCorrupt) {
		if errors.Is(err, ErrNoLog) {
			err = nil
		}
		return "", err
	}

	kept = path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	for n := 2; exists(kept); n++ {
		kept = fmt.Sprintf("%s.corrupt-%s-%d", path, now.UTC().Format("20060102T150405Z"), n)
	}
	// The database comes last. A crash in between leaves a damaged database
	// that is set aside at the next start; in the other order the old WAL would
	// wait for the new database.
	for _, suffix := range []string{"-shm", "-wal", ""} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot set the damaged log aside: %w", err)
		}
	}
	return kept, syncDir(filepath.Dir(path))
}

func damage(ctx context.Context, dir string) error {
	l, err := OpenReadOnly(dir)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Check(ctx)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// syncDir makes a new name in a directory survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot sync %s: %w", dir, err)
	}
	return nil
}
