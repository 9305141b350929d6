package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockDirOf takes an advisory lock on the directory that holds path, so that
// creating and setting aside a database happen one at a time.
func lockDirOf(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("cannot lock the state directory: %w", err)
	}
	if err := lockFile(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { unlockFile(f) }, nil
}

// unlockFile closes f and gives its lock up, which closing alone would not do
// while a child is between fork and exec: it shares the open file.
func unlockFile(f *os.File) {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	f.Close()
}

// lockFile takes flock's exclusive lock, waiting busyTimeout at most: a holder
// that is stopped must not stop us.
func lockFile(ctx context.Context, f *os.File) error {
	const pace = 2 * time.Millisecond
	for deadline := time.Now().Add(busyTimeout); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return fmt.Errorf("cannot lock %s: another process has held it for %v", f.Name(), busyTimeout)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot lock %s: %w", f.Name(), ctx.Err())
		case <-time.After(pace):
		}
	}
}
