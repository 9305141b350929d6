package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"syscall"
	"time"
)

// SendError is why a message did not reach a target. It holds nothing of the URL,
// and nothing that the other side has said but a number.
type SendError struct {
	Service string // "" of a ping
	Why     string
	// Refused: this very message was not acceptable; another may be.
	Refused bool
	// After is how long the other side asks to be left alone.
	After time.Duration
}

func (e *SendError) Error() string {
	if e.Service == "" {
		return "cannot ping: " + e.Why
	}
	return fmt.Sprintf("cannot notify by %s: %s", e.Service, e.Why)
}

// failure says in our own words what an error is. What is not known by its type
// is not repeated: the errors of net/http hold the URL.
func failure(service string, err error) *SendError {
	e := &SendError{Service: service, Why: "it cannot be reached"}
	var status *statusError
	var reply *textproto.Error
	var dns *net.DNSError
	var number syscall.Errno
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &status):
		e.Why, e.After = status.Error(), status.After
		e.Refused = status.Status == 400 || status.Status == 413 || status.Status == 422
	case errors.As(err, &reply):
		e.Why = fmt.Sprintf("it answered %d", reply.Code)
		e.Refused = reply.Code == 552 || reply.Code == 554
	case errors.Is(err, errRefused):
		e.Why = errRefused.Error()
	case errors.Is(err, errNoTLS):
		e.Why = errNoTLS.Error()
	case errors.Is(err, context.Canceled):
		e.Why = "it was interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		e.Why = "no answer in time"
	case errors.As(err, &dns):
		e.Why = "its name cannot be resolved"
	case errors.As(err, &number):
		e.Why = number.Error()
	case errors.As(err, &certificate):
		e.Why = "its certificate cannot be verified"
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		e.Why = "it does not speak TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Why = "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Why = "it closed the connection"
	}
	return e
}
