package powerloss_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"deadman/internal/simtest/agent"
)

// The test binary is two programs more, by the name that it is called by.
const (
	asAgent  = "agent"
	asInside = "inside"
)

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case asAgent:
		agent.Main()
	case asInside:
		fmt.Fprintln(os.Stderr, inside(os.Args[1], os.Args[2], os.Args[3:]))
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// inside becomes a program for which dir is at mount, where the config says that
// everything is: in a mount namespace of its own, which its parent has given it.
func inside(dir, mount string, argv []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := syscall.Mount(dir, mount, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", dir, mount, err)
	}
	return syscall.Exec(argv[0], argv, os.Environ())
}
