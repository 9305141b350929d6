//go:build unix && !linux

package snapshot

import "os"

// xattrs keeps none: what other systems store there (Finder's labels,
// quarantine marks) is no part of a config.
func xattrs(*os.File) (map[string][]byte, error) { return nil, nil }
