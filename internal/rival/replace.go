package rival

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"deadman/internal/atomicfile"
)

// ChangedError is that a file is not what it was judged, or put there, as.
type ChangedError struct{ Path, What string }

func (e *ChangedError) Error() string { return fmt.Sprintf("cannot change %s: %s", e.Path, e.What) }

// Hint says how to go on.
func (e *ChangedError) Hint() string {
	return "look at it, and run the command again; the journal keeps what it was"
}

const changedSince = "somebody has changed it meanwhile"

// parent opens the directory that holds p, by a path without links.
func (h *Host) parent(p string) (*os.Root, error) {
	dir := path.Dir(p)
	if h.resolve(dir) != dir {
		return nil, &ChangedError{p, "a link stands in its path now"}
	}
	return os.OpenRoot(h.at(dir))
}

// look reads a file in a directory: its bytes' hash and what it is.
func look(dir *os.Root, base string) (string, fs.FileInfo, []byte, error) {
	f, err := dir.OpenFile(base, safely, 0)
	if err != nil {
		return "", nil, nil, err
	}
	defer f.Close()
	data, info, err := readOpened(f)
	if err != nil {
		return "", nil, nil, err
	}
	return sumOf(data), info, data, nil
}

// replace puts other bytes in a file that must have the hash before, in one step,
// and keeps its owner, mode and attributes. The temporary name is the caller's, so
// that a journal can name it.
func replace(h *Host, p, temp, before string, data []byte, step func(string)) error {
	dir, err := h.parent(p)
	if err != nil {
		return err
	}
	defer dir.Close()
	base := path.Base(p)
	sum, info, _, err := look(dir, base)
	switch {
	case err != nil:
		return fmt.Errorf("cannot read %s: %v", p, err)
	case sum != before:
		return &ChangedError{p, changedSince}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Nlink > 1 {
		return &ChangedError{p, "it has other names (hard links), which would keep what it was"}
	}
	if err := stage(dir, base, temp, info, stat, data); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %v", p, err), clear(dir, temp))
	}
	step("staged")
	switch err := atomicfile.Exchange(dir, temp, base); {
	case errors.Is(err, atomicfile.ErrNoExchange):
		// The last look is as near as it can be.
		if sum, _, _, err := look(dir, base); err != nil || sum != before {
			return errors.Join(&ChangedError{p, changedSince}, clear(dir, temp))
		}
		if err := dir.Rename(temp, base); err != nil {
			return errors.Join(fmt.Errorf("cannot write %s: %v", p, err), clear(dir, temp))
		}
	case err != nil:
		return errors.Join(fmt.Errorf("cannot write %s: %v", p, err), clear(dir, temp))
	default:
		step("exchanged")
		// What was there is now under the other name, where it can be seen.
		if sum, _, _, err := look(dir, temp); err != nil || sum != before {
			if err := atomicfile.Exchange(dir, temp, base); err != nil {
				return errors.Join(&ChangedError{p, changedSince + ", and what it was then is at " + path.Join(path.Dir(p), temp)}, err)
			}
			return errors.Join(&ChangedError{p, changedSince}, clear(dir, temp))
		}
		if err := clear(dir, temp); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(dir, ".")
}

// clear removes a temporary file, if it is there.
func clear(dir *os.Root, temp string) error {
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %v", path.Join(dir.Name(), temp), err)
	}
	return nil
}

// stage writes a file beside another, and makes it the other's like.
func stage(dir *os.Root, base, temp string, info fs.FileInfo, stat *syscall.Stat_t, data []byte) error {
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	// The owner comes before the mode, which it would clear.
	if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	from, err := dir.OpenFile(base, safely, 0)
	if err != nil {
		return err
	}
	err = copyXattrs(from, f)
	from.Close()
	if err != nil {
		return err
	}
	if err := f.Chmod(info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
		return err
	}
	// cron compares whole seconds.
	if now := time.Now(); now.Unix() <= info.ModTime().Unix() {
		later := info.ModTime().Add(time.Second)
		if err := dir.Chtimes(temp, later, later); err != nil {
			return err
		}
	}
	return f.Sync()
}

// rename moves a file to another name beside it, where there is none, if it still
// has the hash; of a link, if it still leads to the same.
func rename(h *Host, from, to, sum, link string) error {
	dir, err := h.parent(from)
	if err != nil {
		return err
	}
	defer dir.Close()
	base := path.Base(from)
	if link != "" {
		if now, err := dir.Readlink(base); err != nil || now != link {
			return &ChangedError{from, changedSince}
		}
	} else if now, _, _, err := look(dir, base); err != nil {
		return fmt.Errorf("cannot read %s: %v", from, err)
	} else if now != sum {
		return &ChangedError{from, changedSince}
	}
	switch err := atomicfile.Move(dir, base, dir, path.Base(to)); {
	case errors.Is(err, fs.ErrExist):
		return &ChangedError{from, to + " is in its place"}
	case err != nil:
		return fmt.Errorf("cannot rename %s: %v", from, err)
	}
	return atomicfile.SyncDir(dir, ".")
}
