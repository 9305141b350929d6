package supervisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
)

// Runit is an agent that a runsv owns. It is spoken to as sv(8) does it, through
// the files in supervise, so that no program has to be run while evidence is
// looked for.
//
// runsv keeps no count of its restarts, and does not write down how a service
// ended. It starts a service that ends again at once, except that one which
// lived for less than a second waits for a second; so a look that finds a pause
// has found a service that does not come up, and says Gone.
type Runit struct {
	// Service is the service directory, such as /etc/service/NAME.
	Service string
}

// The states that runsv writes into supervise/status.
const (
	runitDown = iota
	runitRun
	runitFinish
)

func (r *Runit) path(name string) string { return filepath.Join(r.Service, "supervise", name) }

// reach opens one of the fifos that runsv reads from, which is how to see
// whether there is one.
func (r *Runit) reach(name string) (*os.File, error) {
	f, err := os.OpenFile(r.path(name), os.O_WRONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no runsv runs for the service")
	case err != nil:
		return nil, fmt.Errorf("the runsv of the service cannot be reached: %v", reason(err))
	}
	// Into anything else nothing is written: the directory may be the agent's.
	if file, err := f.Stat(); err != nil || file.Mode().Type() != fs.ModeNamedPipe {
		f.Close()
		return nil, fmt.Errorf("supervise/%s is no fifo", name)
	}
	return f, nil
}

func (r *Runit) look(context.Context) Inspection {
	ok, err := r.reach("ok")
	if err != nil {
		return obscured(deadman.Process{}, "%v", err)
	}
	ok.Close()
	b, err := os.ReadFile(r.path("status"))
	if err != nil {
		return obscured(deadman.Process{}, "supervise/status cannot be read: %v", reason(err))
	}
	// When it came to that (TAI64N), its pid, paused, wanted, told to end, state.
	if len(b) != 20 {
		return obscured(deadman.Process{}, "supervise/status is not what runsv writes")
	}
	since, pid, wanted, state := b[:12], int(binary.LittleEndian.Uint32(b[12:16])), b[17] == 'u', b[19]
	var seen Inspection
	switch state {
	case runitRun:
		seen = ofOwner(pid, r.path("status"))
		if seen.Presence == deadman.Running {
			seen.life = lifeName(alive, "%x", since)
		}
	case runitFinish:
		seen = gone("its finish script runs")
		seen.Activating, seen.settling = wanted, true
		seen.life = lifeName(ended, "%x", since)
	case runitDown:
		seen = gone("")
		if seen.Stopped = !wanted; wanted {
			seen.Detail = "runsv pauses: it ended within a second of its start"
			seen.life = lifeName(ended, "%x", since)
			if _, err := os.Lstat(filepath.Join(r.Service, "finish")); err == nil {
				seen.life = "" // The pause after a finish script, whose own turn it was.
			}
		} else {
			seen.Detail = "runsv keeps it down"
			seen.life = lifeName(atRest, "%x", since)
		}
	default:
		return obscured(deadman.Process{}, "supervise/status is not what runsv writes")
	}
	seen.Restarts = restartsTallied
	return seen
}

func (r *Runit) up(context.Context, string) error { return r.tell('u') }

func (r *Runit) down(context.Context, time.Duration) (bool, error) { return true, r.tell('d') }

func (r *Runit) tell(command byte) error {
	f, err := r.reach("control")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte{command}); err != nil {
		return fmt.Errorf("the runsv of the service cannot be told: %v", reason(err))
	}
	return nil
}
