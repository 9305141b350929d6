//go:build linux

package crash

import "golang.org/x/sys/unix"

// Architecture is how the kernel calls this one in what it asks.
const Architecture = unix.AUDIT_ARCH_AARCH64

// legacy are calls that newer architectures do without.
var legacy []call
