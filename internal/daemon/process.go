package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"deadman"
	"deadman/internal/atomicfile"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// newSupervisor builds what owns the agent's process, and where it looks for
// what is known.
func newSupervisor(a config.Agent, dir string) (supervised, *supervisor.Known) {
	logFile := filepath.Join(dir, "output.log")
	if c := a.Supervisor.Child; c != nil {
		s := &supervisor.Child{Argv: c.Argv, Dir: c.Dir, Env: c.Env, LogFile: logFile, KillDelay: a.KillDelay, StateDir: dir, CheckPort: checkPort(a)}
		return s, &s.Known
	}
	if u := a.Supervisor.Systemd; u != nil {
		s := &supervisor.Systemd{
			Unit: u.Unit, User: u.User, StateDir: dir, CheckPort: checkPort(a),
			StartTimeout: a.StartTimeout, StopTimeout: a.StopTimeout, KillDelay: a.KillDelay,
		}
		return s, &s.Known
	}
	if owner := newOwner(a.Supervisor, dir); owner != nil {
		s := &supervisor.Owned{
			Owner: owner, StateDir: dir, CheckPort: checkPort(a),
			StartTimeout: a.StartTimeout, StopTimeout: a.StopTimeout, KillDelay: a.KillDelay,
		}
		return s, &s.Known
	}
	c := a.Supervisor.Command
	s := &supervisor.Command{
		StartArgv: c.Start, StopArgv: c.Stop, ReloadArgv: c.Reload,
		PIDFile: c.Process.PIDFile, Port: c.Process.Port, Argv: c.Process.Argv,
		StartTimeout: a.StartTimeout, StopTimeout: a.StopTimeout, KillDelay: a.KillDelay,
		LogFile: logFile,
	}
	if s.Port == 0 {
		s.CheckPort = checkPort(a)
	}
	return s, &s.Known
}

// checkPort is the local port that the agent's checks ask, 0 if they do not
// agree on one.
func checkPort(a config.Agent) int {
	port := 0
	for _, c := range a.Checks {
		host, text := "", ""
		switch {
		case c.HTTP != nil:
			u, err := url.Parse(c.HTTP.URL)
			if err != nil {
				continue
			}
			host, text = u.Hostname(), u.Port()
		case c.TCP != nil:
			host, text, _ = net.SplitHostPort(c.TCP.Address)
		}
		ip := net.ParseIP(host)
		n, err := strconv.Atoi(text)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			continue
		}
		if port != 0 && port != n {
			return 0
		}
		port = n
	}
	return port
}

// inspect asks the supervisor.
func (w *world) inspect(ctx context.Context, seen *sight) {
	r := &seen.round
	in, err := w.sup.Inspect(ctx)
	if err != nil {
		in = supervisor.Inspection{Presence: deadman.Obscured, Restarts: -1, Detail: err.Error()}
	}
	seen.process = in
	r.Presence, r.Restarts = in.Presence, in.Restarts
	r.Activating = in.Activating
	r.Stopped = in.Presence == deadman.Gone && !in.Activating && (in.Stopped || w.planned(in.Exit))
	w.tally()
	if in.Presence != deadman.Running {
		return
	}
	r.Process = in.Process
	now := time.Now().UTC().Round(0)
	r.StartedAt = proc.WallOf(in.Started, now, proc.Uptime())
	r.ClockSet = w.clock.wallSet(in.Started)
	seen.wall = r.StartedAt
	w.remember(ctx, in)
	r.Version = w.memo.Version
}

// planned reports whether an end ("exit 75") is one that the agent is meant to
// make. An end that is not known is none.
func (w *world) planned(exit string) bool {
	return slices.ContainsFunc(w.agent.PlannedExits, func(code int) bool { return exit == fmt.Sprintf("exit %d", code) })
}

// remember writes down what the agent is recognised by, when its process is a
// new one.
func (w *world) remember(ctx context.Context, in supervisor.Inspection) {
	if in.Process == w.memo.Process {
		return
	}
	w.memo.Process, w.memo.Served = in.Process, false
	w.known.Process, w.known.Program = in.Process, in.Program
	if family, err := w.sup.Family(ctx); err == nil {
		w.known.Members = family
	}
	if exe, err := proc.Exe(in.Process.PID); proc.Contained(in.Process.PID) {
		w.memo.Exe = "" // A container's paths are its own.
	} else if err == nil {
		w.memo.Exe = exe
	}
	w.memo.Version = w.version(ctx)
	w.born(in.Process)
	w.saveMemo()
}

func (w *world) saveMemo() {
	w.memo.Known = *w.known
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return // A memo that is lost costs recognition of orphans, not safety.
	}
	defer root.Close()
	text, err := json.Marshal(w.memo)
	if err == nil {
		_ = atomicfile.WriteFile(root, "process.json", text, 0o600)
	}
}

func readMemo(dir string) memo {
	var m memo
	text, err := os.ReadFile(filepath.Join(dir, "process.json"))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return memo{}
	}
	return m
}

// port is what the agent listens on, 0 if that is not known.
func (w *world) port() int {
	if c := w.agent.Supervisor.Command; c != nil && c.Process.Port != 0 {
		return c.Process.Port
	}
	return checkPort(w.agent)
}

// token names a start for ever: attempts are counted over the agent's life, and
// the incident keeps two lives apart if the count was lost.
func token(s lifecycle.State) string {
	return fmt.Sprintf("%s-%d", s.Incident.ID, s.Pending.Attempt)
}
