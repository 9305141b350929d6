package health

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ahead is how far in the future a heartbeat may lie and still be one: file
// systems round (FAT to 2 s).
const ahead = 2 * time.Second

// Heartbeat is healthy when the agent has touched a file lately. An old file is
// unhealthy and stale, which alone is no death. So is a missing one: an agent
// that has not beaten yet and one whose file was swept away look the same, and
// neither is worth a kill. A time in the future is unknown: the clock was set,
// and nobody can say how old the beat is.
type Heartbeat struct {
	// File is an absolute path.
	File string
	// MaxAge is the age from which on the beat is stale.
	MaxAge time.Duration
}

func (*Heartbeat) kind() Kind { return KindHeartbeat }

func (c *Heartbeat) probe(ctx context.Context, now time.Time, _ Owner) finding {
	type answer struct {
		file fs.FileInfo
		err  error
	}
	// A file system that hangs cannot be interrupted, so the look at it is left
	// behind when the time is up.
	looked := make(chan answer, 1)
	go func() {
		file, err := os.Stat(c.File)
		looked <- answer{file, err}
	}()
	select {
	case <-ctx.Done():
		return unknown("cannot look at the heartbeat in time")
	case a := <-looked:
		return c.judge(a.file, a.err, now)
	}
}

func (c *Heartbeat) judge(file fs.FileInfo, err error, now time.Time) finding {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return stale("there is no heartbeat")
	case err != nil:
		return unknown("cannot look at the heartbeat")
	}
	age := now.Sub(file.ModTime())
	switch {
	case age < -ahead:
		return unknown("the heartbeat lies %s in the future", (-age).Round(time.Second))
	case age > c.MaxAge:
		return stale("the last heartbeat is %s old", age.Round(time.Second))
	}
	return healthy
}

func stale(format string, args ...any) finding {
	f := unhealthy(format, args...)
	f.stale = true
	return f
}
