//go:build !linux

package restore

import (
	"errors"
	"os"
)

// Snapshots record extended attributes on Linux only.
func xattrs(*os.File) (map[string][]byte, error) { return nil, nil }

func setXattr(*os.File, string, []byte) error {
	return errors.New("extended attributes are restored on Linux only")
}

func removeXattr(*os.File, string) error { return nil }

func immutable(*os.File, string) bool { return false }
