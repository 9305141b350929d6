package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"deadman"
	"deadman/internal/config"
	"deadman/internal/document"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
	"deadman/internal/validate"
)

// agent examines all that belongs to one agent.
func (x *examination) agent(ctx context.Context, a config.Agent) error {
	v, err := x.d.view(a.Name)
	if err != nil {
		x.badErr(a.Name, err, "run doctor as the user that deadman runs as")
		return nil
	}
	defer v.close()
	x.roots(v)
	if err := x.d.sharing.refused(x.d.cfg.Agents, a.Name); err != nil {
		x.badErr(a.Name, err, "")
	}
	good := x.stored(v)
	look, err := v.look(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		x.badErr(a.Name, err, "what cannot be read cannot be kept, and without that nothing is put back")
	default:
		x.members(v, look, good)
		x.preserve(v, look)
	}
	x.commands(a)
	x.process(ctx, a)
	x.schedule(a)
	x.messages(a)
	x.publishing(a)
	if a.Recovery.Mode == config.Observe {
		x.warn(a.Name, "mode is observe: at a death nothing is done", "recovery: {mode: enforce} acts")
	}
	return nil
}

// roots asks whether the switch would capture itself, or put files into itself.
func (x *examination) roots(v *view) {
	state := real(x.d.cfg.StateDir)
	for _, set := range v.sets {
		root := real(set.Root)
		message := fmt.Sprintf("config root %s and state-dir %s overlap", set.Root, x.d.cfg.StateDir)
		switch {
		case within(state, root), within(root, state) && takes(set, root, state, v.agent.Name):
			x.bad(v.agent.Name, message, "a snapshot would hold snapshots: give state-dir a place of its own")
		case within(root, state):
			x.warn(v.agent.Name, message, "no pattern reaches it, but what the agent does to its directory it can do to deadman's: give state-dir a place of its own")
		}
	}
}

// takes reports whether the patterns of a set match what deadman keeps beneath
// its root.
func takes(set snapshot.Set, root, state, agent string) bool {
	rel, err := filepath.Rel(root, state)
	if err != nil {
		return true
	}
	names := []string{"deadman.db", "agents/" + agent + "/output.log", "agents/" + agent + "/snapshots/x/manifest.json"}
	for _, pattern := range set.Files {
		names = append(names, "agents/"+agent+"/snapshots/x/files/"+filepath.Base(pattern))
	}
	return slices.ContainsFunc(names, func(name string) bool { return set.Matches(filepath.ToSlash(filepath.Join(rel, name))) })
}

// real is a path without links, as far as it exists.
func real(path string) string {
	for rest := ""; ; {
		if r, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(r, rest)
		}
		if path == filepath.Dir(path) {
			return filepath.Join(path, rest)
		}
		path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest)
	}
}

// within reports whether path is dir or lies beneath it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// guards is the command that acts on an agent: a child's is not check.
func guards(a config.Agent) string {
	if a.Supervisor.Child != nil {
		return "`deadman watch`"
	}
	return "`deadman check`"
}

// stored examines the snapshots, and returns the known good if it is there and
// whole.
func (x *examination) stored(v *view) snapshot.Manifest {
	if v.store == nil {
		x.warn(v.agent.Name, "nothing is stored, so there is nothing to go back to", guards(v.agent)+" captures the config of a healthy agent")
		return snapshot.Manifest{}
	}
	all, err := v.list()
	if err != nil {
		x.badErr(v.agent.Name, err, "that snapshot is lost to deadman; its files are beside the manifest")
	}
	good, err := v.knownGood()
	switch {
	case err != nil:
		x.badErr(v.agent.Name, err, "an older proven snapshot would be used, if there is one; `deadman accept` makes a known good")
	case good.ID == "" && len(all) > 0:
		x.warn(v.agent.Name, fmt.Sprintf("%d snapshots are stored, and none is known good", len(all)), "`deadman accept "+v.agent.Name+"` takes what is live, if it is good")
	case good.ID == "":
		x.warn(v.agent.Name, "nothing is stored, so there is nothing to go back to", guards(v.agent)+" captures the config of a healthy agent")
	default:
		if err := v.store.Verify(good.ID); err != nil {
			x.badErr(v.agent.Name, err, "it cannot be put back; `deadman accept` makes another known good")
			return snapshot.Manifest{}
		}
		if good.Provisional && good.Standing != deadman.Proven {
			x.warn(v.agent.Name, fmt.Sprintf("known good %s is there byte for byte, and no start has proven it", good.ID), "it is proven by the agent's next start on it, or by `deadman accept "+v.agent.Name+"`")
		} else {
			x.ok(v.agent.Name, fmt.Sprintf("known good %s is there byte for byte", good.ID))
		}
		return good
	}
	return snapshot.Manifest{}
}

// members examines what the patterns match now.
func (x *examination) members(v *view, look *snapshot.Look, good snapshot.Manifest) {
	name, n := v.agent.Name, len(x.findings)
	for _, missing := range look.Missing {
		if good.ID == "" {
			x.bad(name, missing+" is listed and does not exist", "nothing is captured as good without it: correct config.files, or create it")
		} else {
			x.warn(name, missing+" is listed and does not exist", "that is a change of the config; if it is meant, take it out of config.files")
		}
	}
	files := 0
	for i, set := range v.sets {
		matched := 0
		for _, pattern := range set.Files {
			one := snapshot.Set{Files: []string{pattern}}
			if slices.ContainsFunc(look.Members, func(m snapshot.Member) bool { return m.Set == set.Label && one.Matches(m.Path) }) {
				matched++
			} else if strings.ContainsAny(pattern, `*?[\`) && v.agent.Preset == "" {
				x.warn(name, fmt.Sprintf("pattern %q matches nothing in %s", pattern, set.Root), "a pattern without a slash matches in the root only; **/ goes deeper")
			}
		}
		files += matched
		if matched == 0 && len(set.Files) > 0 {
			x.bad(name, fmt.Sprintf("nothing in %s belongs to config set %d", set.Root, i+1), "correct config.root or config.files")
		}
	}
	euid := os.Geteuid()
	var strangers []string
	for _, m := range look.Members {
		set := v.sets[slices.IndexFunc(v.sets, func(s snapshot.Set) bool { return s.Label == m.Set })]
		switch {
		case m.Type == snapshot.Link && !m.Reads:
			x.warn(name, fmt.Sprintf("%s is a link; only the link is kept, and not what it leads to", m.Name()), fmt.Sprintf("follow: [%s] allows it", filepath.Dir(linkTarget(set, m))))
		case euid != 0 && m.UID != euid && !m.Reads:
			strangers = append(strangers, m.Name())
		}
	}
	if len(strangers) > 0 {
		x.warn(name, fmt.Sprintf("%s belong to another user", join(strangers)), "only root can put files back with their owner: run deadman as root or as that user")
	}
	w := &world{agent: v.agent, sets: v.sets}
	for _, f := range validate.Syntax(w.files(look.Members, look.Bytes)) {
		x.bad(name, f.String(), "the agent would not start on it; see config.formats if the file's name promises another syntax than it has")
	}
	if files > 0 && !x.worse(n) {
		x.ok(name, fmt.Sprintf("%d files and directories are captured, and parse", len(look.Members)))
	}
}

// preserve asks whether each preserved value can be carried over. A preset names what
// such an agent may come to write, so of its keys nothing is said that are not there.
func (x *examination) preserve(v *view, look *snapshot.Look) {
	for _, set := range v.sets {
		for _, key := range set.Preserve {
			member, ok := look.Member(snapshot.Member{Set: set.Label, Path: key.File}.Name())
			if !ok || member.Type != snapshot.File {
				if v.agent.Preset == "" {
					x.warn(v.agent.Name, fmt.Sprintf("preserve %s: there is no such file", key), "a rollback would not carry it over")
				}
				continue
			}
			bytes := look.Bytes(member.Name())
			format := v.format(member)
			if _, err := document.Parse(format, bytes); err != nil {
				continue // That was said already.
			}
			_, missed, err := document.Splice(format, bytes, bytes, []string{key.Path})
			switch {
			case err != nil:
				x.warn(v.agent.Name, fmt.Sprintf("preserve %s: %v", key, err), "a rollback would put the file back without it; write the value plainly, on one line")
			case len(missed) > 0 && v.agent.Preset == "":
				x.warn(v.agent.Name, fmt.Sprintf("preserve %s: there is no such key", key), "correct it, unless the agent has only yet to write it")
			}
		}
	}
}

// commands asks whether everything that would have to be run can be found. PATH
// is that of doctor, and may be another under cron.
func (x *examination) commands(a config.Agent) {
	look := func(what string, argv []string, dir string) {
		if len(argv) == 0 {
			return
		}
		if err := executable(program(argv), dir); err != nil {
			x.bad(a.Name, fmt.Sprintf("%s: %v", what, err), "write the full path: PATH is short under cron and systemd")
		}
	}
	look("validate", a.Validate, "")
	look("version", a.Version.Exec, "")
	if c := a.Supervisor.Child; c != nil {
		look("supervisor.child", c.Argv, c.Dir)
	}
	if c := a.Supervisor.Command; c != nil {
		look("supervisor.command.start", c.Start, "")
		look("supervisor.command.stop", c.Stop, "")
		look("supervisor.command.reload", c.Reload, "")
	}
	if c := a.Supervisor.Tmux; c != nil {
		look("supervisor.command", c.Command, "")
		look("supervisor.tmux", []string{"tmux"}, "")
	}
	for _, c := range a.Checks {
		if c.Exec != nil {
			look("checks."+c.Name, c.Exec.Command, "")
		}
	}
}

// program is what a command runs in the end: env is only on the way to it.
func program(argv []string) string {
	if argv[0] == "env" {
		for _, word := range argv[1:] {
			if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
				return word
			}
		}
	}
	return argv[0]
}

// executable reports why a program cannot be run from dir.
func executable(program, dir string) error {
	if strings.Contains(program, "/") && !filepath.IsAbs(program) && dir != "" {
		program = filepath.Join(dir, program)
	}
	_, err := exec.LookPath(program)
	switch {
	case err == nil || errors.Is(err, exec.ErrDot):
		return nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot find %q", program)
	}
	return fmt.Errorf("cannot run %q: it is not executable for this user", program)
}

// process asks for the agent itself, and makes one attempt of each check.
func (x *examination) process(ctx context.Context, a config.Agent) {
	w := &world{agent: a, dir: x.d.agentDir(a.Name), clock: readClock(x.d.cfg.StateDir), checks: checks(a)}
	w.memo = readMemo(w.dir)
	w.sup, w.known = newSupervisor(a, w.dir)
	*w.known = w.memo.Known
	var r lifecycle.Round
	in, err := w.sup.Inspect(ctx)
	switch {
	case err != nil:
		x.warn(a.Name, err.Error(), "")
		return
	case in.Presence == deadman.Running:
		r.Presence, r.Process = in.Presence, in.Process
		x.ok(a.Name, fmt.Sprintf("process %d is its", in.Process.PID))
		x.cgroups(a, in.Process, w.memo.Known.Attempt != "" && w.memo.Known.Process == in.Process)
	case in.Presence == deadman.Gone:
		x.warn(a.Name, "it does not run: "+in.Detail, guards(a)+" starts it, unless it was stopped on purpose")
	default:
		x.warn(a.Name, "it cannot be told whether it runs: "+in.Detail, "while that is so, nothing is done at a death")
	}
	r.Presence = in.Presence
	seen := sight{round: r}
	w.probe(ctx, &seen)
	for _, attempt := range seen.attempts {
		if attempt.Result != deadman.Healthy {
			x.warn(a.Name, fmt.Sprintf("check %s is %s: %s", attempt.Check, attempt.Result, attempt.Detail), "")
		}
	}
	if seen.round.Alive == deadman.Healthy && !seen.round.Partial {
		x.ok(a.Name, "every alive check is healthy")
	}
}
