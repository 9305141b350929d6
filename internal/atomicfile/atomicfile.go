package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Prefix begins every temporary name.
const Prefix = ".deadman-"

// WriteFile replaces the file name beneath root, or creates it, with data. The
// permissions are exactly perm, whatever the umask; perm may hold setuid,
// setgid and sticky. A link at name is replaced, not followed. On an error the
// old file is in place and whole, unless the error is that of the last step,
// the sync of the directory: then either may be there after a power failure.
func WriteFile(root *os.Root, name string, data []byte, perm os.FileMode) error {
	return inParent(root, "write", name, func(dir *os.Root, base string) error {
		temp := TempName()
		f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(fill(f, data, perm), f.Close()); err != nil {
			return errors.Join(err, dir.Remove(temp))
		}
		return replace(dir, temp, base)
	})
}

// fill writes data to f and makes it durable. Writing clears setuid and setgid,
// so the permissions come after the bytes.
func fill(f *os.File, data []byte, perm os.FileMode) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	return f.Sync()
}

// Symlink replaces whatever file or link is at name beneath root, or nothing,
// with a symbolic link to target. The target is text: it may lead out of root
// and need not exist.
func Symlink(root *os.Root, target, name string) error {
	return inParent(root, "link", name, func(dir *os.Root, base string) error {
		temp := TempName()
		if err := dir.Symlink(target, temp); err != nil {
			return err
		}
		return replace(dir, temp, base)
	})
}

// SyncDir makes the names in the directory dir beneath root durable.
func SyncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync directory %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot sync directory %s: %w", dir, err)
	}
	return nil
}

// ErrNoExchange is that the kernel or the file system cannot exchange two
// names. Nothing has been changed.
var ErrNoExchange = errors.New("cannot exchange two names on this file system")

// Exchange swaps the files a and b, which are in the same directory beneath
// root, in one step: no one ever sees either name missing. Links are swapped
// and not followed. It does not sync the directory. Where that is impossible
// the error is [ErrNoExchange].
func Exchange(root *os.Root, a, b string) error {
	if path.Dir(a) != path.Dir(b) {
		return fmt.Errorf("cannot exchange %s and %s: not in one directory", a, b)
	}
	return inParent(root, "exchange", a, func(dir *os.Root, base string) error {
		d, err := dir.Open(".")
		if err != nil {
			return err
		}
		defer d.Close()
		return exchange(int(d.Fd()), base, path.Base(b))
	})
}

// Move renames the file or link a in the directory from to b in the directory
// to, in one step, unless there is something at b: then the error is
// [fs.ErrExist] and nothing has been changed. It does not sync the directories.
//
// Where the kernel cannot promise that, b is made a second name of a, durably,
// before a goes, which takes two steps; and where there are no hard links either
// (FAT) b is only looked at first.
func Move(from *os.Root, a string, to *os.Root, b string) error {
	if err := move(from, a, to, b); err != nil {
		return fmt.Errorf("cannot rename %s to %s: %w", a, b, err)
	}
	return nil
}

func move(from *os.Root, a string, to *os.Root, b string) error {
	for _, name := range []string{a, b} {
		if name != path.Base(name) || name == "." || name == ".." || name == "/" {
			return fmt.Errorf("%q is not a name in a directory", name)
		}
	}
	f, err := from.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := to.Open(".")
	if err != nil {
		return err
	}
	defer t.Close()
	if err := renameNew(int(f.Fd()), a, int(t.Fd()), b); !errors.Is(err, errNoRenameNew) {
		return err
	}
	err = unix.Linkat(int(f.Fd()), a, int(t.Fd()), b, 0)
	if err == nil {
		if err := t.Sync(); err != nil {
			return errors.Join(err, unix.Unlinkat(int(t.Fd()), b, 0))
		}
		return unix.Unlinkat(int(f.Fd()), a, 0)
	}
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	if _, err := to.Lstat(b); err == nil {
		return fs.ErrExist
	}
	return unix.Renameat(int(f.Fd()), a, int(t.Fd()), b)
}

// errNoRenameNew is that renameNew cannot be done here.
var errNoRenameNew = errors.New("no rename without replacing")

// TempName returns a new temporary name.
func TempName() string { return Prefix + rand.Text() }

// IsTemp reports whether the last element of name has the form that [TempName]
// gives, perhaps with a suffix that begins with a dot. A user's own
// ".deadman-notes" has not.
func IsTemp(name string) bool {
	text, found := strings.CutPrefix(path.Base(name), Prefix)
	text, _, _ = strings.Cut(text, ".")
	return found && len(text) == len(rand.Text()) &&
		strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// replace renames temp over base and makes it durable.
func replace(dir *os.Root, temp, base string) error {
	if err := dir.Rename(temp, base); err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	return SyncDir(dir, ".")
}

// inParent calls do with the directory that holds name.
func inParent(root *os.Root, verb, name string, do func(dir *os.Root, base string) error) error {
	// Not fs.ValidPath: a file name need not be UTF-8.
	if !filepath.IsLocal(name) || path.Clean(name) == "." {
		return fmt.Errorf("cannot %s %q: not a path beneath the root", verb, name)
	}
	dir, err := root.OpenRoot(path.Dir(name))
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	defer dir.Close()
	if err := do(dir, path.Base(name)); err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	return nil
}
