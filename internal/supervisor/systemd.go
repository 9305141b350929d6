package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Systemd is an agent that is a service of systemd. Its unit's own Restart= is
// respected: while systemd brings it back it is Activating, and Stop tells
// systemd before anything else is done.
type Systemd struct {
	// Unit is the name of a service, with or without its suffix.
	Unit string
	// User: it is one of this user's own manager.
	User bool
	// StateDir is a directory of this agent's, where unit.json is.
	StateDir string
	// StartTimeout is how long Start waits for the process, StopTimeout how long
	// Stop leaves it to systemd, KillDelay how long between SIGTERM and SIGKILL for
	// what is left then.
	StartTimeout, StopTimeout, KillDelay time.Duration
	// CheckPort is a port that must be free before a start and after a stop; 0 is
	// none.
	CheckPort int

	// Known is what the caller has recorded.
	Known Known
}

// noteVersion is that of unit.json.
const noteVersion = 1

// note reads unit.json; the zero value when there is none.
func (s *Systemd) note() unitNote {
	var n unitNote
	text, err := os.ReadFile(filepath.Join(s.StateDir, "unit.json"))
	if err != nil || json.Unmarshal(text, &n) != nil || n.Version != noteVersion {
		return unitNote{}
	}
	return n
}

// write writes unit.json. That it cannot, on a full disk, is no reason to leave
// an agent dead: what is lost is recognition after a crash.
func (s *Systemd) write(n unitNote) {
	n.Version = noteVersion
	_ = writeState(filepath.Join(s.StateDir, "unit.json"), n)
}

// Inspect says what systemd says. It is Obscured if systemd does not answer, or
// has forgotten the unit.
func (s *Systemd) Inspect(ctx context.Context) (Inspection, error) {
	u, err := s.look(ctx)
	if ctx.Err() != nil {
		return Inspection{}, fmt.Errorf("cannot ask systemd: %w", ctx.Err())
	}
	if err != nil {
		var candidate deadman.Process
		if proc.Alive(s.Known.Process) == deadman.Running {
			candidate = s.Known.Process
		}
		return obscured(candidate, "%v", err), nil
	}
	return s.see(u), nil
}

// look asks systemd once.
func (s *Systemd) look(ctx context.Context) (unit, error) {
	m, err := dial(ctx, s.User)
	if err != nil {
		return unit{}, err
	}
	defer m.close()
	return m.read(ctx, s.name())
}

// see completes what systemd says with what is seen of the process.
func (s *Systemd) see(u unit) Inspection {
	n := s.note()
	seen := u.inspection(n)
	if seen.Presence == deadman.Running {
		s.find(u, &seen)
	}
	if seen.Presence == deadman.Running {
		// Once it runs, what was noted of its last end is over.
		was := n
		n.Disabled = u.File == "disabled"
		if n.Ended != u.Invocation {
			n.Ended = ""
		}
		if n != was {
			s.write(n)
		}
	} else if proc.Alive(s.Known.Process) == deadman.Running {
		lost := obscured(s.Known.Process, "process %d lives on, although %s", s.Known.Process.PID, cmp.Or(seen.Detail, "its unit is down"))
		lost.Restarts = seen.Restarts
		return lost
	}
	return seen
}

// find looks at the main process of a unit that has one.
func (s *Systemd) find(u unit, seen *Inspection) {
	pid := u.Main
	if pid == 0 {
		// A unit that forks without a pid file: systemd itself only guesses.
		f := &family{cgroup: u.ControlGroup}
		members, err := f.look()
		roots := proc.Roots(members)
		switch {
		case err != nil:
			seen.Presence, seen.Detail = deadman.Obscured, err.Error()
			return
		case len(roots) != 1:
			seen.Presence = deadman.Obscured
			seen.Detail = fmt.Sprintf("systemd names no main process, and its unit has %d", len(roots))
			if len(roots) > 0 {
				seen.Process = roots[0].Process
			}
			return
		}
		pid = roots[0].PID
		seen.Detail = "systemd names no main process; it is the only one of its unit"
	}
	p, err := proc.Look(pid)
	switch {
	case errors.Is(err, proc.ErrGone):
		seen.Presence, seen.Activating = deadman.Gone, true
		seen.Detail = "systemd has not noticed its end yet"
		return
	case err != nil:
		seen.Presence, seen.Detail = deadman.Obscured, err.Error()
		return
	}
	// Systemd's own stamp of the start is no better: it is taken after the fork, by
	// 5 to 30 ms where we measured, and by then the agent may have read its config.
	seen.Process, seen.Started, seen.Program = p, p.Start, programOf(p.PID)
}

// Family returns all processes of the agent that live, oldest first: also
// everything in the unit's control group. It reads the whole table of processes.
func (s *Systemd) Family(ctx context.Context) ([]deadman.Process, error) {
	u, err := s.look(ctx)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cannot ask systemd: %w", ctx.Err())
	}
	if err != nil {
		u = unit{} // What is recorded can still be told.
	}
	members, err := s.family(u).look()
	return processes(members), err
}

func (s *Systemd) family(u unit) *family {
	f := newFamily(s.Known)
	if p, err := proc.Look(u.Main); err == nil {
		f = newFamily(s.Known, p)
	}
	f.cgroup = u.ControlGroup
	return f
}

// Start clears the latches of the unit, has systemd start it, and returns its
// main process as soon as there is one. attempt is a token for this start that is
// never used again; the caller has recorded it. A unit that systemd is still
// starting after StartTimeout (a long ExecStartPre=) is left alone, and the
// process is not known yet.
//
// *Refused before anything was asked for; *StartError when the job is over and
// there is no process to show for it.
func (s *Systemd) Start(ctx context.Context, attempt string) (deadman.Process, error) {
	m, err := dial(ctx, s.User)
	if err != nil {
		return deadman.Process{}, err
	}
	defer m.close()
	u, err := m.read(ctx, s.name())
	if err != nil {
		return deadman.Process{}, err
	}
	seen := s.see(u)
	switch {
	case seen.Presence == deadman.Running:
		return deadman.Process{}, &Refused{Why: "is the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	case seen.Presence == deadman.Obscured && !seen.Process.IsZero():
		return deadman.Process{}, &Refused{Why: "may be the agent", PID: seen.Process.PID, Program: nameOf(seen.Process.PID)}
	}
	if err := refusal(s.family(u), s.CheckPort); err != nil {
		return deadman.Process{}, err
	}
	boot, _ := proc.BootID()
	n := s.note()
	n.Attempt, n.Asked, n.Boot = attempt, proc.Uptime(), boot
	s.write(n)
	s.Known = Known{Attempt: attempt, Program: s.Known.Program}
	job, err := m.start(ctx, s.name())
	if err != nil {
		return deadman.Process{}, err
	}
	return s.appear(ctx, m, job, n.Asked)
}

// journal is the hint of where a person sees more.
func (s *Systemd) journal() string {
	if s.User {
		return "see `journalctl --user -u " + s.name() + "`"
	}
	return "see `journalctl -u " + s.name() + "`"
}

// appear waits for the process that a start job brings.
func (s *Systemd) appear(ctx context.Context, m *manager, job <-chan string, asked time.Duration) (deadman.Process, error) {
	deadline := time.NewTimer(s.StartTimeout)
	defer deadline.Stop()
	result := ""
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		u, err := m.read(ctx, s.name())
		if err != nil {
			return deadman.Process{}, err
		}
		seen := s.see(u)
		switch {
		case s.began(seen, asked):
			return seen.Process, nil
		case result != "":
			e := &StartError{Why: "systemd says of the start: " + result, See: s.journal()}
			if result == jobDone {
				e.Why = "the agent ended at once"
			}
			if proc.OfMonotonic(u.MainExit) > asked {
				e.Exit = seen.Exit
			}
			return deadman.Process{}, e
		}
		select {
		case <-ctx.Done():
			return deadman.Process{}, fmt.Errorf("cannot wait for the start: %w", ctx.Err())
		case result = <-job:
		case <-deadline.C:
			return deadman.Process{}, nil
		case <-time.After(pace):
		}
	}
}

// began reports whether the process of an inspection is younger than a start that
// was asked for, and remembers it if so.
func (s *Systemd) began(seen Inspection, asked time.Duration) bool {
	if seen.Presence != deadman.Running || seen.Process.Start+proc.Tick < asked {
		return false
	}
	s.Known.Process, s.Known.Program = seen.Process, seen.Program
	return true
}

// Started looks for the start with this token, after a crash of ours: whether we
// had begun to ask for it, and a process has appeared since. While systemd is
// still at it, it is waited for. A process that has died already is not found.
func (s *Systemd) Started(ctx context.Context, attempt string) (deadman.Process, bool, error) {
	n := s.note()
	boot, _ := proc.BootID()
	if n.Attempt != attempt || n.Boot != boot {
		return deadman.Process{}, false, ctx.Err()
	}
	deadline := time.NewTimer(s.StartTimeout)
	defer deadline.Stop()
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		seen, err := s.Inspect(ctx)
		switch {
		case err != nil:
			return deadman.Process{}, false, err
		case s.began(seen, n.Asked):
			s.Known.Attempt = attempt
			return seen.Process, true, nil
		case !seen.Activating:
			return deadman.Process{}, false, nil
		}
		select {
		case <-ctx.Done():
			return deadman.Process{}, false, fmt.Errorf("cannot wait for the start: %w", ctx.Err())
		case <-deadline.C:
			return deadman.Process{}, false, nil
		case <-time.After(pace):
		}
	}
}

// Stop has systemd stop the unit, whatever it is doing, so that it starts it no
// more by itself, and ends what is left of the control group and of the agent.
// Stopping what is not there is no error, but a systemd that cannot be told is:
// it might start the agent at any time.
func (s *Systemd) Stop(ctx context.Context) (StopReport, error) {
	m, err := dial(ctx, s.User)
	if err != nil {
		return StopReport{}, err
	}
	defer m.close()
	u, err := m.read(ctx, s.name())
	if err != nil {
		return StopReport{}, err
	}
	f := s.family(u)
	// Looked at before anybody ends, so that orphans are known.
	if _, err := f.look(); err != nil {
		return StopReport{}, err
	}
	main, _ := proc.Look(u.Main)
	if u.Load != "not-found" || !u.rests() {
		s.ending(u)
		job, err := m.stop(ctx, s.name())
		if err != nil {
			return StopReport{}, err
		}
		select {
		case <-ctx.Done():
			return StopReport{}, fmt.Errorf("cannot finish the stop: %w", ctx.Err())
		case <-job:
		case <-time.After(s.StopTimeout):
		}
	}
	killed, left, err := terminate(ctx, f, s.KillDelay, main)
	if err == nil && len(left) == 0 {
		u, err = s.settle(ctx, m)
		if u.MainCode == cldKilled && u.MainStatus == int(syscall.SIGKILL) && !main.IsZero() && !slices.Contains(killed, main) {
			killed = append(killed, main) // by systemd
		}
	}
	return report(killed, left, s.CheckPort), err
}

// ending notes that the life which u is in is ended by us.
func (s *Systemd) ending(u unit) {
	n := s.note()
	before := n
	if n.Ended = u.Invocation; n.Ended == "" {
		n.Ended = "-"
	}
	if n != before {
		s.write(n)
	}
}

// settle waits until systemd too has seen that the unit is down.
func (s *Systemd) settle(ctx context.Context, m *manager) (unit, error) {
	deadline := time.NewTimer(killWait)
	defer deadline.Stop()
	for pace := paceFirst; ; pace = min(2*pace, paceLast) {
		u, err := m.read(ctx, s.name())
		if err != nil {
			return unit{}, err
		}
		if u.rests() {
			s.ending(u) // It may have been restarted just before it was told.
			return u, nil
		}
		select {
		case <-ctx.Done():
			return unit{}, fmt.Errorf("cannot finish the stop: %w", ctx.Err())
		case <-deadline.C:
			return unit{}, fmt.Errorf("cannot finish the stop: its unit is %s (%s)", u.Active, u.Sub)
		case <-time.After(pace):
		}
	}
}

// rests: it is down, and systemd has nothing to do with it.
func (u unit) rests() bool {
	return (u.Active == "inactive" || u.Active == "failed") && !u.Job
}
