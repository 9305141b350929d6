package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"deadman"
	"deadman/internal/atomicfile"
	"deadman/internal/proc"
)

// actor is who holds an agent's lock: what others need to know to wait for it
// or to ask it.
type actor struct {
	Process deadman.Process `json:"process"`
	// Watch: it goes on for ever, and listens to the inbox.
	Watch bool `json:"watch,omitempty"`
}

// lock makes this process the one actor of an agent.
type lock struct {
	dir       string
	file      *flock.Flock
	announced bool
}

// BusyError is that another deadman has the agent in hand.
type BusyError struct {
	Agent string
	PID   int
	// Foreground: it was met by a Run, which does not wait.
	Foreground bool
	// Watch: it is a watch, which lets go of nothing and can be asked.
	Watch bool
	// Silent: it is a watch, and did not answer.
	Silent bool
}

func (e *BusyError) Error() string {
	if e.Silent {
		return fmt.Sprintf("cannot act on %s: the watch that guards it, deadman %d, does not answer", e.Agent, e.PID)
	}
	if e.PID == 0 {
		return fmt.Sprintf("cannot act on %s: another deadman has it in hand", e.Agent)
	}
	return fmt.Sprintf("cannot act on %s: deadman %d has it in hand", e.Agent, e.PID)
}

// Hint says how to wait where that helps, or where to look.
func (e *BusyError) Hint() string {
	switch {
	case e.Foreground:
		return "`deadman status " + e.Agent + "` says how it is; one alone can guard it, and that one is to end first"
	case e.Silent:
		return fmt.Sprintf("`deadman doctor` says when it made its last round; if process %d hangs or is suspended, end it and start the watch again", e.PID)
	}
	return "wait for it with --wait 30s"
}

// acquire takes the lock of the agent in dir, waiting at most wait for it. When
// another holds it the error is a *BusyError. Nobody but another watch waits for a
// watch: it would be in vain, and it can be asked at once.
func acquire(ctx context.Context, dir, agent string, watch bool, wait time.Duration) (*lock, error) {
	if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of %s: %v", agent, err)
	}
	l := &lock{dir: dir, file: flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))}
	deadline := time.Now().Add(wait)
	for {
		ok, err := l.file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("cannot lock %s: %v", agent, err)
		}
		if ok {
			break
		}
		holder := readActor(dir)
		if holder.Watch && !watch || !time.Now().Before(deadline) || ctx.Err() != nil {
			return nil, &BusyError{Agent: agent, PID: holder.Process.PID, Watch: holder.Watch}
		}
		time.Sleep(50 * time.Millisecond)
	}
	if watch {
		l.announce(watch)
	}
	return l, nil
}

// announce tells others who holds the lock. A one-shot does so when it first
// has something to record: a healthy round writes nothing.
func (l *lock) announce(watch bool) {
	self, err := proc.Look(os.Getpid())
	if err != nil {
		return // Advice to others; the lock is what counts.
	}
	text, err := json.Marshal(actor{Process: self, Watch: watch})
	if err == nil && os.WriteFile(filepath.Join(l.dir, "actor"), text, 0o600) == nil {
		l.announced = true
	}
}

// release lets go of the agent.
func (l *lock) release() {
	if l.announced {
		_ = os.Remove(filepath.Join(l.dir, "actor"))
	}
	_ = l.file.Unlock()
}

// lost reports whether the agent's directory was removed or replaced beneath us:
// then others can take a lock of the same name, and what we write goes nowhere.
func (l *lock) lost() bool {
	held, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.file.Path())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(held, there)
}

// errLost is that the directory of an agent is not the one we began in.
var errLost = errors.New("its state directory was removed or replaced: all is begun anew")

// readActor says who holds the lock of the agent in dir, as far as is known.
func readActor(dir string) actor {
	var a actor
	text, err := os.ReadFile(filepath.Join(dir, "actor"))
	if err != nil || json.Unmarshal(text, &a) != nil || proc.Alive(a.Process) != deadman.Running {
		return actor{}
	}
	return a
}
