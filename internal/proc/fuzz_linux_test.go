package proc_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"deadman/internal/proc"
)

// A line of /proc/PID/stat with whatever name gives back what it was made of; any
// other line is an error, or a process that could be.
func FuzzStat(f *testing.F) {
	f.Add("sh", byte('S'), 7, 1, 7, 7, int64(1234), "1 (x) S 1")
	f.Add(") R 1 (", byte('R'), 1, 0, 0, 0, int64(0), "x")
	f.Add("a b)\n", byte('Z'), 4194304, 2, 3, 4, int64(1)<<40, "() ")
	f.Fuzz(func(t *testing.T, name string, state byte, pid, parent, group, session int, start int64, raw string) {
		if s, err := proc.ParseStat([]byte(raw)); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%+v, %v", s, err)
		}
		letter := 'A' <= state && state <= 'Z' || 'a' <= state && state <= 'z'
		if pid <= 0 || !letter || start < 0 || start > int64(1)<<50 {
			return
		}
		line := fmt.Sprintf("%d (%s) %c %d %d %d 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 %d 1 2 3\n", pid, name, state, parent, group, session, start)
		s, err := proc.ParseStat([]byte(line))
		if err != nil || s.PID != pid || s.Comm != name || s.State != state || s.Parent != parent || s.Group != group ||
			s.Session != session || s.Threads != 3 || s.Start != time.Duration(start)*proc.Tick {
			t.Fatalf("%+v, %v of %q", s, err, line)
		}
	})
}

// An address as the kernel prints it in /proc/net/tcp is read as itself, and so is
// a socket in a message of sock_diag; any other bytes are an error or a socket.
func FuzzSocket(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1}, uint16(8080), uint32(9), "0100007F:1F90")
	f.Add(make([]byte, 16), uint16(0), uint32(0), ":")
	f.Add([]byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(65535), ^uint32(0), "zz:0")
	f.Fuzz(func(t *testing.T, raw []byte, port uint16, inode uint32, text string) {
		if at, err := proc.ParseAddr(text); err == nil && !at.IsValid() {
			t.Fatalf("%q is %v", text, at)
		}
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		want := netip.AddrPortFrom(addr.Unmap(), port)
		words := slices.Clone(raw)
		if proc.LittleEndian {
			for w := range slices.Chunk(words, 4) {
				slices.Reverse(w)
			}
		}
		printed := strings.ToUpper(hex.EncodeToString(words)) + fmt.Sprintf(":%04X", port)
		if at, err := proc.ParseAddr(printed); err != nil || at != want {
			t.Fatalf("%v is read as %v (%v) from %s", want, at, err, printed)
		}
		if s := proc.ParseDiag(proc.Diag(raw, port, inode)); s.Addr != want || s.Inode != uint64(inode) {
			t.Fatalf("%v is read as %+v", want, s)
		}
	})
}

// What the kernel answers, or seems to: sockets of the port that was asked for, or
// an error, and never both.
func FuzzDiag(f *testing.F) {
	done := []byte{20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	one := proc.Diag([]byte{127, 0, 0, 1}, 8080, 7)
	message := append([]byte{byte(16 + len(one)), 0, 0, 0, 20, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, one...)
	f.Add(done)
	f.Add(message)
	f.Add(append(slices.Clone(message), done...))
	f.Add(message[:40])
	f.Fuzz(func(t *testing.T, answer []byte) {
		sockets, done, err := proc.ReadDiag(answer, 8080)
		if err != nil && (len(sockets) > 0 || done) {
			t.Fatalf("%v, %v and %v", sockets, done, err)
		}
		for _, s := range sockets {
			if s.Addr.Port() != 8080 {
				t.Fatalf("%v is not what was asked for", s)
			}
		}
	})
}
