package cause

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Dir is a directory in which an agent, or deadman for it, must be able to write.
type Dir struct {
	// Role says whose it is: "config", "state", "home".
	Role, Path string
}

// lowBytes is what a disk is called full below: an agent that starts writes a
// log, a pid, a lock, a database page or two. Of a small file system it is the
// hundredth part.
const lowBytes = 1 << 20

// space is what a file system says of itself.
type space struct {
	total, free   uint64 // bytes, free to an ordinary user
	files, unused uint64 // inodes; files is 0 where they are not counted
	readOnly      bool
}

func (s space) full() string {
	switch {
	case s.readOnly:
		return "" // It always says that nothing is free.
	case s.total > 0 && s.free < min(lowBytes, s.total/100+1):
		return fmt.Sprintf("%d KiB of %d MiB are free", s.free>>10, s.total>>20)
	case s.files > 0 && s.unused == 0:
		return fmt.Sprintf("none of %d inodes is free", s.files)
	}
	return ""
}

// disk: there is no room to write in a place that it needs.
func disk(_ context.Context, a Agent) *Finding {
	if len(a.Dirs) == 0 {
		return nil
	}
	var full, unseen []string
	for _, d := range a.Dirs {
		s, err := spaceOf(d.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Nobody can have written there.
		}
		if err != nil {
			unseen = append(unseen, d.Role)
			continue
		}
		if why := s.full(); why != "" {
			full = append(full, fmt.Sprintf("the disk with its %s (%s) is full: %s", d.Role, d.Path, why))
		}
	}
	switch {
	case len(full) > 0:
		return holds("%s", strings.Join(full, "; "))
	case len(unseen) > 0:
		return not("cannot tell of its %s", strings.Join(unseen, ", "))
	}
	return not("there is room where it writes")
}
