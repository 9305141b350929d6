//go:build !linux

package record

import "os"

// lockShared reports that the lock was not taken: reading goes through
// SQLite's own read-only mode then.
func lockShared(*os.File) bool { return false }

func unlockShared(*os.File) {}
