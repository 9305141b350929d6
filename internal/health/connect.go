package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// TCP is healthy when a connection to Address ("host:port") is accepted. The
// kernel accepts for a program that hangs: HTTP is the better check.
type TCP struct {
	Address string
}

func (*TCP) kind() Kind { return KindTCP }

func (c *TCP) probe(ctx context.Context, _ time.Time, owner Owner) finding {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return undialed(err)
	}
	defer conn.Close()
	if who := owner.impostor(conn.LocalAddr(), conn.RemoteAddr()); who != "" {
		return unhealthy("%s", who)
	}
	return healthy
}

// ours are errors that tell of this machine or of the way, not of the agent: no
// descriptors, ports or memory left, no route, no such address family, a firewall
// that says no.
var ours = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
	syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EACCES, syscall.EPERM,
}

// undialed judges an error from before there was a connection: what is not known
// to be the agent's doing is unknown.
func undialed(err error) finding {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns): // also when it took too long
		return unknown("the host name does not resolve")
	case slices.ContainsFunc(ours, func(e error) bool { return errors.Is(err, e) }):
		var number syscall.Errno
		errors.As(err, &number)
		return unknown("cannot connect: %s", number)
	case errors.Is(err, syscall.ECONNREFUSED):
		return unhealthy("connection refused")
	case errors.Is(err, syscall.ECONNRESET):
		return unhealthy("connection reset")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return unhealthy("no connection in time")
	}
	return unknown("cannot connect")
}

// unanswered judges an error from after the connection was made: whatever it is,
// the far end did not answer as it should, unless it is about trust.
func unanswered(err error) finding {
	var (
		cert  *tls.CertificateVerificationError
		roots x509.SystemRootsError
	)
	switch {
	case errors.As(err, &cert), errors.As(err, &roots):
		return unknown("the certificate is not trusted")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return unhealthy("no answer in time")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return unhealthy("connection reset")
	}
	return unhealthy("closed the connection or does not speak HTTP")
}
