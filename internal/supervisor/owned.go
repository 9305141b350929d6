package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Owner is a program that owns the agent's process, as one form speaks to it:
// [Runit], [Supervisord], [Tmux], [Docker], [Launchd].
type Owner interface {
	// look says what the owner says. It is Obscured if the owner does not answer
	// or does not know the agent. Stopped means held down, by whomever; Owned
	// knows if that was us.
	look(ctx context.Context) Inspection
	// up has the agent started, whatever latch is in the way. entry is for its
	// environment, where the owner can do that. It returns when the order is taken.
	up(ctx context.Context, entry string) error
	// down has the agent ended and kept down, and returns when the order is taken.
	// asked: the owner itself tells the main process to end; delay is when that is
	// killed.
	down(ctx context.Context, delay time.Duration) (asked bool, err error)
}

// Owned is an agent that another program owns. That one is told to start and to
// stop it, so that it never works against us; what it leaves of the agent is
// ended here.
type Owned struct {
	Owner Owner
	// StateDir is a directory of this agent's, where owner.json is.
	StateDir string
	// StartTimeout is how long Start waits for the process, StopTimeout how long
	// Stop waits for the owner once nothing of the agent is left, KillDelay how
	// long between SIGTERM and SIGKILL.
	StartTimeout, StopTimeout, KillDelay time.Duration
	// CheckPort is a port that must be free before a start and after a stop; 0 is
	// none.
	CheckPort int

	// Known is what the caller has recorded.
	Known Known
}

// hand is owner.json: what we have told the owner last. It is written before we
// do, and is what a deadman that finds the agent up or down after a crash tells
// our doings from a person's by.
type hand struct {
	Version int `json:"version"`
	// Attempt is our last start, Asked the time since the boot Boot right before.
	Attempt string        `json:"attempt,omitempty"`
	Asked   time.Duration `json:"asked,omitempty"`
	Boot    string        `json:"boot,omitempty"`
	// Down: we have had it stopped. Ended was its main process, and as soon as
	// another one has been seen, a stop is somebody else's again.
	Down  bool            `json:"down,omitempty"`
	Ended deadman.Process `json:"ended,omitzero"`
}

const handVersion = 1

// hand reads owner.json; the zero value when there is none.
func (o *Owned) hand() hand {
	var h hand
	text, err := os.ReadFile(filepath.Join(o.StateDir, "owner.json"))
	if err != nil || json.Unmarshal(text, &h) != nil || h.Version != handVersion {
		return hand{}
	}
	return h
}

// note writes owner.json. That it cannot, on a full disk, is no reason to leave
// an agent dead: what is lost is recognition after a crash.
func (o *Owned) note(h hand) {
	h.Version = handVersion
	_ = writeState(filepath.Join(o.StateDir, "owner.json"), h)
}

// Inspect says what the owner says of the agent, except that a stop of ours is
// not Stopped, and that nobody is gone who is seen to live.
func (o *Owned) Inspect(ctx context.Context) (Inspection, error) {
	seen := o.Owner.look(ctx)
	// We may see an end before its owner does, which is about to.
	for waited := time.Duration(0); seen.unnoticed && waited < noticeTime && ctx.Err() == nil; waited += paceFirst {
		time.Sleep(paceFirst)
		seen = o.Owner.look(ctx)
	}
	if err := ctx.Err(); err != nil {
		return Inspection{}, fmt.Errorf("cannot ask what owns the agent: %w", err)
	}
	o.count(&seen)
	if seen.Presence != deadman.Running && proc.Alive(o.Known.Process) == deadman.Running {
		why := seen.Detail
		if seen.Presence == deadman.Gone {
			why = "its owner has lost it"
		}
		lost := obscured(o.Known.Process, "process %d lives: %s", o.Known.Process.PID, why)
		lost.Restarts = seen.Restarts
		return lost, nil
	}
	if seen.Stopped {
		h := o.hand()
		seen.Stopped = !h.Down || !o.Known.Process.IsZero() && o.Known.Process != h.Ended
	}
	return seen, nil
}

// noticeTime is how long an owner may take to notice an end.
const noticeTime = 250 * time.Millisecond

// restartsTallied stands for the count of an owner that keeps none, but tells
// one life from the next.
const restartsTallied = -2

// count gives an inspection the restarts that were seen, where the owner keeps
// no count itself: of several between two looks only the last is seen.
func (o *Owned) count(seen *Inspection) {
	if seen.Restarts != restartsTallied {
		return
	}
	before := o.Known.Life
	if now := seen.life; !sameLife(now, before) {
		o.Known.Life = now
		inHand := before != "" && before[0] != atRest && now[0] != atRest
		// That one ended is not yet a restart.
		if inHand && (before[0] != alive || now[0] != ended) {
			o.Known.Restarts++
		}
	}
	seen.Restarts = o.Known.Restarts
}

// A life is named by how it is and something that no other has: "+123@456".
const (
	alive  = '+'
	ended  = '-' // and the owner will start the next
	atRest = '='
)

// sameLife reports whether now is no other life than before. One that is at rest
// may be wanted again before the next one begins.
func sameLife(now, before string) bool {
	return now == "" || before != "" && now[1:] == before[1:]
}

func lifeName(state rune, format string, args ...any) string {
	return string(state) + fmt.Sprintf(format, args...)
}

// ofOwner is the Inspection of the process that an owner names. witness is the
// file or socket by which it speaks, "" where nobody else can have made it: a user
// must not get another user's process stopped.
func ofOwner(pid int, witness string) Inspection {
	p, err := proc.Look(pid)
	switch {
	case errors.Is(err, proc.ErrGone):
		seen := gone("its owner has not noticed its end yet")
		seen.Activating, seen.unnoticed = true, true // It may bring it back.
		return seen
	case err != nil:
		return obscured(deadman.Process{}, "%v", err)
	case !mayName(witness, pid):
		return obscured(deadman.Process{}, "its owner names process %d, of another user than its own", pid)
	}
	return running(p, "")
}

// mayName reports whether the word of whoever made a file may be taken for a
// process: root's, our own, and else that of the process's user.
func mayName(witness string, pid int) bool {
	if witness == "" {
		return true
	}
	file, err := os.Stat(witness)
	if err != nil {
		return false
	}
	owner, ok := file.Sys().(*syscall.Stat_t)
	return ok && (int(owner.Uid) == os.Geteuid() || pidNote{pid: pid, owner: int(owner.Uid)}.trusts(pid))
}

// Family returns all processes of the agent that live, oldest first. It reads the
// whole table of processes.
func (o *Owned) Family(ctx context.Context) ([]deadman.Process, error) {
	seen, err := o.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	members, err := newFamily(o.Known, seen.Process).look()
	return processes(members), err
}

// Start has the owner start the agent and returns its main process as soon as
// there is one. attempt is a token for this start that is never used again; the
// caller has recorded it.
//
// *Refused before anything was asked for; *StartError when there is no process
// to show for it.
func (o *Owned) Start(ctx context.Context, attempt string) (deadman.Process, error) {
	seen, err := o.Inspect(ctx)
	switch {
	case err != nil:
		return deadman.Process{}, err
	case seen.Presence == deadman.Running:
		return deadman.Process{}, &Refused{Why: "is the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	case seen.Presence == deadman.Obscured && !seen.Process.IsZero():
		return deadman.Process{}, &Refused{Why: "may be the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	case seen.Presence == deadman.Obscured:
		return deadman.Process{}, &StartError{Why: seen.Detail}
	}
	if err := refusal(newFamily(o.Known), o.CheckPort); err != nil {
		return deadman.Process{}, err
	}
	boot, _ := proc.BootID()
	h := o.hand()
	h.Attempt, h.Asked, h.Boot = attempt, proc.Uptime(), boot
	o.note(h)
	before := seen.life
	o.Known = Known{Attempt: attempt, Program: o.Known.Program, Restarts: o.Known.Restarts}
	if before != "" {
		o.Known.Life = string(atRest) + before[1:] // What comes next is no restart.
	}
	within, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()
	if err := o.Owner.up(within, mark(attempt)); err != nil {
		if ctx.Err() != nil {
			return deadman.Process{}, err
		}
		return deadman.Process{}, &StartError{Why: err.Error()}
	}
	return o.appear(ctx, before)
}

// appear waits for the process that the owner was asked for; before is the life
// that was the last until then.
func (o *Owned) appear(ctx context.Context, before string) (deadman.Process, error) {
	deadline := time.NewTimer(o.StartTimeout)
	defer deadline.Stop()
	late := false
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		seen, err := o.Inspect(ctx)
		switch {
		case err != nil:
			return deadman.Process{}, err
		case seen.Presence == deadman.Running:
			o.Known.Process, o.Known.Program = seen.Process, seen.Program
			return seen.Process, nil
		case seen.Presence == deadman.Gone && !sameLife(seen.life, before):
			return deadman.Process{}, &StartError{Why: "the agent ended at once", Exit: seen.Exit}
		case late:
			return deadman.Process{}, &StartError{Why: strings.TrimSuffix("the agent did not appear: "+seen.Detail, ": ")}
		}
		select {
		case <-ctx.Done():
			return deadman.Process{}, fmt.Errorf("cannot wait for the start: %w", ctx.Err())
		case <-deadline.C:
			late = true // It may have appeared meanwhile.
		case <-time.After(pace):
		}
	}
}

// Started looks for the start with this token, after a crash of ours: whether we
// had begun to ask for it, and a process has appeared since. One that has died
// already is not found.
func (o *Owned) Started(ctx context.Context, attempt string) (deadman.Process, bool, error) {
	h := o.hand()
	boot, _ := proc.BootID()
	if h.Attempt != attempt || h.Boot != boot {
		return deadman.Process{}, false, nil
	}
	seen, err := o.Inspect(ctx)
	if err != nil || seen.Presence != deadman.Running || seen.Process.Start+proc.Tick < h.Asked {
		return deadman.Process{}, false, err
	}
	o.Known.Process, o.Known.Attempt = seen.Process, attempt
	return seen.Process, true, nil
}

// Stop has the owner end the agent and keep it down, ends what that leaves, and
// waits until the owner is done. Stopping what is not there is no error, but an
// owner that cannot be told is: it might start the agent at any time.
func (o *Owned) Stop(ctx context.Context) (StopReport, error) {
	seen, err := o.Inspect(ctx)
	if err != nil {
		return StopReport{}, err
	}
	f := newFamily(o.Known, seen.Process)
	// Looked at before anybody ends, so that orphans are known.
	if _, err := f.lookAt(o.CheckPort); err != nil {
		return StopReport{}, err
	}
	h := o.hand()
	h.Down, h.Ended = true, o.Known.Process
	if seen.Presence == deadman.Running {
		h.Ended, o.Known.Process = seen.Process, seen.Process
	}
	o.note(h)
	asked, err := o.Owner.down(ctx, o.KillDelay)
	if err != nil {
		return StopReport{}, fmt.Errorf("cannot have the agent stopped: %w", err)
	}
	var spare deadman.Process
	if asked && seen.Presence == deadman.Running { // and not one that its owner has lost
		spare = seen.Process
	}
	killed, left, err := terminate(ctx, f, o.KillDelay, spare)
	if err == nil && len(left) == 0 {
		left, err = o.settle(ctx, f)
	}
	o.Known.Life = "" // What comes next is no restart.
	return report(killed, left, o.CheckPort), err
}

// settle waits until the owner has seen the end too, and is done with it. Whom
// it started a moment before it was told to stop is ended too.
func (o *Owned) settle(ctx context.Context, f *family) ([]proc.Stat, error) {
	deadline := time.NewTimer(o.StopTimeout)
	defer deadline.Stop()
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		seen := o.Owner.look(ctx)
		switch {
		case seen.Presence == deadman.Running:
			// It was being brought back when the order came, which podman does not
			// heed then.
			if _, err := o.Owner.down(ctx, o.KillDelay); err != nil {
				return nil, err
			}
			f.heads = append(f.heads, seen.Process)
			if _, left, err := terminate(ctx, f, o.KillDelay, deadman.Process{}); err != nil || len(left) > 0 {
				return left, err
			}
		case seen.Presence == deadman.Gone && !seen.Activating && !seen.settling:
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot finish the stop: %w", ctx.Err())
		case <-deadline.C:
			return nil, errors.New("cannot finish the stop: what owns the agent does not keep it down")
		case <-time.After(pace):
		}
	}
}
