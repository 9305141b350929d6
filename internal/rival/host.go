package rival

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Host is the machine that is looked at.
type Host struct {
	// Root is the directory that it is in: "/" but in tests and for the disk of a
	// machine that does not run. All paths of agents and rivals are within it.
	Root string
	// Config is the config file that is in force: who runs deadman on it is no rival.
	Config string

	unseen []string // what may not be read
}

// fileMax is how much of a file is read: nothing that is judged comes near it.
const fileMax = 1 << 20

// dirMax is how many names of a directory are looked at.
const dirMax = 10000

// file is what was read of a file.
type file struct {
	path string // within the host, after links
	text string
	mode fs.FileMode
	sum  string
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// at is the path of p outside.
func (h *Host) at(p string) string { return filepath.Join(h.Root, p) }

// inside tells whether this is the machine itself, whose programs can be asked.
func (h *Host) live() bool { return filepath.Clean(h.Root) == "/" }

// resolve follows links within the host. What is not there stays as it is named.
func (h *Host) resolve(p string) string {
	p = path.Clean("/" + p)
	for range 40 {
		next, changed := h.step(p)
		if !changed {
			return p
		}
		p = next
	}
	return p
}

// step replaces the first link in p by where it leads.
func (h *Host) step(p string) (string, bool) {
	parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
	at := "/"
	for i, part := range parts {
		here := path.Join(at, part)
		target, err := os.Readlink(h.at(here))
		if err != nil {
			at = here
			continue
		}
		if !path.IsAbs(target) {
			target = path.Join(at, target)
		}
		return path.Join(append([]string{"/", target}, parts[i+1:]...)...), true
	}
	return p, false
}

var errNotRegular = errors.New("not a regular file")

// read reads a regular file of at most fileMax, through links.
func (h *Host) read(p string) (file, error) {
	p = h.resolve(p)
	data, info, err := readRegular(h.at(p))
	if err != nil {
		h.refused(p, err)
		return file{}, err
	}
	return file{path: p, text: string(data), mode: info.Mode(), sum: sumOf(data)}, nil
}

// readRegular reads a file that nobody can make us wait for: O_NONBLOCK opens a
// FIFO without a writer, and what was opened is looked at before it is read.
func readRegular(name string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(name, safely, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return readOpened(f)
}

// safely is how a file is opened that is somebody else's.
const safely = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOFOLLOW

func readOpened(f *os.File) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > fileMax {
		return nil, nil, fmt.Errorf("bigger than %d MiB", fileMax>>20)
	}
	return data, info, nil
}

// refused notes what there is and we may not see.
func (h *Host) refused(p string, err error) {
	if errors.Is(err, fs.ErrPermission) && !slices.Contains(h.unseen, p) {
		h.unseen = append(h.unseen, p)
	}
}

// Unseen are the places that the last Find was not allowed to read.
func (h *Host) Unseen() []string { return h.unseen }

// names are what is in a directory, sorted; none if it cannot be read.
func (h *Host) names(dir string) []string {
	f, err := os.OpenFile(h.at(h.resolve(dir)), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		h.refused(dir, err)
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(dirMax)
	slices.Sort(names)
	return names
}

// exists reports whether there is anything at p.
func (h *Host) exists(p string) bool {
	_, err := os.Lstat(h.at(h.resolve(p)))
	return err == nil
}

// user is an entry of /etc/passwd.
type user struct{ name, uid, home string }

// users are those that can have files of their own to be run.
func (h *Host) users() []user {
	var all []user
	passwd, err := h.read("/etc/passwd")
	if err == nil {
		for line := range strings.Lines(passwd.text) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) >= 6 && path.IsAbs(f[5]) && f[5] != "/" {
				all = append(all, user{f[0], f[2], path.Clean(f[5])})
			}
		}
	}
	// macOS and directory services have people who are not in it.
	for _, parent := range []string{"/home", "/Users"} {
		for _, name := range h.names(parent) {
			if home := path.Join(parent, name); !slices.ContainsFunc(all, func(u user) bool { return u.home == home }) && name != "Shared" {
				all = append(all, user{name, "", home})
			}
		}
	}
	return all
}

// homes are the users' directories, each once, with whose it is.
func (h *Host) homes() []user {
	var out []user
	for _, u := range h.users() {
		if !slices.ContainsFunc(out, func(o user) bool { return o.home == u.home }) && h.exists(u.home) {
			out = append(out, u)
		}
	}
	return out
}

// homeOf is the home of a user by name, "" if there is none.
func (h *Host) homeOf(name string) string {
	for _, u := range h.users() {
		if u.name == name {
			return u.home
		}
	}
	if name == "root" {
		return "/root"
	}
	return ""
}
