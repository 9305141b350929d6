package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/rival"
)

// RivalOptions are what is to be done about rivals. At most one of Disable and
// Restore is set.
type RivalOptions struct {
	Disable, Kill, Restore bool
	// Root is the directory that holds the machine: "/", or that of a disk that is
	// only looked at.
	Root string
}

// Rivals finds what else restarts, starts, stops or rewrites agents, all of them or
// those named, and disables or restores it. Refusals are in the result and joined in
// the error, which is there beside it.
func (d *Daemon) Rivals(ctx context.Context, names []string, o RivalOptions) (api.Rivals, error) {
	out := api.Rivals{Schema: api.Schema, Rivals: []api.Rival{}, Aside: []api.AsideRival{}}
	agents, err := d.agents(names)
	if err != nil {
		return out, err
	}
	host := d.host(o.Root)
	options := rival.Options{Kill: o.Kill}
	if filepath.Clean(host.Root) == "/" {
		options.Run = runProgram
	}
	if o.Restore {
		restored, err := rival.Restore(ctx, host, d.rivalDir(), names, options)
		failure := err
		for _, r := range restored {
			one := api.RestoredRival{Path: r.Path, Deed: string(r.Deed), Note: r.Note}
			if r.Err != nil {
				one.Error = r.Err.Error()
				failure = errors.Join(failure, r.Err)
			}
			out.Restored = append(out.Restored, one)
		}
		return out, errors.Join(failure, d.aside(&out))
	}
	found, err := rival.Find(host, contested(agents))
	if err != nil {
		return out, err
	}
	out.Unseen = host.Unseen()
	for _, r := range found {
		out.Rivals = append(out.Rivals, rivalOf(r))
	}
	if !o.Disable {
		return out, d.aside(&out)
	}
	outcomes, failure := rival.Disable(ctx, host, d.rivalDir(), found, options)
	for _, outcome := range outcomes {
		for i := range out.Rivals {
			r := &out.Rivals[i]
			if !slices.Contains(outcome.Rivals, r.ID) {
				continue
			}
			r.Outcome, r.Note = string(outcome.Deed), outcome.Note
			switch {
			case outcome.Err != nil:
				r.Outcome, r.Error = "refused", outcome.Err.Error()
			case outcome.Deed == "":
				r.Outcome = "left"
			}
		}
		failure = errors.Join(failure, outcome.Err)
	}
	return out, errors.Join(failure, d.aside(&out))
}

// Standing are those among found rivals that are at least likely to be, and still in
// the way.
func Standing(found api.Rivals) int {
	n := 0
	for _, r := range found.Rivals {
		if r.Sure != string(rival.Possible) && (r.Outcome == "" || r.Outcome == "left" || r.Outcome == "refused") {
			n++
		}
	}
	return n
}

func (d *Daemon) aside(out *api.Rivals) error {
	all, err := rival.Journal(d.rivalDir())
	for _, a := range all {
		out.Aside = append(out.Aside, api.AsideRival{Deed: string(a.Deed), Form: string(a.Form), Path: a.Path, Agents: a.Agents, Time: a.Time})
	}
	return err
}

// rivalDir is the journal of what is aside.
func (d *Daemon) rivalDir() string { return filepath.Join(d.cfg.StateDir, "rivals") }

func (d *Daemon) host(root string) *rival.Host {
	if root == "" {
		root = "/"
	}
	return &rival.Host{Root: root, Config: d.opts.ConfigPath}
}

func rivalOf(r rival.Rival) api.Rival {
	one := api.Rival{
		ID: r.ID, Form: string(r.Form), Path: r.Path, Line: r.Line, PID: r.Process.PID, Pane: r.Pane,
		Agents: r.Agents(), Sure: string(r.Sure()), Via: r.Via, Hint: r.Hint,
	}
	for _, reason := range r.Reasons() {
		one.Reasons = append(one.Reasons, string(reason))
	}
	for _, a := range r.Acts {
		one.Acts = append(one.Acts, api.Act{Agent: a.Agent, Reason: string(a.Reason), Sure: string(a.Sure), Does: a.Does})
	}
	return one
}

// contested turns agents into what others could act on them by.
func contested(agents []config.Agent) []rival.Agent {
	var all []rival.Agent
	for _, a := range agents {
		one := rival.Agent{Name: a.Name, Preset: a.Preset}
		described, _ := sets(a)
		for i, set := range a.Config {
			one.Sets = append(one.Sets, rival.Set{Root: set.Root, Files: set.Files, Follow: set.Follow, Member: described[i].Matches})
		}
		switch s := a.Supervisor; {
		case s.Systemd != nil:
			one.Unit, one.User = s.Systemd.Unit, s.Systemd.User
		case s.Launchd != nil:
			one.Label = s.Launchd.Label
		case s.Docker != nil:
			one.Container = s.Docker.Container
		case s.Runit != nil:
			one.Service = s.Runit.Service
		case s.Supervisord != nil:
			one.Program = s.Supervisord.Program
		case s.Tmux != nil:
			one.Session, one.Window, one.Commands = s.Tmux.Session, s.Tmux.Window, [][]string{s.Tmux.Command}
		case s.Child != nil:
			one.Commands = [][]string{s.Child.Argv}
		case s.Command != nil:
			one.Commands = [][]string{s.Command.Start}
			one.PIDFile = s.Command.Process.PIDFile
			if s.Command.Process.Port > 0 {
				one.Ports = append(one.Ports, s.Command.Process.Port)
			}
		}
		for _, c := range a.Checks {
			if port := localPort(c); port > 0 {
				one.Ports = append(one.Ports, port)
			}
		}
		all = append(all, one)
	}
	return all
}

// localPort is the port of this machine that a check asks, 0 if it asks none.
func localPort(c config.Check) int {
	host, port := "", ""
	switch {
	case c.HTTP != nil:
		u, err := url.Parse(c.HTTP.URL)
		if err != nil {
			return 0
		}
		host, port = u.Hostname(), u.Port()
	case c.TCP != nil:
		host, port, _ = net.SplitHostPort(c.TCP.Address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}

// programTime is how long a program of the machine may take to be told something.
const programTime = 30 * time.Second

func runProgram(ctx context.Context, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run %s: %v: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// rivals asks whether anybody else acts on the agents.
func (x *examination) rivals() {
	const subject = "rivals"
	if len(x.d.cfg.Agents) == 0 {
		return
	}
	found, err := rival.Find(x.d.host(x.d.opts.Machine), contested(x.d.cfg.Agents))
	if err != nil {
		x.warn(subject, err.Error(), "`deadman rivals` looks again")
		return
	}
	n := 0
	for _, r := range found {
		if r.Sure() == rival.Possible {
			continue
		}
		n++
		where := r.Path
		if r.Process.PID > 0 {
			where = fmt.Sprintf("process %d", r.Process.PID)
		}
		x.warn(subject, fmt.Sprintf("%s acts on %s: %s", where, join(r.Agents()), r.Acts[0].Does), "two watchdogs fight: `deadman rivals --disable` moves it aside, and --restore puts it back")
	}
	if n == 0 {
		x.ok(subject, "nothing else on this machine restarts or rewrites an agent, as far as can be seen")
	}
}
