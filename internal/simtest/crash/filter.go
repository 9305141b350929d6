//go:build linux && (amd64 || arm64)

package crash

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data (linux/seccomp.h). Of an argument, which has 64
// bits, the low half comes first on both architectures.
const (
	numberAt       = 0
	architectureAt = 4
	argumentsAt    = 16
)

// Filter is the program that has the kernel ask before each of our calls, and
// lets every other one go.
func Filter() []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
	}
	result := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	allow, ask := result(unix.SECCOMP_RET_ALLOW), result(unix.SECCOMP_RET_USER_NOTIF)

	program := []unix.SockFilter{
		load(architectureAt),
		jump(unix.BPF_JEQ, Architecture, 1, 0),
		allow,
		load(numberAt),
	}
	for _, c := range calls {
		if c.bits == 0 {
			program = append(program, jump(unix.BPF_JEQ, uint32(c.number), 0, 1), ask)
			continue
		}
		yes, no := ask, allow
		if c.without {
			yes, no = allow, ask
		}
		program = append(
			program, jump(unix.BPF_JEQ, uint32(c.number), 0, 4),
			load(argumentsAt+8*uint32(c.arg)), jump(unix.BPF_JSET, c.bits, 0, 1), yes, no,
		)
	}
	return append(program, allow)
}
