//go:build linux && (amd64 || arm64)

package crash_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/simtest/crash"
)

// TestFilter runs the program as the kernel would, on calls of each sort.
func TestFilter(t *testing.T) {
	t.Parallel()
	const foreign = unix.AUDIT_ARCH_ARM
	for _, tt := range []struct {
		name   string
		arch   uint32
		number int
		args   [6]uint64
		want   uint32
	}{
		{"a read", crash.Architecture, unix.SYS_READ, [6]uint64{}, unix.SECCOMP_RET_ALLOW},
		{"a write", crash.Architecture, unix.SYS_WRITE, [6]uint64{}, unix.SECCOMP_RET_USER_NOTIF},
		{"the last call of the list", crash.Architecture, unix.SYS_SENDTO, [6]uint64{}, unix.SECCOMP_RET_USER_NOTIF},
		{"a write of another architecture", foreign, unix.SYS_WRITE, [6]uint64{}, unix.SECCOMP_RET_ALLOW},
		{"a file opened", crash.Architecture, unix.SYS_OPENAT, [6]uint64{2: unix.O_RDWR | unix.O_NOFOLLOW}, unix.SECCOMP_RET_ALLOW},
		{"a file made", crash.Architecture, unix.SYS_OPENAT, [6]uint64{2: unix.O_RDWR | unix.O_CREAT}, unix.SECCOMP_RET_USER_NOTIF},
		{"a file emptied", crash.Architecture, unix.SYS_OPENAT, [6]uint64{2: unix.O_WRONLY | unix.O_TRUNC}, unix.SECCOMP_RET_USER_NOTIF},
		{"a thread", crash.Architecture, unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, unix.SECCOMP_RET_ALLOW},
		{"a process", crash.Architecture, unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, unix.SECCOMP_RET_USER_NOTIF},
		{"is it there", crash.Architecture, unix.SYS_KILL, [6]uint64{1, 0}, unix.SECCOMP_RET_ALLOW},
		{"a signal", crash.Architecture, unix.SYS_KILL, [6]uint64{1, uint64(unix.SIGTERM)}, unix.SECCOMP_RET_USER_NOTIF},
	} {
		if got := interpret(t, crash.Filter(), tt.arch, tt.number, tt.args); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

// interpret runs a filter on one call. It knows what Filter uses, and no more.
func interpret(t *testing.T, program []unix.SockFilter, arch uint32, number int, args [6]uint64) uint32 {
	t.Helper()
	data := []uint32{uint32(number), arch, 0, 0}
	for _, arg := range args {
		data = append(data, uint32(arg), uint32(arg>>32))
	}
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		in := program[pc]
		holds := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K/4]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = a == in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			holds = a&in.K != 0
		default:
			t.Fatalf("instruction %d: code %#x", pc, in.Code)
		}
		if holds {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("it does not end")
	return 0
}
