package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"deadman"
	"deadman/internal/config"
	"deadman/internal/health"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
	"deadman/internal/snapshot"
	"deadman/internal/supervisor"
	"deadman/internal/validate"
)

// supervised is what owns an agent's process.
type supervised interface {
	Inspect(ctx context.Context) (supervisor.Inspection, error)
	Family(ctx context.Context) ([]deadman.Process, error)
	Start(ctx context.Context, attempt string) (deadman.Process, error)
	Started(ctx context.Context, attempt string) (deadman.Process, bool, error)
	Stop(ctx context.Context) (supervisor.StopReport, error)
}

// world is one agent and all that can be done to it.
type world struct {
	agent config.Agent
	// stateDir is the state directory, dir the agent's in it.
	stateDir, dir string

	clock    clock
	boot     string
	sets     []snapshot.Set
	expected atomic.Pointer[map[string]map[string]bool] // as memo.Dirs
	limits   snapshot.Limits
	checks   []health.Check
	store    *snapshot.Store
	sup      supervised
	// known points into sup: what it recognises the agent by.
	known *supervisor.Known
	// memo is what the directory remembers of the agent's process.
	memo memo

	// beat says that the guard goes on; nil where nobody asks.
	beat func()
	// last is the round that was observed last, for reports.
	last observed
	// unsaid are the remarks that nobody has been told of.
	unsaid []string
	// ahead is a look that was begun before the state was there to judge it by;
	// nil if there is none, or a deed has made it stale.
	ahead <-chan sight
	// gathered is closed when what is kept of an incident has been written; nil
	// if there was none.
	gathered <-chan struct{}
}

// observed is what a round saw, beyond what the lifecycle needs.
type observed struct {
	attempts []health.Attempt
	process  supervisor.Inspection
	wall     time.Time // start of the process
	// problem says why the config could not be read; findings what speaks
	// against it. Neither holds a value.
	problem  error
	findings []validate.Finding
	// dirs are those that hold members; size is what the members take.
	dirs []string
	size int64
}

// memo is kept in the agent's directory and written when the process changes.
type memo struct {
	Known supervisor.Known `json:"known"`
	// Exe is the program file of the process, for its version.
	Exe string `json:"exe,omitempty"`
	// Version is that of Process.
	Version string          `json:"version,omitempty"`
	Process deadman.Process `json:"process,omitzero"`
	// Served: Known.Members were looked at after the process had answered, when
	// it has its workers.
	Served bool `json:"served,omitempty"`
	// Dirs are the directories of the known good, by set; nil if nobody has
	// looked.
	Dirs map[string]map[string]bool `json:"dirs,omitempty"`
	// Remarks were true in the last round, and have been said.
	Remarks []string `json:"remarks,omitempty"`
	Well    well     `json:"well,omitzero"`
}

// newWorld builds the world of an agent. It touches nothing but the agent's
// directory in the state directory.
func (d *Daemon) newWorld(a config.Agent) (*world, error) {
	boot, err := proc.BootID()
	if err != nil {
		return nil, err
	}
	if err := d.sharing.refused(d.cfg.Agents, a.Name); err != nil {
		return nil, err
	}
	w := &world{agent: a, stateDir: d.cfg.StateDir, dir: d.agentDir(a.Name), boot: boot, clock: openClock(d.cfg.StateDir, boot), checks: checks(a)}
	w.sets, w.limits = sets(a)
	if w.store, err = snapshot.Open(w.dir, a.Name); err != nil {
		return nil, err
	}
	if err := w.refuseOverlap(d.cfg.StateDir); err != nil {
		return nil, err
	}
	w.memo = readMemo(w.dir)
	w.sup, w.known = newSupervisor(a, w.dir)
	*w.known = w.memo.Known
	if w.memo.Dirs == nil {
		if good, ok, err := w.store.KnownGood(); err == nil && ok {
			w.memo.Dirs = goodDirs(w.sets, good)
		}
	}
	dirs := w.memo.Dirs
	w.expected.Store(&dirs)
	return w, nil
}

// goodDirs are the directories that the known good has, by the labels of the sets.
func goodDirs(sets []snapshot.Set, good snapshot.Manifest) map[string]map[string]bool {
	dirs := map[string]map[string]bool{}
	for _, set := range sets {
		dirs[set.Label] = good.Dirs(set.Label)
	}
	return dirs
}

// looked are the sets as a look needs them: it sees what stands in the place of a
// directory of the known good. One may be under way when that changes.
func (w *world) looked() []snapshot.Set {
	dirs := w.expected.Load()
	if dirs == nil {
		return w.sets
	}
	sets := slices.Clone(w.sets)
	for i := range sets {
		sets[i].Dirs = (*dirs)[sets[i].Label]
	}
	return sets
}

// good makes a snapshot the known good.
func (w *world) good(m snapshot.Manifest, provisional bool) error {
	if err := w.store.SetKnownGood(m.ID, provisional); err != nil {
		return err
	}
	dirs := goodDirs(w.sets, m)
	w.memo.Dirs = dirs
	w.expected.Store(&dirs)
	w.saveMemo()
	return nil
}

// refuseOverlap refuses a set that reaches, by way of links, what we write
// ourselves: every capture would be a change. What the paths tell alone, the
// config has refused already.
func (w *world) refuseOverlap(stateDir string) error {
	state, err := filepath.EvalSymlinks(stateDir)
	if err != nil {
		return nil // It is not there yet, so nothing reaches it.
	}
	for _, set := range w.sets {
		root, err := filepath.EvalSymlinks(set.Root)
		if err != nil {
			continue
		}
		rel, err := filepath.Rel(root, filepath.Join(state, "deadman.db"))
		if err == nil && filepath.IsLocal(rel) && set.Matches(filepath.ToSlash(rel)) {
			return &saidError{fmt.Sprintf("cannot guard %s: its config set in %s holds the state directory", w.agent.Name, set.Root), "move state-dir, or exclude it"}
		}
	}
	return nil
}

func (w *world) close() {
	w.awaitGathered()
	_ = w.store.Close()
}

// Observe makes one round.
func (w *world) Observe(ctx context.Context, s lifecycle.State) (lifecycle.Round, error) {
	w.alive()
	var seen sight
	if w.ahead != nil {
		seen = <-w.ahead
		w.ahead = nil
	} else {
		seen = w.see(ctx)
	}
	if ctx.Err() != nil {
		return seen.round, ctx.Err()
	}
	if seen.problem == nil && inodes(seen.look) != s.Seen.Inodes {
		// Where nothing has moved, that was asked before.
		seen.problem = w.placed(seen.look)
	}
	w.last = seen.observed
	w.remark(seen)
	w.noteWell(seen)
	w.excuse(ctx, s, &seen.round, seen.process)
	seen.round.Live = w.live(ctx, s, seen)
	seen.round.Lost = w.lost(s, seen.round)
	if seen.problem != nil && !errors.Is(seen.problem, snapshot.ErrUnsettled) {
		seen.round.Problem = seen.problem.Error()
	}
	return seen.round, nil
}

func (w *world) alive() {
	if w.beat != nil {
		w.beat()
	}
}

// sight is what a round sees, before it is judged.
type sight struct {
	round lifecycle.Round
	look  *snapshot.Look
	observed
}

// see looks at everything at once: the process and its checks, and the config.
func (w *world) see(ctx context.Context) sight {
	seen := sight{round: lifecycle.Round{Boot: w.boot, Restarts: -1, Previous: w.previous()}}
	var config sync.WaitGroup
	config.Go(func() { seen.look, seen.problem = w.look(ctx) })
	w.inspect(ctx, &seen)
	w.probe(ctx, &seen)
	config.Wait()
	if seen.problem == nil {
		seen.dirs = w.holding(seen.look)
		for _, m := range seen.look.Members {
			seen.size += m.Size
		}
	}
	return seen
}

// observe looks at the live config, to capture it. What it returns is of the
// directories that the config has always been in.
func (w *world) observe(ctx context.Context) (*snapshot.Look, error) {
	return w.place(w.look(ctx))
}

// observeGone is observe before the config is put back: a root that is gone is
// empty, so that nothing need be kept of it, and what cannot be kept is left.
func (w *world) observeGone(ctx context.Context) (*snapshot.Look, error) {
	return w.place(w.lookGone(ctx))
}

func (w *world) place(look *snapshot.Look, err error) (*snapshot.Look, error) {
	if err == nil {
		err = w.placed(look)
	}
	if err != nil {
		return nil, err
	}
	return look, nil
}

// placed returns an error if a directory that look was taken of is not, by way
// of a link, where it was when the known good was stored. Whoever owns its
// parent can have planted that link, and nothing of what it leads to may be
// stored as the agent's, far less replaced; `accept` says that it is meant. The
// first look of all is believed.
func (w *world) placed(look *snapshot.Look) error {
	dirs := slices.Concat(look.Roots, look.Follows)
	if !slices.ContainsFunc(dirs, snapshot.RootID.Linked) {
		return nil
	}
	was, err := w.store.Anchor()
	if err != nil {
		return err
	}
	return snapshot.Astray(dirs, was)
}

// holding are the directories that hold members, beside the roots.
func (w *world) holding(look *snapshot.Look) []string {
	var dirs []string
	for _, m := range look.Members {
		for _, set := range w.sets {
			if m.Type == snapshot.Dir && set.Label == m.Set {
				dirs = append(dirs, filepath.Join(set.Root, m.Path))
			}
		}
	}
	return dirs
}

// seeAhead begins a look while the state is still being loaded.
func (w *world) seeAhead(ctx context.Context) {
	ahead := make(chan sight, 1)
	w.ahead = ahead
	go func() { ahead <- w.see(ctx) }()
}

// previous is when the round before this one ended, on this boot's clock.
func (w *world) previous() time.Time {
	info, err := os.Stat(filepath.Join(w.dir, "last-check"))
	if err != nil {
		return time.Time{}
	}
	at := info.ModTime().UTC()
	return at.Add(w.clock.Base.Sub(w.clock.Wall))
}

// tick sets the mtime of last-check: all that a healthy round writes.
func (w *world) tick() {
	touch(filepath.Join(w.dir, "last-check"))
}
