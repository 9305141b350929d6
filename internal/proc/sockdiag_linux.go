package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// errDiag: the kernel gave no usable answer (no inet_diag in it, a sandbox).
var errDiag = errors.New("cannot ask the kernel for its sockets")

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	stateListen      = 10 // TCP_LISTEN
	diagRequestSize  = unix.SizeofNlMsghdr + 56
	diagMessageSize  = 72
)

// diagnose asks the kernel for the listening sockets of one family and port, by
// sock_diag(7). Reading /proc/net/tcp gives the same, but has the kernel walk its
// whole table of connections behind them: 1 to 2 ms on a machine of some size,
// every time, where this takes some 10 µs.
func diagnose(family uint8, port int) ([]Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errDiag, err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(family, port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("%w: %v", errDiag, err)
	}
	// The kernel answers before Sendto returns; the limit is for the unexpected.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	var out []Socket
	buffer := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errDiag, err)
		}
		some, done, err := readDiag(buffer[:n], port)
		if err != nil {
			return nil, err
		}
		if out = append(out, some...); done {
			return out, nil
		}
	}
}

// readDiag reads one answer: the sockets in it that listen on port, and whether it
// was the last.
func readDiag(answer []byte, port int) (out []Socket, done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil || len(messages) == 0 {
		return nil, false, errDiag
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.NLMSG_DONE:
			return out, true, nil
		case m.Header.Type != sockDiagByFamily || len(m.Data) < diagMessageSize:
			return nil, false, errDiag
		}
		if s := diagSocket(m.Data); int(s.Addr.Port()) == port {
			out = append(out, s)
		}
	}
	return out, false, nil
}

// diagRequest is struct nlmsghdr and struct inet_diag_req_v2.
func diagRequest(family uint8, port int) []byte {
	b := make([]byte, diagRequestSize)
	native := binary.NativeEndian
	native.PutUint32(b[0:], diagRequestSize)
	native.PutUint16(b[4:], sockDiagByFamily)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[16], b[17] = family, unix.IPPROTO_TCP
	native.PutUint32(b[20:], 1<<stateListen)
	binary.BigEndian.PutUint16(b[24:], uint16(port))
	return b
}

// diagSocket reads struct inet_diag_msg.
func diagSocket(b []byte) Socket {
	port := binary.BigEndian.Uint16(b[4:])
	addr := netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	if b[0] == unix.AF_INET {
		addr = netip.AddrFrom4([4]byte(b[8:12]))
	}
	return Socket{Addr: netip.AddrPortFrom(addr, port), Inode: uint64(binary.NativeEndian.Uint32(b[68:]))}
}
