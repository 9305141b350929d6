//go:build !crashtest

package daemon

// crashPoint is where the program may be made to die by a test: before and
// after everything that it records or does. Here it is nothing; the tag
// crashtest builds the binary that internal/simtest kills.
func crashPoint() {}
