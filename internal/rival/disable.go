package rival

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/atomicfile"
	"deadman/internal/proc"
)

// Options are how far to go.
type Options struct {
	// Kill also ends loops that run.
	Kill bool
	// Run runs a program of the machine; nil where there is none to be told: on a
	// disk that is only looked at.
	Run func(ctx context.Context, argv ...string) error

	// at is told each point at which a crash leaves something; for tests.
	at func(point string)
}

func (o Options) step(point string) {
	if o.at != nil {
		o.at(point)
	}
}

// tell runs a program if there is one to be run.
func (o Options) tell(ctx context.Context, argv ...string) error {
	if o.Run == nil {
		return nil
	}
	return o.Run(ctx, argv...)
}

// Outcome is what became of a rival, or of what was aside. Without a deed it was
// left where it is, for Err or for Note.
type Outcome struct {
	Rivals []string
	Path   string
	Deed   Deed
	// Note is what is left to a person.
	Note string
	Err  error
}

// asideSuffix hides a file from cron, run-parts, systemd and launchd, which all take
// names of a certain form only.
const asideSuffix = ".deadman-disabled"

// Disable moves aside what is at least likely a rival; everything else gets an
// outcome without a deed. Doing so again does nothing.
func Disable(ctx context.Context, h *Host, dir string, rivals []Rival, o Options) ([]Outcome, error) {
	j, err := openJournal(dir)
	if err != nil {
		return nil, err
	}
	defer j.close()
	if err := j.settle(ctx, h, o); err != nil {
		return nil, err
	}
	d := &disabling{h: h, j: j, o: o}
	done := map[string]bool{} // files whose lines are shared
	for _, r := range rivals {
		if ctx.Err() != nil {
			return d.outcomes, ctx.Err()
		}
		switch {
		case r.Hint != "":
			d.leave(r, r.Hint)
		case r.Sure() == Possible:
			d.leave(r, "it is only possible that it is one")
		case r.Form == Process:
		case r.from > 0:
			if !done[r.Path] {
				done[r.Path] = true
				d.comment(ctx, inShared(rivals, r.Path))
			}
		default:
			d.moveAside(ctx, r)
		}
	}
	if d.reload {
		err = o.tell(ctx, "systemctl", "daemon-reload")
	}
	// Who would start a loop again is gone by now.
	for _, r := range rivals {
		if r.Form == Process && r.Sure() != Possible {
			d.end(ctx, r)
		}
	}
	return d.outcomes, err
}

// inShared are the rivals in one shared file that are to be commented out.
func inShared(rivals []Rival, p string) []Rival {
	var all []Rival
	for _, r := range rivals {
		if r.Path == p && r.from > 0 && r.Hint == "" && r.Sure() != Possible {
			all = append(all, r)
		}
	}
	return all
}

// disabling is a Disable at work.
type disabling struct {
	h        *Host
	j        *journal
	o        Options
	reload   bool
	outcomes []Outcome
}

func (d *disabling) leave(r Rival, note string) {
	d.outcomes = append(d.outcomes, Outcome{Rivals: []string{r.ID}, Path: r.Path, Note: note})
}

func (d *disabling) done(e entry, note string, err error) {
	o := Outcome{Rivals: e.Rivals, Path: e.Path, Deed: e.Deed, Note: note, Err: err}
	if err != nil {
		o.Deed = ""
	}
	d.outcomes = append(d.outcomes, o)
}

// begun records what is about to be done.
func begun(rivals ...Rival) entry {
	e := entry{Time: time.Now().UTC(), Form: rivals[0].Form, Path: rivals[0].Path, Before: rivals[0].sum, Unit: rivals[0].Unit, User: rivals[0].User}
	for _, r := range rivals {
		e.Rivals = append(e.Rivals, r.ID)
		e.Agents = append(e.Agents, r.Agents()...)
	}
	slices.Sort(e.Agents)
	e.Agents = slices.Compact(e.Agents)
	return e
}

// comment comments out the lines of rivals in one file.
func (d *disabling) comment(ctx context.Context, rivals []Rival) {
	e := begun(rivals...)
	e.Deed, e.Temp = Commented, atomicfile.TempName()
	e.Path = d.h.resolve(e.Path)
	data, _, err := readRegular(d.h.at(e.Path))
	if err != nil {
		d.done(e, "", fmt.Errorf("cannot read %s: %v", e.Path, err))
		return
	}
	if sumOf(data) != e.Before {
		d.done(e, "", &ChangedError{e.Path, changedSince})
		return
	}
	e.Lines = spansOf(rivals)
	after := commented(data, e.Lines)
	e.Text, e.After = data, sumOf(after)
	if err := d.j.write(&e); err != nil {
		d.done(e, "", err)
		return
	}
	d.o.step("journalled")
	err = replace(d.h, e.Path, e.Temp, e.Before, after, d.o.step)
	if err != nil {
		err = errors.Join(err, d.j.abandon(d.h, e))
	}
	note := ""
	if err == nil {
		note, err = d.toldOwner(ctx, e.Form)
		if e.Form == Systemd {
			d.reload = true
		}
	}
	d.done(e, note, err)
}

// toldOwner has what reads a file read it again. cron does so by itself.
func (d *disabling) toldOwner(ctx context.Context, form Form) (string, error) {
	if d.o.Run == nil {
		return "", nil
	}
	switch {
	case form == Monit:
		return "", d.o.tell(ctx, "monit", "reload")
	case form == Supervisord && d.o.Kill:
		return "", errors.Join(d.o.tell(ctx, "supervisorctl", "reread"), d.o.tell(ctx, "supervisorctl", "update"))
	case form == Supervisord:
		return "it runs until --kill, or `supervisorctl reread` and `supervisorctl update`", nil
	}
	return "", nil
}

// moveAside renames a file that is a rival's alone, or masks a unit that a package
// has brought and would bring again.
func (d *disabling) moveAside(ctx context.Context, r Rival) {
	e := begun(r)
	e.Deed, e.Aside = Renamed, r.Path+asideSuffix
	if target, err := os.Readlink(d.h.at(path.Join(d.h.resolve(path.Dir(r.Path)), path.Base(r.Path)))); err == nil {
		e.Link = target
	}
	dir := d.h.resolve(path.Dir(e.Path))
	e.Path, e.Aside = path.Join(dir, path.Base(e.Path)), path.Join(dir, path.Base(e.Aside))
	if mask := d.maskOf(r); mask != "" {
		e.Deed, e.Path, e.Aside, e.Link, e.Before = Masked, mask, "", "/dev/null", ""
	}
	stops := r.Form == Systemd && (path.Ext(r.Unit) != ".service" || d.o.Kill)
	if stops && d.o.Run != nil {
		e.Active = d.o.tell(ctx, systemctl(e.User, "is-active", "--quiet", e.Unit)...) == nil
	}
	if err := d.j.write(&e); err != nil {
		d.done(e, "", err)
		return
	}
	d.o.step("journalled")
	var err error
	if e.Deed == Masked {
		err = d.mask(e.Path)
	} else {
		err = rename(d.h, e.Path, e.Aside, e.Before, e.Link)
	}
	if err != nil {
		d.done(e, "", errors.Join(err, d.j.abandon(d.h, e)))
		return
	}
	d.o.step("moved")
	note := ""
	switch {
	case r.Form == Systemd && e.Active:
		// Stopped while its manager still knows it.
		err = d.o.tell(ctx, systemctl(e.User, "stop", e.Unit)...)
	case r.Form == Systemd && !stops && d.o.Run != nil:
		note = "if it runs, it does so until --kill"
	case r.Form == Launchd && d.o.Run != nil:
		note = "it is loaded until the next login, or `launchctl bootout`"
	}
	if r.Form == Systemd {
		if e.User == "" {
			d.reload = true
		} else {
			err = errors.Join(err, d.o.tell(ctx, systemctl(e.User, "daemon-reload")...))
		}
	}
	d.done(e, note, err)
}

// maskOf is where a unit is masked that a package has brought, "" for others.
func (d *disabling) maskOf(r Rival) string {
	if r.Form != Systemd || !slices.ContainsFunc([]string{"/usr/lib", "/lib", "/run", "/usr/local/lib"}, func(dir string) bool { return within(dir, r.Path) }) {
		return ""
	}
	if r.User == "" {
		return path.Join("/etc/systemd/system", r.Unit)
	}
	return path.Join(d.h.homeOf(r.User), ".config/systemd/user", r.Unit)
}

func (d *disabling) mask(p string) error {
	dir, err := d.h.parent(p)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Symlink("/dev/null", path.Base(p)); err != nil {
		return fmt.Errorf("cannot mask %s: %v", path.Base(p), err)
	}
	return atomicfile.SyncDir(dir, ".")
}

// systemctl is a command line for a manager. A user's is reached by its name, which
// only root may do.
func systemctl(user string, words ...string) []string {
	argv := []string{"systemctl"}
	if user != "" {
		argv = append(argv, "--user")
		if os.Geteuid() == 0 {
			argv = append(argv, "--machine="+user+"@.host")
		}
	}
	return append(argv, words...)
}

// killGrace is how long a loop has to end by itself.
const killGrace = 5 * time.Second

// end stops a loop that runs.
func (d *disabling) end(ctx context.Context, r Rival) {
	if !d.o.Kill {
		d.leave(r, "it runs; --kill ends it")
		return
	}
	e := begun(r)
	e.Deed, e.Process, e.Program = Killed, r.Process, r.name
	if err := d.j.write(&e); err != nil {
		d.done(e, "", err)
		return
	}
	err := stop(ctx, r.Process)
	if err != nil {
		err = errors.Join(err, d.j.drop(e))
	}
	d.done(e, "", err)
}

// stop ends one process, by its pid and start time: nothing else that may have got
// its number.
func stop(ctx context.Context, p deadman.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 2*killGrace)
	defer cancel()
	ended := proc.Watch(ctx, p)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := proc.Signal(p, sig); errors.Is(err, proc.ErrGone) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot end process %d: %v", p.PID, err)
		}
		select {
		case _, ok := <-ended:
			if ok {
				return nil
			}
		case <-time.After(killGrace):
		}
	}
	return fmt.Errorf("cannot end process %d: it is still there", p.PID)
}
