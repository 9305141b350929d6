package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// self is this program's file, by the path at which it was found at the start:
// once it has been replaced, only that path leads to the new one.
type self struct{ path string }

func findSelf() (self, error) {
	path, err := os.Executable()
	if err != nil {
		return self{}, fmt.Errorf("cannot find the program itself: %v", err)
	}
	return self{path}, nil
}

// tryTimeout is how long a new program may take to say its version.
const tryTimeout = 10 * time.Second

// try reports why the program at the path had better not take our place.
func (s self) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, "version")
	cmd.Args[0] = os.Args[0]
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot upgrade: %s version: %v", s.path, err)
	}
	return nil
}

// replace puts the program at the path in the place of this process, with the
// environment that this one began with. It returns only if that cannot be done.
func (s self) replace(environ []string) error {
	return fmt.Errorf("cannot upgrade to %s: %v", s.path, syscall.Exec(s.path, os.Args, environ))
}
