package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/proc"
)

func (c *Command) identify() Inspection {
	switch {
	case c.PIDFile != "":
		return c.byPIDFile()
	case c.Port != 0:
		return c.byPort()
	case len(c.Argv) > 0:
		return c.byArgv()
	}
	return obscured(deadman.Process{}, "no identity is configured")
}

// writeSlack is how much younger than its pid file a process may look and still
// have written it: file systems round (FAT to 2 s).
const writeSlack = 2 * time.Second

func (c *Command) byPIDFile() Inspection {
	note, err := readPIDFile(c.PIDFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gone("there is no pid file")
	case err != nil:
		return obscured(deadman.Process{}, "%v", err)
	}
	p, err := proc.Look(note.pid)
	switch {
	case errors.Is(err, proc.ErrGone):
		return gone("the pid file names a process that is gone")
	case err != nil:
		return obscured(deadman.Process{}, "%v", err)
	case p == c.Known.Process:
		return running(p, "")
	case !note.trusts(p.PID):
		return obscured(p, "the pid file names process %d, of another user than wrote it", p.PID)
	}
	seen := running(p, "")
	another := c.Known.Program != "" && seen.Program != "" && seen.Program != c.Known.Program
	switch age := proc.Uptime() - p.Start; {
	case seen.Program != "" && seen.Program == c.Known.Program:
		return seen
	case note.age-age >= writeSlack && another:
		return gone(fmt.Sprintf("the pid file is stale: process %d is younger and another program", p.PID))
	case note.age-age >= writeSlack:
		return obscured(p, "process %d is younger than the pid file that names it", p.PID)
	}
	if doubt := c.doubt(p, another); doubt != "" {
		return obscured(p, "the pid file names process %d (%s), which may not be the agent: %s", p.PID, nameOf(p.PID), doubt)
	}
	return seen
}

// doubt says what speaks against p, which the pid file names, being the agent; ""
// if nothing does. The file is the agent's to write, so what it says is checked
// where it can be: against the port that the checks ask, and what is known of the
// agent's life before. another: p is another program than that was, which by itself
// says little, because somebody may have started it with other arguments.
func (c *Command) doubt(p deadman.Process, another bool) string {
	known := c.Known.Process
	if known.IsZero() && c.Known.Attempt != "" {
		return "" // We are starting it.
	}
	if !another && !known.IsZero() {
		return ""
	}
	sockets, err := listening(c.CheckPort)
	if holds, _ := proc.Holds(p.PID, sockets); holds {
		return ""
	}
	if related(newFamily(c.Known), p) {
		return ""
	}
	holders, _ := proc.Holders(sockets)
	for _, h := range holders {
		// Pid 1 holds it for others.
		if h.PID == 1 || related(newFamily(Known{}, p), h.Process) || related(newFamily(Known{}, h.Process), p) {
			return ""
		}
	}
	switch {
	case len(holders) > 0:
		return fmt.Sprintf("port %d is held by process %d (%s)", c.CheckPort, holders[0].PID, holders[0].Comm)
	case known.IsZero():
		return ""
	case proc.Alive(known) == deadman.Running:
		return fmt.Sprintf("it is another program, and process %d, which was the agent, lives", known.PID)
	case known.Boot == p.Boot && p.Start <= known.Start: // or in its very tick, which no successor is
		return "it is another program, and was there before the agent"
	case c.CheckPort != 0 && err == nil && len(sockets) == 0:
		return fmt.Sprintf("it is another program, and nobody listens on port %d", c.CheckPort)
	}
	return ""
}

// related reports whether p is of a family.
func related(f *family, p deadman.Process) bool {
	members, err := f.look()
	return err == nil && slices.ContainsFunc(members, func(s proc.Stat) bool { return s.Process == p })
}

// pidNote is what a pid file says.
type pidNote struct {
	pid int
	// owner is the user who wrote it.
	owner int
	// age is how long ago it was written, by the wall clock.
	age time.Duration
}

// trusts reports whether the file's word may be taken for a process. A file that
// the agent can write must not get another user's process stopped.
func (n pidNote) trusts(pid int) bool {
	if n.owner == 0 {
		return true
	}
	real, effective, err := proc.UIDs(pid)
	return err == nil && (real == n.owner || effective == n.owner)
}

func readPIDFile(path string) (pidNote, error) {
	// Not through a link, for the same reason, and never waiting on a fifo.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return pidNote{}, fmt.Errorf("cannot read the pid file: %w", reason(err))
	}
	defer f.Close()
	file, err := f.Stat()
	if err != nil || !file.Mode().IsRegular() {
		return pidNote{}, errors.New("cannot read the pid file: not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return pidNote{}, fmt.Errorf("cannot read the pid file: %v", reason(err))
	}
	pid, ok := parsePID(string(text))
	if !ok || pid <= 1 || pid == os.Getpid() {
		return pidNote{}, errors.New("cannot read the pid file: it names no process that can be the agent")
	}
	note := pidNote{pid: pid, owner: -1, age: time.Since(file.ModTime())}
	if sys, ok := file.Sys().(*syscall.Stat_t); ok {
		note.owner = int(sys.Uid)
	}
	return note, nil
}

// parsePID reads a number alone on the first line (PostgreSQL writes more lines
// below) or a JSON object with a "pid" (Hermes writes one).
func parsePID(text string) (int, bool) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if pid, err := strconv.Atoi(strings.TrimSpace(first)); err == nil {
		return pid, true
	}
	var object struct {
		PID int `json:"pid"`
	}
	err := json.Unmarshal([]byte(text), &object)
	return object.PID, err == nil && object.PID != 0
}

func (c *Command) byPort() Inspection {
	sockets, err := proc.Listening(c.Port)
	if err != nil {
		return obscured(deadman.Process{}, "%v", err)
	}
	if len(sockets) == 0 {
		return gone("nobody listens on its port")
	}
	// The usual case, without a look at all processes.
	if proc.Alive(c.Known.Process) == deadman.Running {
		if holds, _ := proc.Holds(c.Known.Process.PID, sockets); holds {
			return running(c.Known.Process, "")
		}
	}
	holders, err := proc.Holders(sockets)
	if len(holders) == 0 {
		if err == nil { // it ended meanwhile
			return gone("nobody listens on its port")
		}
		return obscured(deadman.Process{}, "%v", err)
	}
	p := proc.Roots(holders)[0].Process
	seen := running(p, "")
	if c.Known.Program == "" || seen.Program == c.Known.Program {
		return seen
	}
	if related(newFamily(c.Known), p) {
		return seen
	}
	return obscured(p, "port %d is held by process %d (%s), another program than the agent was", c.Port, p.PID, nameOf(p.PID))
}

func (c *Command) byArgv() Inspection {
	matches := func(pid int) (bool, error) {
		argv, err := proc.Argv(pid)
		return slices.Equal(argv, c.Argv), err
	}
	// The usual case, without a look at all processes.
	if proc.Alive(c.Known.Process) == deadman.Running {
		if ok, _ := matches(c.Known.Process.PID); ok {
			return running(c.Known.Process, "")
		}
	}
	table, err := proc.Scan()
	if err != nil {
		return obscured(deadman.Process{}, "%v", err)
	}
	hidden := table.Partial
	found := proc.Roots(table.Where(func(s proc.Stat) bool {
		ok, err := matches(s.PID)
		hidden = hidden || err != nil && !errors.Is(err, proc.ErrGone)
		return ok && s.PID != os.Getpid() && !proc.Contained(s.PID)
	}))
	switch {
	case len(found) == 1:
		return running(found[0].Process, "")
	case len(found) > 1:
		return obscured(found[0].Process, "%d processes have its arguments", len(found))
	case hidden:
		return obscured(deadman.Process{}, "no process with its arguments, of those that can be seen")
	}
	return gone("no process has its arguments")
}
