package proc

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Listening returns the TCP sockets that listen on port, on whatever address, in
// our network namespace.
func Listening(port int) ([]Socket, error) {
	v4, err := diagnose(unix.AF_INET, port)
	if err != nil {
		return listening(port)
	}
	v6, err := diagnose(unix.AF_INET6, port)
	if err != nil {
		return listening(port)
	}
	return append(v4, v6...), nil
}

// listening is Listening without the help of sock_diag.
func listening(port int) ([]Socket, error) {
	var out []Socket
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		some, err := readSockets(name, port)
		if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot list the listening sockets: %v", err)
		}
		out = append(out, some...)
	}
	return out, nil
}

// readSockets reads one table. The kernel lists listening sockets before all
// others (Documentation/networking/proc_net_tcp.rst), so the first one of another
// state ends it.
func readSockets(name string, port int) ([]Socket, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Socket
	lines := bufio.NewScanner(f)
	lines.Scan() // the heading
	for lines.Scan() {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		w := strings.Fields(lines.Text())
		if len(w) < 10 || w[3] != "0A" {
			break
		}
		addr, err := parseAddr(w[1])
		if err != nil {
			return nil, err
		}
		if int(addr.Port()) != port {
			continue
		}
		inode, err := strconv.ParseUint(w[9], 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, Socket{Addr: addr, Inode: inode})
	}
	return out, lines.Err()
}

// parseAddr reads "0100007F:1F90": the address as 32-bit words in the machine's
// byte order, the port in plain hexadecimal.
func parseAddr(s string) (netip.AddrPort, error) {
	words, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	if !ok || err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("cannot read the address of a socket")
	}
	if littleEndian {
		for w := range slices.Chunk(raw, 4) {
			slices.Reverse(w)
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("cannot read the address of a socket")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// Holds reports whether a process has one of the sockets open. ErrUnseen when its
// descriptors are not ours to see.
func Holds(pid int, sockets []Socket) (bool, error) {
	open, err := openSockets(pid)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(sockets, func(s Socket) bool { return open[s.Inode] }), nil
}

// openSockets returns the inodes of the sockets that a process has open.
func openSockets(pid int) (map[uint64]bool, error) {
	dir, err := os.Open(path(pid, "fd"))
	if err != nil {
		return nil, seen(pid, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, seen(pid, err)
	}
	open := make(map[uint64]bool)
	for _, name := range names {
		target, err := os.Readlink(path(pid, "fd/"+name))
		if errors.Is(err, fs.ErrPermission) {
			return nil, seen(pid, err)
		}
		number, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil {
			open[inode] = true
		}
	}
	return open, nil
}

// Holders looks through all processes for those that have one of the sockets
// open, oldest first. ErrUnseen, beside those that were found, when for some
// socket none was and not every process could be looked into.
func Holders(sockets []Socket) ([]Stat, error) {
	if len(sockets) == 0 {
		return nil, nil
	}
	t, err := Scan()
	if err != nil {
		return nil, err
	}
	found := make(map[uint64]bool)
	hidden := t.Partial
	holders := t.Where(func(s Stat) bool {
		open, err := openSockets(s.PID)
		hidden = hidden || err != nil && !errors.Is(err, ErrGone)
		holds := false
		for _, k := range sockets {
			if open[k.Inode] {
				found[k.Inode], holds = true, true
			}
		}
		return holds
	})
	if hidden && slices.ContainsFunc(sockets, func(k Socket) bool { return !found[k.Inode] }) {
		return holders, fmt.Errorf("%w that holds a socket", ErrUnseen)
	}
	return holders, nil
}
