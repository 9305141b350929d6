package daemon

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/cause"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
	"deadman/internal/snapshot"
	"deadman/internal/supervisor"
)

// well is how things were when an agent was seen well last, for package cause to
// compare with. It is a part of the memo.
type well struct {
	// Process is the last one seen, and Memory its control group: when it was
	// first seen, or at the last healthy round since, so that a kill which the
	// agent outlived is not taken for the cause of a death days later.
	Process deadman.Process `json:"process,omitzero"`
	Memory  cause.Memory    `json:"memory,omitzero"`
	// Dirs are its home and working directory.
	Dirs []string `json:"dirs,omitempty"`
	// Served: the process has answered. Routed is of the last one that has (one
	// that dies at once, in a loop, says nothing): the machine had a way out since.
	// One that came up without has shown that it needs none.
	Served bool `json:"served,omitempty"`
	Routed bool `json:"routed,omitempty"`
}

// born takes down what can be told of a new process at once.
func (w *world) born(p deadman.Process) {
	was := w.memo.Well
	w.memo.Well = well{Process: p, Memory: cause.MemoryOf(p.PID), Dirs: placesOf(p.PID), Routed: was.Routed}
}

// placesOf are the directories that a process may want to write in.
func placesOf(pid int) []string {
	var dirs []string
	for _, read := range []func() (string, error){
		func() (string, error) { return proc.Variable(pid, "HOME") },
		func() (string, error) { return proc.Dir(pid) },
	} {
		if dir, err := read(); err == nil && filepath.IsAbs(dir) && dir != "/" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// noteWell renews the memory of a round that found the agent serving.
func (w *world) noteWell(seen sight) {
	r := seen.round
	if r.Presence != deadman.Running || r.Alive != deadman.Healthy || r.Process.IsZero() || r.Process != w.memo.Process {
		return
	}
	m := &w.memo.Well
	changed := false
	if m.Process != r.Process { // Of a memo that knew nothing of this.
		w.born(r.Process)
		changed = true
	}
	if now := m.Memory.Now(); now != m.Memory {
		m.Memory, changed = now, true
	}
	if !m.Served {
		m.Served, m.Routed, changed = true, false, true
	}
	if !m.Routed && cause.Routed() {
		m.Routed, changed = true, true
	}
	if changed {
		w.saveMemo()
	}
}

// causes look for a cause outside the config of the death in hand. The answer
// comes within cause.Limit; until it is asked for the caller may do other things.
func (w *world) causes(ctx context.Context, s lifecycle.State, look *snapshot.Look, version string) func() []cause.Finding {
	ctx, cancel := context.WithTimeout(ctx, cause.Limit)
	a := w.evidenceOf(s)
	a.Port = w.port()
	if a.Port != 0 {
		// After a Stop there is none. In observe mode there was no Stop.
		if family, err := w.sup.Family(ctx); err == nil {
			for _, p := range family {
				a.Own = append(a.Own, p.PID)
			}
		}
	}
	a.Latched = w.last.process.Latched
	if in, err := w.sup.Inspect(ctx); err == nil {
		a.Latched = in.Latched
	}
	if look != nil {
		a.Files = w.accesses(s, look)
	}
	a.Version = w.versions(s, look, version)
	found := make(chan []cause.Finding, 1)
	go func() {
		defer cancel()
		found <- cause.Look(ctx, a)
	}()
	return func() []cause.Finding { return <-found }
}

// evidenceOf is what is asked at a death and where it is merely not ready alike.
func (w *world) evidenceOf(s lifecycle.State) cause.Agent {
	in := w.last.process
	a := cause.Agent{Memory: w.memo.Well.Memory, Routed: w.memo.Well.Routed, Result: in.Result, Exit: in.Exit}
	for _, set := range w.agent.Config {
		a.Dirs = append(a.Dirs, cause.Dir{Role: "config", Path: set.Root})
	}
	a.Dirs = append(a.Dirs, cause.Dir{Role: "state", Path: w.stateDir})
	home := w.memo.Well.Dirs
	if c := w.agent.Supervisor.Child; c != nil && c.Dir != "" && !slices.Contains(home, c.Dir) {
		home = append(slices.Clone(home), c.Dir)
	}
	for _, dir := range home {
		a.Dirs = append(a.Dirs, cause.Dir{Role: "home", Path: dir})
	}
	if s.EverReady {
		a.Providers = providers(w.agent)
	}
	return a
}

// accesses compare modes and owners with the known good's, where what is live are
// its bytes, preserved values aside.
func (w *world) accesses(s lifecycle.State, look *snapshot.Look) []cause.File {
	if s.Known.IsZero() {
		return nil
	}
	known, err := w.store.Load(s.Known.Snapshot)
	if err != nil || look.IdentityLike(w.sets, known.Members) != w.identity(known) {
		return nil
	}
	var files []cause.File
	for _, m := range look.Members {
		if was, ok := known.Member(m.Name()); ok && !m.Reads {
			files = append(files, cause.File{
				Name: m.Name(),
				Want: cause.Access{Mode: was.Mode, UID: was.UID, GID: was.GID},
				Have: cause.Access{Mode: m.Mode, UID: m.UID, GID: m.GID},
			})
		}
	}
	return files
}

// versions is what is known of the agent's version.
func (w *world) versions(s lifecycle.State, look *snapshot.Look, version string) cause.Version {
	v := cause.Version{Now: version, Good: s.Known.Versions}
	if look != nil {
		v.Written = look.Written
	}
	path := strings.TrimSuffix(w.memo.Exe, " (deleted)")
	switch given := w.agent.Version; {
	case given.File != "":
		path = given.File
	case len(given.Exec) > 0:
		path = "" // What it prints may come from anywhere.
	}
	var stat unix.Stat_t
	if path != "" && unix.Stat(path, &stat) == nil {
		v.Changed = time.Unix(stat.Ctim.Unix())
	}
	return v
}

// providersMax bounds what is connected to.
const providersMax = 4

// providers are what the ready checks of an agent reach on other machines.
func providers(a config.Agent) []string {
	var out []string
	for _, c := range a.Checks {
		address := ""
		switch {
		case c.Level != deadman.Ready:
		case c.HTTP != nil:
			if u, err := url.Parse(c.HTTP.URL); err == nil {
				port := u.Port()
				if port == "" {
					port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
				}
				address = net.JoinHostPort(u.Hostname(), port)
			}
		case c.TCP != nil:
			address = c.TCP.Address
		}
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || host == "localhost" || ip != nil && ip.IsLoopback() {
			continue
		}
		if !slices.Contains(out, address) && len(out) < providersMax {
			out = append(out, address)
		}
	}
	return out
}

// holdingNow are the causes that hold, and the lines that speak for them.
func holdingNow(findings []cause.Finding) (causes []deadman.Cause, clues []string) {
	for _, f := range findings {
		if f.Holds {
			causes, clues = append(causes, f.Cause), append(clues, f.String())
		}
	}
	return causes, clues
}

// excuse looks for what speaks for an agent that was left stopped, or serves and
// is not ready. At all other rounds there is nothing to excuse.
func (w *world) excuse(ctx context.Context, s lifecycle.State, r *lifecycle.Round, in supervisor.Inspection) {
	switch {
	case r.Stopped:
		f := cause.Finding{Cause: deadman.SupervisorStopped, Holds: true, Evidence: "its supervisor was told to stop it, and leaves it so"}
		if w.planned(in.Exit) {
			f = cause.Finding{Cause: deadman.PlannedExit, Holds: true, Evidence: fmt.Sprintf("it ended with %q, which planned-exits lists", in.Exit)}
		}
		r.Causes, r.Clues = holdingNow([]cause.Finding{f})
	case r.Presence == deadman.Running && r.Alive == deadman.Healthy && r.Ready == deadman.Unhealthy && s.Life.Unready > 0:
		r.Causes, r.Clues = holdingNow(cause.Look(ctx, w.evidenceOf(s)))
	}
}
