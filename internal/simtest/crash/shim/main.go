//go:build linux && (amd64 || arm64)

// Command shim installs the filter of package crash on itself, hands the listener
// to whoever holds the other end of descriptor 3, and becomes the program that its
// arguments name.
package main

import (
	"fmt"
	"os"

	"deadman/internal/simtest/crash"
)

func main() {
	fmt.Fprintln(os.Stderr, "cannot hold calls:", crash.Become(os.Args[1:]))
	os.Exit(crash.ShimFailed)
}
