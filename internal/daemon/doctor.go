package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/proc"
	"deadman/internal/record"
	"deadman/internal/sink/notify"
	"deadman/internal/sink/requestlog"
)

// Levels of a finding, in api.Finding.Level.
const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelBad  = "bad"
)

// Doctor says whether the switch itself is fit: would a death now be seen, and
// could it be cured. It changes nothing. A finding for everything that was
// looked at and is well is among them, so that its absence is not taken for it.
func (d *Daemon) Doctor(ctx context.Context) ([]api.Finding, error) {
	x := &examination{d: d}
	x.configFiles()
	x.confinement()
	x.stateDir()
	x.clock()
	x.database(ctx)
	x.requestLog(ctx)
	x.rivals()
	if len(d.cfg.Agents) == 0 {
		x.warn("config", "no agent is configured, so nothing is guarded", "`deadman init` writes a config for an agent that runs")
	}
	for _, a := range d.cfg.Agents {
		if err := x.agent(ctx, a); err != nil {
			return x.findings, err
		}
	}
	return x.findings, ctx.Err()
}

// examination is a Doctor at work.
type examination struct {
	d        *Daemon
	findings []api.Finding
}

func (x *examination) ok(subject, message string) {
	x.findings = append(x.findings, api.Finding{Level: levelOK, Subject: subject, Message: message})
}

func (x *examination) warn(subject, message, hint string) {
	x.findings = append(x.findings, api.Finding{Level: levelWarn, Subject: subject, Message: message, Hint: hint})
}

func (x *examination) bad(subject, message, hint string) {
	x.findings = append(x.findings, api.Finding{Level: levelBad, Subject: subject, Message: message, Hint: hint})
}

// badErr is bad with the hint of an error that has one.
func (x *examination) badErr(subject string, err error, hint string) {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		hint = hinted.Hint()
	}
	x.bad(subject, err.Error(), hint)
}

// worse reports whether anything but ok was found since there were n findings.
func (x *examination) worse(n int) bool {
	for _, f := range x.findings[n:] {
		if f.Level != levelOK {
			return true
		}
	}
	return false
}

// spaceMin is what must be free in the state directory for a recovery: the live
// config is kept, and the target staged. spaceLow is when to say so early.
const (
	spaceMin = 16 << 20
	spaceLow = 256 << 20
)

func (x *examination) stateDir() {
	const subject = "state-dir"
	dir, n := x.d.cfg.StateDir, len(x.findings)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.warn(subject, fmt.Sprintf("%s does not exist yet", dir), "the first `deadman check` or `deadman watch` makes it")
		return
	case err != nil:
		x.badErr(subject, fmt.Errorf("cannot look at %s: %w", dir, err), "run doctor as the user that deadman runs as")
		return
	case !info.IsDir():
		x.bad(subject, dir+" is not a directory", "give state-dir another path")
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		x.bad(subject, fmt.Sprintf("%s has mode %04o: others can get at snapshots, which hold secrets", dir, mode), "chmod 700 "+dir)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		x.bad(subject, fmt.Sprintf("%s belongs to user %d, and this is user %d: what another user can change must not be put back", dir, stat.Uid, os.Geteuid()),
			"run doctor as the user that deadman runs as, or chown the directory")
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		x.bad(subject, fmt.Sprintf("%s cannot be written: %v", dir, err), "without it nothing can be stored or recorded, and nothing is put back")
	}
	var space unix.Statfs_t
	if err := unix.Statfs(dir, &space); err == nil {
		free := space.Bavail * uint64(space.Bsize)
		switch {
		case free < spaceMin:
			x.bad(subject, fmt.Sprintf("only %d KiB are free on its file system", free>>10), "a rollback needs room to keep the live config and to stage the other")
		case free < spaceLow:
			x.warn(subject, fmt.Sprintf("only %d MiB are free on its file system", free>>20), "a rollback needs room to keep the live config and to stage the other")
		}
	}
	if !x.worse(n) {
		x.ok(subject, fmt.Sprintf("%s is there, writable and private", dir))
	}
}

func (x *examination) clock() {
	const subject = "clock"
	c := readClock(x.d.cfg.StateDir)
	if c.Set > 0 || c.wallSet(proc.Uptime()) {
		x.warn(subject, "the wall clock was set during this boot", "no process that started before can prove what it started on; a restart of the agent will")
		return
	}
	x.ok(subject, "the wall clock was not set during this boot, as far as was seen")
}

func (x *examination) database(ctx context.Context) {
	const subject = "database"
	n := len(x.findings)
	for _, dir := range []string{x.d.cfg.StateDir, x.d.opts.RuntimeDir} {
		path := filepath.Join(dir, "spool.jsonl")
		if info, err := os.Stat(path); dir != "" && err == nil && info.Size() > 0 {
			x.warn(subject, path+" holds records that wait for the database", "the database could not be written; the next record that can will take them along")
		}
	}
	log, err := record.OpenReadOnly(x.d.cfg.StateDir)
	if errors.Is(err, record.ErrNoLog) {
		x.ok(subject, "nothing has been recorded yet")
		return
	}
	if err == nil {
		err = log.Check(ctx)
		log.Close()
	}
	if err != nil {
		// Only what is damaged is worth less than a new one.
		hint := "run doctor as the user that deadman runs as; the database itself may be whole"
		if errors.Is(err, record.ErrCorrupt) {
			hint = "move deadman.db away: a new one is begun, and the snapshots are all that a recovery needs"
		}
		x.badErr(subject, err, hint)
		return
	}
	entries, err := x.d.Verify(ctx)
	if err != nil {
		x.badErr(subject, err, "history is not to be trusted from there on; recovery does not depend on it")
		return
	}
	if !x.worse(n) {
		x.ok(subject, fmt.Sprintf("%d entries hold together", entries))
	}
}

func (x *examination) requestLog(ctx context.Context) {
	const subject = "request-log"
	err := requestlog.Check(ctx, x.d.cfg.RequestLog)
	switch {
	case errors.Is(err, requestlog.ErrForeignTable):
		x.badErr(subject, fmt.Errorf("%s: %w", x.d.cfg.RequestLog, err), "it is left alone and the rows wait; give request-log another file, or rename that table")
	case err != nil:
		x.badErr(subject, err, "the rows wait; nothing else does")
	default:
		x.ok(subject, "rows can be delivered to "+x.d.cfg.RequestLog)
	}
}

// lateFactor times the period without a round is late.
const lateFactor = 3

// schedule asks whether anybody makes rounds.
func (x *examination) schedule(a config.Agent) {
	last := x.d.lastCheck(a.Name)
	hint := "run `deadman watch` as a service, or `deadman check` from cron or a timer; period is how often is often enough"
	if a.Supervisor.Child != nil {
		hint = "a child needs `deadman watch` as a service, or `deadman run` in the foreground"
	}
	watch := readActor(x.d.agentDir(a.Name))
	watched := watch.Watch
	age := time.Since(last).Round(time.Second)
	switch {
	case watched && suspended(watch.Process.PID):
		x.bad(a.Name, fmt.Sprintf("its watch, process %d, is suspended, and guards nothing", watch.Process.PID), fmt.Sprintf("kill -CONT %d, or restart the watch", watch.Process.PID))
	case last.IsZero() && !watched:
		x.warn(a.Name, "it has never been checked", hint)
	case age > lateFactor*a.Period && watched && !last.IsZero():
		x.warn(a.Name, fmt.Sprintf("its watch is there, and made the last round %s ago; the period is %s", age, a.Period), "`deadman status "+a.Name+"` says what it waits for; otherwise restart the watch")
	case age > lateFactor*a.Period && !watched:
		x.warn(a.Name, fmt.Sprintf("it was checked last %s ago; the period is %s", age, a.Period), hint)
	case a.Supervisor.Child != nil && !watched:
		x.warn(a.Name, "it is a child and nobody watches it", hint)
	case watched:
		x.ok(a.Name, "a watch guards it")
	default:
		x.ok(a.Name, fmt.Sprintf("it was checked %s ago", age))
	}
}

// suspended reports whether a signal or a debugger has stopped a process.
func suspended(pid int) bool {
	s, err := proc.Read(pid)
	return err == nil && (s.State == 'T' || s.State == 't')
}

// cgroups asks whether whatever stops the agent's cgroup would stop the switch as
// well, or the other way round.
func (x *examination) cgroups(a config.Agent, agent deadman.Process, ours bool) {
	self := os.Getpid()
	watch := readActor(x.d.agentDir(a.Name))
	if watch.Watch {
		self = watch.Process.PID
	}
	group := cgroup(self)
	switch {
	case agent.IsZero() || group == "" || group != cgroup(agent.PID):
	case ours:
		x.warn(a.Name, "deadman started it in its own cgroup "+group, "stopping deadman would end the agent: give deadman's unit KillMode=process")
	case !watch.Watch && strings.HasSuffix(group, ".scope"):
		x.warn(a.Name, "it runs in the session that doctor runs in, "+group, "deadman must run outside of it: what ends that session ends both")
	default:
		x.bad(a.Name, "deadman runs inside the agent's own cgroup "+group, "what stops the agent stops deadman too: run it as a service of its own")
	}
}

// cgroup is the control group of a process in the hierarchy that a supervisor
// uses, "" for the root of it, which says nothing, and where it cannot be read.
func cgroup(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	return parseCgroup(string(text))
}

// parseCgroup reads /proc/PID/cgroup (cgroups(7)): the unified hierarchy, or that
// of systemd beside older ones.
func parseCgroup(text string) string {
	for _, prefix := range []string{"0::", ":name=systemd:"} {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			i := strings.Index(line, prefix)
			if i < 0 || prefix == "0::" && i > 0 {
				continue
			}
			if path := line[i+len(prefix):]; path != "/" && path != "" {
				return path
			}
		}
	}
	return ""
}

// messages asks whether people can be told: is each target one, and has it taken
// what it was sent. Nothing is sent.
func (x *examination) messages(a config.Agent) {
	if len(a.Notify) == 0 && a.Ping == "" {
		return
	}
	if info, err := os.Stat(a.File); err == nil && info.Mode().Perm()&0o044 != 0 {
		x.warn(a.Name, fmt.Sprintf("%s can be read by others, and where messages and pings go is a secret", a.File), "chmod 600 "+a.File)
	}
	m := x.d.messenger(a)
	if m == nil {
		return
	}
	targets, err := m.targets()
	for _, err := range unjoin(err) {
		x.badErr(a.Name, err, "nobody is told there")
	}
	if _, err := os.Stat(m.dir); err != nil || len(targets) == 0 {
		return
	}
	box, err := notify.Open(m.dir)
	if err != nil {
		x.badErr(a.Name, err, "run doctor as the user that deadman runs as")
		return
	}
	waiting, failing := box.Waiting(targets)
	switch {
	case len(failing) > 0:
		x.warn(a.Name, fmt.Sprintf("messages wait (%d) for %s, which did not take the last", waiting, join(failing)), "they are tried again; deadman check -v and deadman watch say what is wrong")
	default:
		x.ok(a.Name, fmt.Sprintf("messages go to %d places", len(targets)))
	}
}
