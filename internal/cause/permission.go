package cause

import (
	"context"
	"fmt"
	"strings"
)

// File is one member of a config whose bytes are the known good's: what they are
// like in the known good, and live.
type File struct {
	Name       string
	Want, Have Access
}

// Access is who may do what with a file.
type Access struct {
	Mode     uint32 // permission bits, as the kernel has them
	UID, GID int
}

func (a Access) String() string { return fmt.Sprintf("%04o %d:%d", a.Mode, a.UID, a.GID) }

// namedFiles bounds how many files a line names.
const namedFiles = 5

// permission: the bytes are right, and their modes or owners are not. No content
// that is put back cures that (incident 49).
func permission(_ context.Context, a Agent) *Finding {
	if len(a.Files) == 0 {
		return nil
	}
	var wrong []string
	for _, f := range a.Files {
		if f.Have != f.Want {
			wrong = append(wrong, fmt.Sprintf("%s is %s and was %s", f.Name, f.Have, f.Want))
		}
	}
	switch more := len(wrong) - namedFiles; {
	case len(wrong) == 0:
		return not("modes and owners are those of the known good")
	case more > 0:
		wrong = append(wrong[:namedFiles], fmt.Sprintf("and %d more", more))
	}
	return holds("the bytes are the known good's, but %s", strings.Join(wrong, "; "))
}
