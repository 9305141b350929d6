package proc

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Socket is one listening TCP socket.
type Socket struct {
	// Addr is the address it is bound to; IPv4 in IPv6 is unwrapped.
	Addr netip.AddrPort
	// Inode is what /proc/PID/fd shows of it.
	Inode uint64
}

// Answering returns those sockets that a connection to addr can reach: bound to
// the very address or, when none is, to every address.
func Answering(sockets []Socket, addr netip.Addr) []Socket {
	addr = addr.Unmap()
	bound := func(match func(netip.Addr) bool) []Socket {
		return slices.DeleteFunc(slices.Clone(sockets), func(s Socket) bool { return !match(s.Addr.Addr()) })
	}
	if exact := bound(func(a netip.Addr) bool { return a.WithZone("") == addr.WithZone("") }); len(exact) > 0 {
		return exact
	}
	return bound(netip.Addr.IsUnspecified)
}

// Listener returns the pids that hold a socket listening on port, oldest process
// first, none when nobody listens. ErrUnseen when somebody does and it cannot be
// seen who.
func Listener(port int) ([]int, error) {
	sockets, err := Listening(port)
	if err != nil {
		return nil, err
	}
	holders, err := Holders(sockets)
	var pids []int
	for _, h := range holders {
		pids = append(pids, h.PID)
	}
	return pids, err
}
