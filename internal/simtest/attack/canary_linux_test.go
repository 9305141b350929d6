package attack_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// marker is in every canary but the twins, and in nothing else.
const marker = "CANARY-that-nobody-may-store"

// canaries are trees that must stay as they are, to the byte, the mode, the
// owner and the time.
type canaries struct {
	roots []string
	were  map[string]canary
}

// canary is one file or directory: what can be told of it without reading it,
// and what is in it.
type canary struct{ is, holds string }

// note remembers what is below roots.
func note(roots ...string) (*canaries, error) {
	c := &canaries{roots: roots}
	var err error
	c.were, err = c.look(true)
	return c, err
}

// changed names what is not as it was. In full the bytes are compared as well,
// which those who write them cannot do without moving a time.
func (c *canaries) changed(full bool) []string {
	now, err := c.look(full)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for path, was := range c.were {
		if is, ok := now[path]; !ok {
			out = append(out, path+" is gone")
		} else if is.is != was.is || full && is.holds != was.holds {
			out = append(out, fmt.Sprintf("%s was %s %.60q and is %s %.60q", path, was.is, was.holds, is.is, is.holds))
		}
	}
	for path := range now {
		if _, ok := c.were[path]; !ok {
			out = append(out, path+" is new")
		}
	}
	return out
}

// look leaves out the times of change, which a hard link moves, and of access.
func (c *canaries) look(full bool) (map[string]canary, error) {
	all := map[string]canary{}
	for _, root := range c.roots {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			found := canary{is: fmt.Sprintf("%v %d:%d inode %d, %d bytes, of %d.%09d", info.Mode(), st.Uid, st.Gid, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec)}
			if full && info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				found.holds = string(data)
			}
			all[path] = found
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// foreign says whether data, which was stored, has anything of a canary in it.
func foreign(data []byte) bool { return bytes.Contains(data, []byte(marker)) }

// sweep reads everything that was stored below dir, and adds up what it takes.
func sweep(dir string) (found []string, size int64) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Sys().(*syscall.Stat_t).Blocks * 512
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if foreign(data) {
			found = append(found, path+" holds what is in a canary")
		}
		return nil
	})
	if err != nil {
		found = append(found, err.Error())
	}
	return found, size
}
