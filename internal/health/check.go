package health

import (
	"context"
	"fmt"
	"time"

	"deadman"
)

// DefaultTimeout bounds an attempt of a check without a timeout of its own.
const DefaultTimeout = 5 * time.Second

// Kind is what a check looks at. The list is closed.
type Kind string

const (
	KindHTTP      Kind = "http"
	KindTCP       Kind = "tcp"
	KindExec      Kind = "exec"
	KindHeartbeat Kind = "heartbeat"
	KindProcess   Kind = "process"
)

// Check is one configured test of an agent. Exactly one of its kinds is set.
type Check struct {
	Name  string
	Level deadman.Level
	// Timeout bounds one attempt, all of it; 0 is DefaultTimeout.
	Timeout time.Duration

	HTTP      *HTTP
	TCP       *TCP
	Exec      *Exec
	Heartbeat *Heartbeat
	Process   *Process
}

// Attempt is what one attempt of a check found.
type Attempt struct {
	Check  string         `json:"check"`
	Level  deadman.Level  `json:"level"`
	Kind   Kind           `json:"kind"`
	Result deadman.Result `json:"result"`
	// Detail is one short line in lower case, empty when healthy. It holds no
	// body, no URL and no value of anybody's config.
	Detail string `json:"detail,omitempty"`
	// Stale: unhealthy only in that a heartbeat is old or missing, which alone is
	// no death.
	Stale bool `json:"stale,omitempty"`
	// Latency is how long the attempt took.
	Latency time.Duration `json:"latency"`
}

// finding is the part of an attempt that its kind decides.
type finding struct {
	result deadman.Result
	detail string
	stale  bool
}

var healthy = finding{result: deadman.Healthy}

func unhealthy(format string, args ...any) finding {
	return finding{result: deadman.Unhealthy, detail: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) finding {
	return finding{result: deadman.Unknown, detail: fmt.Sprintf(format, args...)}
}

// prober is one kind of check. It returns when ctx ends, if not before.
type prober interface {
	kind() Kind
	probe(ctx context.Context, now time.Time, owner Owner) finding
}

// prober is the kind that is set, or nil unless it is exactly one.
func (c Check) prober() prober {
	var set []prober
	if c.HTTP != nil {
		set = append(set, c.HTTP)
	}
	if c.TCP != nil {
		set = append(set, c.TCP)
	}
	if c.Exec != nil {
		set = append(set, c.Exec)
	}
	if c.Heartbeat != nil {
		set = append(set, c.Heartbeat)
	}
	if c.Process != nil {
		set = append(set, c.Process)
	}
	if len(set) != 1 {
		return nil
	}
	return set[0]
}

// Attempt makes one attempt. It ends by the check's timeout, or when ctx ends: an
// attempt cut short from outside is unknown. now is the wall time that the age of
// a heartbeat is measured against.
func (c Check) Attempt(ctx context.Context, now time.Time, owner Owner) Attempt {
	a := Attempt{Check: c.Name, Level: c.Level, Result: deadman.Unknown}
	p := c.prober()
	if p == nil {
		a.Detail = "the check is not of exactly one kind"
		return a
	}
	a.Kind = p.kind()
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	begin := time.Now()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	f := p.probe(within, now, owner)
	a.Latency = time.Since(begin)
	switch {
	case f.result == deadman.Healthy:
	case ctx.Err() != nil:
		f = unknown("interrupted")
	case within.Err() != nil && f.result == deadman.Unhealthy && !f.stale:
		f.detail = fmt.Sprintf("no answer within %s", timeout)
	}
	a.Result, a.Detail, a.Stale = f.result, f.detail, f.stale
	return a
}
