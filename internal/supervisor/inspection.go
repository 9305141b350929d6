package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// RestartsUnknown stands for a count that nobody keeps.
const RestartsUnknown = -1

// Inspection is what a supervisor says of its agent.
type Inspection struct {
	Presence deadman.Presence
	// Process is the agent's main process when Running; when Obscured it is the one
	// that may be, if there is such a candidate.
	Process deadman.Process
	// Started is the start as time since boot, never after the true start. Exact:
	// it comes from who started it; otherwise it is Process.Start, with its grain
	// of a tick.
	Started time.Duration
	Exact   bool
	// Restarts counts the supervisor's own restarts, or is RestartsUnknown.
	Restarts int64
	// Exit is how the process ended last ("exit 1"), "" when not known.
	Exit string
	// Result is the supervisor's own word for that end ("oom-kill", "watchdog"),
	// "" if it has none.
	Result string
	// Stopped: somebody else stopped, disabled or masked it on purpose, and its
	// supervisor leaves it so. Never said of a stop of ours.
	Stopped bool
	// Activating: its supervisor is bringing it up, or back, by itself.
	Activating bool
	// Latched is the supervisor's word ("start-limit-hit", "FATAL") when it has
	// given up and starts it no more until told to. Start clears it.
	Latched string
	// Program is a hash of the argument list, to recognise the agent by in another
	// life ([Known]); "" when not seen.
	Program string
	// Detail says in a line how the answer was found, when that is not plain.
	Detail string

	// life names the life that the agent is in, or was in last, for an owner that
	// keeps no count; see Owned.count.
	life string
	// settling: the agent is gone, but its owner is not done yet; unnoticed: it
	// does not even know.
	settling, unnoticed bool
}

// Known is what a caller has recorded of an agent and gives back, so that an
// agent is recognised across a crash of ours. The zero value is "nothing yet".
// Start sets Process and Attempt; the rest is for the caller to copy, from an
// Inspection and from Family, while the agent is well.
type Known struct {
	// Process is the main process seen last.
	Process deadman.Process `json:"process"`
	// Members is the family when last looked at: orphans are told by it.
	Members []deadman.Process `json:"members,omitempty"`
	// Attempt is the token of our last start.
	Attempt string `json:"attempt,omitempty"`
	// Program is Inspection.Program.
	Program string `json:"program,omitempty"`
	// Restarts and Life are the tally of an Owned whose owner keeps no count: the
	// restarts that were seen, and the life that was the last.
	Restarts int64  `json:"restarts,omitempty"`
	Life     string `json:"life,omitempty"`
}

// StopReport is what is left after a stop.
type StopReport struct {
	// Killed had to be killed, because they did not end when told to.
	Killed []deadman.Process
	// Survivors are still there: the agent's own that even SIGKILL did not end (a
	// process in the kernel's hands), and strangers on its port.
	Survivors []Survivor
	// PortFree: certainly nobody listens on the agent's port, or it has none.
	PortFree bool
	// Command is how the stop command ended when that was not "exit 0"; "" also
	// when there was none to run.
	Command string
}

// Survivor is a process that a stop left alone.
type Survivor struct {
	Process deadman.Process
	// Program is the name that the kernel shows.
	Program string
	// Own: it is the agent's.
	Own bool
}

// Refused is the error of a Start that would have made a second process.
type Refused struct {
	// Why completes "it …": "is the agent", "holds port 8080".
	Why string
	// PID and Program name who is in the way; PID is 0 when that cannot be seen.
	PID     int
	Program string
}

func (e *Refused) Error() string {
	if e.PID == 0 {
		return "cannot start beside another process: it " + e.Why
	}
	return fmt.Sprintf("cannot start beside process %d (%s): it %s", e.PID, e.Program, e.Why)
}

// Hint says what a person can do about it.
func (e *Refused) Hint() string {
	if e.PID == 0 {
		return "run deadman as root to see whose process it is"
	}
	return fmt.Sprintf("end process %d if it is not wanted there, then start again", e.PID)
}

// StartError is the error of a start after which there is no agent.
type StartError struct {
	// Exit is how the started command ended ("exit 1"), "" when that is not known.
	Exit string
	// Why says the rest.
	Why string
	// See is where a person sees more; "" is the agent's log.
	See string
}

func (e *StartError) Error() string {
	if e.Exit != "" {
		return fmt.Sprintf("cannot start: %s (%s)", e.Why, e.Exit)
	}
	return "cannot start: " + e.Why
}

// Hint says where to look.
func (e *StartError) Hint() string {
	if e.See != "" {
		return e.See
	}
	return "what it printed is at the end of the agent's log"
}

// running is the Inspection of a process that is there.
func running(p deadman.Process, detail string) Inspection {
	return Inspection{
		Presence: deadman.Running, Process: p, Started: p.Start,
		Restarts: RestartsUnknown, Program: programOf(p.PID), Detail: detail,
	}
}

func gone(detail string) Inspection {
	return Inspection{Presence: deadman.Gone, Restarts: RestartsUnknown, Detail: detail}
}

// obscured is "cannot tell"; p is who it may be, or zero.
func obscured(p deadman.Process, format string, args ...any) Inspection {
	return Inspection{
		Presence: deadman.Obscured, Process: p, Started: p.Start,
		Restarts: RestartsUnknown, Detail: fmt.Sprintf(format, args...),
	}
}

func programOf(pid int) string {
	argv, err := proc.Argv(pid)
	if err != nil || len(argv) == 0 {
		return ""
	}
	return hashArgv(argv)
}

// hashArgv is a hash because arguments may hold secrets.
func hashArgv(argv []string) string {
	sum := sha256.Sum256([]byte(strings.Join(argv, "\x00")))
	return hex.EncodeToString(sum[:])
}

func nameOf(pid int) string {
	s, err := proc.Read(pid)
	if err != nil {
		return "?"
	}
	return s.Comm
}
