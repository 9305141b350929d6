package snapshot

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrUnsettled is that files kept changing while they were read. It says
// nothing about the config but "later".
var ErrUnsettled = errors.New("cannot read the config: it changes while it is being read")

// Refusal is why a config set is not captured at all.
type Refusal string

// The closed list of refusals. Each but RootMissing, RootNotDir and Unreadable
// keeps a hostile or confused agent from using our privileges, memory or disk.
const (
	// RootMissing: there is no such directory, which is different from a
	// directory without files (Look.Missing).
	RootMissing Refusal = "the root directory does not exist"
	RootNotDir  Refusal = "the root is not a directory"
	Unreadable  Refusal = "it cannot be read"
	// NotRegular: a FIFO, socket or device is where a file belongs.
	NotRegular Refusal = "it is not a regular file"
	// NotFile: a directory is where a literal pattern promises a file.
	NotFile Refusal = "it is a directory where a file belongs"
	// HardLink: the file has several names, and its owner is not the owner of
	// the root: the agent may have given somebody else's file a name here.
	HardLink    Refusal = "it has several names and another owner than the root directory"
	FileTooBig  Refusal = "it is bigger than the limit for one file"
	SetTooBig   Refusal = "with it the set is bigger than its limit"
	TooMany     Refusal = "there are more files than the limit"
	TooDeep     Refusal = "directories are nested too deeply"
	TooManyHere Refusal = "there are too many names to look through"
)

// hints says what a person can do about a refusal.
var hints = map[Refusal]string{
	RootMissing: "check config.root; if the directory was moved away, put it back; `deadman rollback` makes it anew",
	RootNotDir:  "config.root must name a directory; name files in config.files",
	Unreadable:  "run deadman as a user that may read it, or exclude it",
	NotRegular:  "remove it, or exclude it",
	NotFile:     `to capture what is in it, write the pattern with "/**" at the end`,
	HardLink:    "replace it by a copy, or exclude it",
	FileTooBig:  "exclude it, or raise limits.file",
	SetTooBig:   "exclude what is not config, or raise limits.set",
	TooMany:     "exclude what is not config, or raise limits.files",
	TooDeep:     "exclude the directory",
	TooManyHere: "exclude the directory, or use patterns without **",
}

// RefusedError is that a config set cannot be captured as it is. Nothing of it
// was captured: half a set is never put back.
type RefusedError struct {
	Path string // absolute
	Why  Refusal
	Err  error // from the system, if it had a say
}

func (e *RefusedError) Error() string {
	var errno syscall.Errno
	if errors.As(e.Err, &errno) {
		return fmt.Sprintf("cannot capture %q: %s: %v", e.Path, e.Why, errno)
	}
	return fmt.Sprintf("cannot capture %q: %s", e.Path, e.Why)
}

// Hint says what a person can do about it.
func (e *RefusedError) Hint() string { return hints[e.Why] }

func (e *RefusedError) Unwrap() error { return e.Err }
