package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"deadman"
)

// Supervisord is an agent that a supervisord owns, spoken to by XML-RPC over its
// unix socket. One that asks for a password there is not spoken to.
type Supervisord struct {
	// Program is its name, with that of its group ("group:name") if it has one.
	Program string
	// Socket is that of [unix_http_server]; "" is the first of SupervisordSockets
	// that is there.
	Socket string
}

// SupervisordSockets are where the socket is by default: in Debian, elsewhere,
// and in the sample that comes with it.
var SupervisordSockets = []string{"/run/supervisor.sock", "/run/supervisor/supervisor.sock", "/tmp/supervisor.sock"}

// The states that supervisord tells.
const (
	supervisordStopped  = 0
	supervisordStarting = 10
	supervisordRunning  = 20
	supervisordBackoff  = 30
	supervisordStopping = 40
	supervisordExited   = 100
	supervisordFatal    = 200
)

// The faults that mean: it is so already.
const (
	faultAlreadyStarted = 60
	faultNotRunning     = 70
)

func (s *Supervisord) socket() string {
	if s.Socket != "" {
		return s.Socket
	}
	for _, path := range SupervisordSockets {
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return SupervisordSockets[0]
}

func (s *Supervisord) call(ctx context.Context, method string, args ...any) (any, error) {
	return callXML(ctx, s.socket(), "supervisor."+method, args...)
}

func (s *Supervisord) look(ctx context.Context) Inspection {
	answer, err := s.call(ctx, "getProcessInfo", s.Program)
	if err != nil {
		return obscured(deadman.Process{}, "supervisord: %v", err)
	}
	fields, _ := answer.(map[string]any)
	number := func(name string) int {
		n, _ := fields[name].(int)
		return n
	}
	word, _ := fields["statename"].(string)
	exit := ""
	if code := number("exitstatus"); code >= 0 && number("stop") > 0 {
		exit = fmt.Sprintf("exit %d", code) // A signal is told as -1.
	}
	var seen Inspection
	switch state := number("state"); state {
	case supervisordStarting, supervisordRunning, supervisordStopping:
		if number("pid") == 0 { // Between two states.
			seen = gone(word)
			seen.Activating, seen.settling = state == supervisordStarting, true
			break
		}
		seen = ofOwner(number("pid"), s.socket())
		if seen.Presence == deadman.Running {
			seen.life = lifeName(alive, "%d", number("start"))
		}
	case supervisordBackoff:
		seen = gone(word)
		seen.Activating, seen.Exit = true, exit
		seen.life = lifeName(ended, "%d", number("start"))
	case supervisordStopped:
		seen = gone(word)
		seen.Stopped = true
		seen.life = lifeName(atRest, "%d", number("start"))
	case supervisordExited:
		seen = gone(word)
		seen.Exit = exit
		seen.life = lifeName(atRest, "%d", number("start"))
	case supervisordFatal:
		seen = gone(word)
		seen.Exit, seen.Latched = exit, word
		seen.life = lifeName(atRest, "%d", number("start"))
	default:
		return obscured(deadman.Process{}, "supervisord says %q", word)
	}
	seen.Restarts = restartsTallied
	return seen
}

func (s *Supervisord) up(ctx context.Context, _ string) error {
	_, err := s.call(ctx, "startProcess", s.Program, false)
	return s.unless(err, faultAlreadyStarted, "start")
}

func (s *Supervisord) down(ctx context.Context, _ time.Duration) (bool, error) {
	_, err := s.call(ctx, "stopProcess", s.Program, false)
	return true, s.unless(err, faultNotRunning, "stop")
}

func (s *Supervisord) unless(err error, harmless int, verb string) error {
	if f := (*fault)(nil); err == nil || errors.As(err, &f) && f.code == harmless {
		return nil
	}
	return fmt.Errorf("supervisord does not %s it: %w", verb, err)
}
