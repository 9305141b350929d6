package health

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"deadman"
	"deadman/internal/proc"
)

// Owner is what is known of the agent's processes at an attempt. Of the zero
// Owner nothing is known, and any answer counts.
type Owner struct {
	Presence deadman.Presence
	// Main is the pid of the agent's main process. 0: not known, and then an
	// answer counts whoever gives it: an agent behind a stale pid file must not be
	// taken for dead because we do not know its pid.
	Main int
	// Family returns all pids of the agent, Main included or not. It may be nil,
	// and may be slow: it is called only when Main does not hold the port.
	Family func() []int
}

// impostor says who listens at addr if it is certainly not the agent, else "".
// "Certainly" is strict: an address of another machine, a listener that we cannot
// see (another network namespace, another user's process) and one that pid 1
// holds on behalf of others (socket activation) are no evidence.
func (o Owner) impostor(local, remote net.Addr) string {
	addr, ok := here(local, remote)
	if !ok || o.Main == 0 {
		return ""
	}
	sockets, err := proc.Listening(int(addr.Port()))
	if err != nil {
		return ""
	}
	sockets = proc.Answering(sockets, addr.Addr())
	if len(sockets) == 0 {
		return ""
	}
	// The healthy case ends here: the agent's own descriptors are few.
	if holds, err := proc.Holds(o.Main, sockets); holds || errors.Is(err, proc.ErrUnseen) {
		return ""
	}
	family := []int{o.Main}
	if o.Family != nil {
		family = append(family, o.Family()...)
	}
	holders, err := proc.Holders(sockets)
	if err != nil || len(holders) == 0 {
		return ""
	}
	for _, h := range holders {
		if h.PID == 1 || slices.Contains(family, h.PID) {
			return ""
		}
	}
	return fmt.Sprintf("port %d is held by process %d (%s), which is not the agent's", addr.Port(), holders[0].PID, holders[0].Comm)
}

// here returns the far end of a connection if it is on this machine: loopback, or
// an address that is also the near end's.
func here(local, remote net.Addr) (netip.AddrPort, bool) {
	l, _ := local.(*net.TCPAddr)
	r, _ := remote.(*net.TCPAddr)
	if l == nil || r == nil {
		return netip.AddrPort{}, false
	}
	far := r.AddrPort()
	return far, far.Addr().Unmap().IsLoopback() || l.IP.Equal(r.IP)
}
