package cause

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// nowhere are addresses for documentation (RFC 5737, RFC 3849): what leads there
// is the default route. Connecting a UDP socket looks the route up, rules and all,
// and sends nothing.
var nowhere = []string{"203.0.113.1:9", "[2001:db8::1]:9"}

// Routed reports whether this machine has a way out: a network interface beside
// the loopback that is up, and a route to elsewhere.
func Routed() bool {
	_, ok := wayOut()
	return ok
}

// wayOut says what is missing, if anything is. What cannot be told is not.
func wayOut() (missing string, ok bool) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return "", true // Cannot tell.
	}
	up := false
	for _, i := range interfaces {
		up = up || i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0
	}
	if !up {
		return "no network interface beside the loopback is up", false
	}
	for _, address := range nowhere {
		if conn, err := net.Dial("udp", address); err == nil {
			conn.Close()
			return "", true
		}
	}
	return "there is no route to other networks", false
}

// network: the machine's way out is gone, or a provider cannot be reached. A
// machine that never had a way out has lost none.
func network(ctx context.Context, a Agent) *Finding {
	missing, ok := wayOut()
	if a.Routed && !ok {
		return holds("%s, and there was when the agent was seen well", missing)
	}
	if len(a.Providers) == 0 {
		if !a.Routed {
			return nil
		}
		return not("there is a way out of this machine")
	}
	problems := make([]string, len(a.Providers))
	var all sync.WaitGroup
	for i, address := range a.Providers {
		all.Go(func() { problems[i] = unreached(ctx, address) })
	}
	all.Wait()
	for i, problem := range problems {
		if problem != "" {
			return holds("%s, which a ready check needs, %s", a.Providers[i], problem)
		}
	}
	return not("what its ready checks need can be reached")
}

// reachTime is less than Limit, so that there is time left to say so.
const reachTime = Limit - 300*time.Millisecond

// unreached says why address cannot be reached, "" if it can, or is this very
// machine, whose silence says nothing of any network.
func unreached(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "cannot be resolved" + inTime(err)
	}
	var last error
	for _, ip := range found {
		if ours(ip) {
			return ""
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ip.String(), port))
		if err == nil {
			conn.Close()
			return ""
		}
		last = err
	}
	if last == nil {
		return ""
	}
	return "cannot be connected to" + inTime(last)
}

// inTime tells what took too long from what was refused.
func inTime(err error) string {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return fmt.Sprintf(" within %v", reachTime)
	}
	return ""
}

// ours reports whether an address is one of this machine.
func ours(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true // Cannot tell.
	}
	for _, a := range addresses {
		if text, _, _ := strings.Cut(a.String(), "/"); text == ip.String() {
			return true
		}
	}
	return false
}
