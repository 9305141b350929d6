package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"deadman/internal/confine"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// confined does work where the agent's config, the directories that links in it
// may lead into, and the agent's own directory in the state directory are all
// that can be reached. Everything that touches the agent's files is done so. work
// must start neither a goroutine nor a process.
func (w *world) confined(may access, work func()) {
	confine.Do(rulesFor(w.sets, w.dir, may), work)
}

// confinedTo does work on what plan changes.
func (w *world) confinedTo(plan *restore.Plan, work func()) {
	confine.Do(rulesOf(plan, w.dir), work)
}

// rulesOf is what carrying out a plan can reach. The directory above a root that
// was gone is among it, also when a crash came after the root was made.
func rulesOf(plan *restore.Plan, stateDir string) confine.Rules {
	r := rulesFor(plan.Sets, stateDir, mayWrite)
	for _, id := range plan.Roots {
		if id.Inode != 0 || id.Real == "" {
			continue
		}
		if up, err := snapshot.Locate(filepath.Dir(id.Real)); err == nil {
			r.Write = append(r.Write, up.Real)
		}
	}
	return r
}

// access is what confined work may do to the agent's config.
type access bool

const (
	mayRead  access = false
	mayWrite access = true
)

// rulesFor is what work on these sets can reach, as the directories are now: which
// ones they may be is for those who look to judge (placed).
func rulesFor(sets []snapshot.Set, stateDir string, may access) confine.Rules {
	r := confine.Rules{}
	if at, err := filepath.EvalSymlinks(stateDir); err == nil {
		r.Write = append(r.Write, at)
	}
	config := &r.Read
	if may == mayWrite {
		config = &r.Write
	}
	for _, set := range sets {
		if at, err := snapshot.Locate(set.Root); err == nil {
			*config = append(*config, at.Real)
		} else if up, err := snapshot.Locate(filepath.Dir(set.Root)); err == nil {
			// A root that is gone is made anew; a rule for what is not there yet cannot
			// be had.
			if may == mayWrite {
				r.Write = append(r.Write, up.Real)
			} else {
				r.List = append(r.List, up.Real)
			}
		}
		for _, dir := range set.Follow {
			if at, err := snapshot.Locate(dir); err == nil {
				*config = append(*config, at.Real)
			}
		}
	}
	return r
}

// look is snapshot.Observe, confined.
func (w *world) look(ctx context.Context) (look *snapshot.Look, err error) {
	w.confined(mayRead, func() { look, err = snapshot.Observe(ctx, w.looked(), w.limits) })
	return look, err
}

// lookGone is snapshot.ObserveGone, confined.
func (w *world) lookGone(ctx context.Context) (look *snapshot.Look, err error) {
	w.confined(mayRead, func() { look, err = snapshot.ObserveGone(ctx, w.looked(), w.limits) })
	return look, err
}

// stored is Save of the agent's store, confined.
func (w *world) stored(look *snapshot.Look, meta snapshot.Meta) (m snapshot.Manifest, err error) {
	w.confined(mayRead, func() { m, err = w.store.Save(look, w.sets, meta) })
	return m, err
}

// confinement says what holds where the code that reads and writes an agent's files
// is not careful enough.
func (x *examination) confinement() {
	const subject = "confinement"
	switch version := confine.Landlock(); {
	case runtime.GOOS != "linux":
	case version == 0:
		x.warn(subject, "the kernel has no Landlock, or a container forbids it: what captures and restores gives up capabilities only",
			"Linux from 5.19 on has it, if it is in the list of the boot option lsm=; all works without, too")
	default:
		x.ok(subject, fmt.Sprintf("what captures and restores can reach nothing but the config and the state directory (Landlock, version %d)", version))
	}
}
