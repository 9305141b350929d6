package cause

import (
	"context"
	"fmt"
	"time"

	"deadman"
)

// Limit bounds a Look, all of it.
const Limit = 2 * time.Second

// Agent is what the caller knows of an agent. What is zero is not looked at.
type Agent struct {
	// Memory is its control group as it was when the agent was seen well last.
	Memory Memory
	// Result is its supervisor's word for how it ended ("oom-kill"), Exit how it
	// ended ("exit 1", "killed by SIGKILL"), Latched the word when the supervisor
	// has given up ("start-limit-hit"); "" is not known.
	Result, Exit, Latched string
	// Dirs are where it must be able to write.
	Dirs []Dir
	// Port is what it listens on. Own are its own processes, if it has any left.
	Port int
	Own  []int
	// Files are the members of its config whose bytes are those of the known good.
	Files []File
	// Routed: the machine had a way out when the agent was seen well last.
	Routed bool
	// Providers are what its ready checks reach on other machines, host:port, if
	// those checks were ever healthy.
	Providers []string
	Version   Version
}

// Finding is what was found of one cause.
type Finding struct {
	Cause deadman.Cause
	// Holds: it holds now. If not, Evidence says why, or why it cannot be told.
	Holds    bool
	Evidence string
}

// String is the finding in one line, for the record.
func (f Finding) String() string {
	if f.Holds {
		return fmt.Sprintf("%s: %s", f.Cause, f.Evidence)
	}
	return fmt.Sprintf("not %s: %s", f.Cause, f.Evidence)
}

// look is one question: nil says that there was nothing to ask.
type look struct {
	cause deadman.Cause
	ask   func(ctx context.Context, a Agent) *Finding
}

// looks are in the order of what they explain: the first that holds is named as
// the cause. A start limit comes last, for it is what other causes end in.
var looks = []look{
	{deadman.OutOfMemory, memory},
	{deadman.DiskFull, disk},
	{deadman.PortTaken, port},
	{deadman.Permission, permission},
	{deadman.NetworkDown, network},
	{deadman.VersionChanged, version},
	{deadman.StartLimit, startLimit},
}

// Look asks everything at once and answers in a fixed order, within Limit.
func Look(ctx context.Context, a Agent) []Finding {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	answers := make([]chan *Finding, len(looks))
	for i, l := range looks {
		// Room for the answer of one that comes too late: a statfs of a server
		// that is gone cannot be called off.
		answers[i] = make(chan *Finding, 1)
		go func() { answers[i] <- l.ask(ctx, a) }()
	}
	var findings []Finding
	for i, l := range looks {
		f, ok := await(ctx, answers[i])
		switch {
		case !ok:
			findings = append(findings, Finding{Cause: l.cause, Evidence: "cannot tell: no answer in time"})
		case f != nil:
			f.Cause = l.cause
			findings = append(findings, *f)
		}
	}
	return findings
}

// await takes an answer. One that is there counts even when the time is up.
func await(ctx context.Context, answer <-chan *Finding) (*Finding, bool) {
	select {
	case f := <-answer:
		return f, true
	default:
	}
	select {
	case f := <-answer:
		return f, true
	case <-ctx.Done():
		return nil, false
	}
}

func holds(format string, args ...any) *Finding {
	return &Finding{Holds: true, Evidence: fmt.Sprintf(format, args...)}
}

func not(format string, args ...any) *Finding {
	return &Finding{Evidence: fmt.Sprintf(format, args...)}
}

// startLimit: the supervisor starts it no more until told to. That it got there
// by failing says nothing of why it failed.
func startLimit(_ context.Context, a Agent) *Finding {
	if a.Latched == "" {
		return nil
	}
	return holds("its supervisor has given up: %s", a.Latched)
}
