package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
	"deadman/internal/supervisor"
)

// Do carries out the deed in hand. A deed that could not be carried out says
// so in its outcome; only the end of ctx before it had begun is an error.
func (w *world) Do(ctx context.Context, s lifecycle.State, resumed bool) (lifecycle.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return lifecycle.Outcome{}, err
	}
	w.alive()
	crashPoint()
	defer crashPoint()
	w.ahead = nil
	var o lifecycle.Outcome
	switch s.Pending.Kind {
	case lifecycle.DoCapture:
		o = w.capture(ctx, s)
	case lifecycle.DoPromote:
		o = w.promote(s)
	case lifecycle.DoMark:
		o = w.mark(s)
	case lifecycle.DoStop:
		o = w.stop(ctx)
	case lifecycle.DoKeep:
		o = w.keep(ctx, s)
	case lifecycle.DoRestore:
		// From here to the agent's start nothing is given up half way.
		o = w.restore(context.WithoutCancel(ctx), s, resumed)
	case lifecycle.DoStart:
		o = w.start(context.WithoutCancel(ctx), s, resumed)
	case lifecycle.DoReload:
		o = w.reload(context.WithoutCancel(ctx))
	default:
		o = failed(fmt.Errorf("cannot do %q: no such deed", s.Pending.Kind))
	}
	o.Wall = time.Now().UTC().Round(0)
	return o, nil
}

func failed(err error) lifecycle.Outcome { return lifecycle.Outcome{Detail: err.Error()} }

// capture stores the live config as a candidate.
func (w *world) capture(ctx context.Context, s lifecycle.State) lifecycle.Outcome {
	look, err := w.observe(ctx)
	if err != nil {
		return failed(err)
	}
	m, err := w.stored(look, snapshot.Meta{Now: time.Now(), AgentVersion: w.memo.Version, Evidence: "healthy"})
	if err != nil {
		return failed(err)
	}
	w.retain(s, m.ID)
	o := lifecycle.Outcome{OK: true, Snapshot: m.ID, Live: w.facts(look)}
	if o.Live.Identity != s.Known.Identity {
		o.Differs, _ = w.changes(s, m.ID) // What cannot be compared is captured all the same.
	}
	return o
}

// retain removes what retention does not keep. That it could not is no failure
// of a capture.
func (w *world) retain(s lifecycle.State, also string) {
	needed := []string{
		also, s.Seen.Snapshot, s.Life.On.Snapshot, s.Known.Snapshot,
		s.Incident.Original.Snapshot, s.Incident.Target.Snapshot, s.Incident.Chose.Snapshot, s.Pending.Snapshot,
		s.Trial.Config.Snapshot, s.Trial.Was.Snapshot, s.Armed.Config.Snapshot,
	}
	for _, blamed := range s.Incident.Blamed {
		needed = append(needed, blamed.Snapshot)
	}
	for _, rung := range s.Incident.Rungs {
		needed = append(needed, rung.Snapshot)
	}
	needed = slices.DeleteFunc(needed, func(id string) bool { return id == "" })
	plan, err := w.store.Retain(snapshot.Retention{Newest: w.agent.Retention.Newest, Proven: w.agent.Retention.Proven}, needed)
	if err == nil {
		_ = w.store.Remove(plan)
	}
}

// promote makes a snapshot the known good.
func (w *world) promote(s lifecycle.State) lifecycle.Outcome {
	p := s.Pending
	m, err := w.store.Load(p.Snapshot)
	if err != nil {
		return failed(err)
	}
	if err := w.store.Verify(m.ID); err != nil {
		return failed(err)
	}
	if !p.Provisional {
		evidence := string(p.Evidence)
		if p.Reason == deadman.AcceptedByPerson {
			evidence = p.Reason.String()
		}
		proof := snapshot.Proof{Time: time.Now().UTC(), AgentVersion: w.memo.Version, Evidence: evidence, Process: s.Life.Process}
		if err := w.store.Prove(m.ID, proof); err != nil {
			return failed(err)
		}
	}
	if err := w.good(m, p.Provisional); err != nil {
		return failed(err)
	}
	return lifecycle.Outcome{
		OK: true, Version: w.memo.Version, Snapshot: m.ID, Versions: versions(m),
		Live: lifecycle.Live{Config: lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)}},
	}
}

// versions are those of the agent that have proven a snapshot.
func versions(m snapshot.Manifest) []string {
	var list []string
	for _, proof := range m.Proofs {
		if proof.AgentVersion != "" && !slices.Contains(list, proof.AgentVersion) {
			list = append(list, proof.AgentVersion)
		}
	}
	return list
}

// identity of a stored snapshot under today's preserve keys.
func (w *world) identity(m snapshot.Manifest) string {
	if id, err := w.store.IdentityOf(m, w.sets); err == nil {
		return id
	}
	return m.Identity
}

// mark sets the standing of a snapshot.
func (w *world) mark(s lifecycle.State) lifecycle.Outcome {
	p := s.Pending
	change := snapshot.Change{Time: time.Now().UTC(), Standing: p.Standing, Reason: p.Reason.String(), Incident: s.Incident.ID, AgentVersion: w.memo.Version}
	var err error
	if p.Reason == deadman.KnownGoodDemoted {
		if err = w.store.Mark(p.Snapshot, change); err == nil && s.Known.Snapshot != "" {
			var known snapshot.Manifest
			if known, err = w.store.Load(s.Known.Snapshot); err == nil {
				err = w.good(known, false)
			}
		}
	} else {
		_, err = w.store.Blame(p.Snapshot, change)
	}
	if err != nil {
		return failed(err)
	}
	return lifecycle.Outcome{OK: true}
}

// stop leaves nothing of the agent running. A stranger on its port does not
// make that a failure: it is named, and is the cause of what follows.
func (w *world) stop(ctx context.Context) lifecycle.Outcome {
	if family, err := w.sup.Family(ctx); err == nil && len(family) > 0 {
		w.known.Members = family
		w.saveMemo()
	}
	report, err := w.sup.Stop(ctx)
	w.tally()
	if err != nil {
		return failed(err)
	}
	var detail string
	for _, s := range report.Survivors {
		if s.Own {
			return failed(fmt.Errorf("cannot end process %d (%s) of the agent", s.Process.PID, s.Program))
		}
		detail = fmt.Sprintf("process %d (%s) holds the agent's port and is not the agent's", s.Process.PID, s.Program)
	}
	return lifecycle.Outcome{OK: true, Detail: detail}
}

// keep stores the live config as a suspect, and looks at what a decision needs.
func (w *world) keep(ctx context.Context, s lifecycle.State) (o lifecycle.Outcome) {
	o = lifecycle.Outcome{Version: w.version(ctx), Boot: w.boot}
	look, err := w.observeGone(ctx)
	found := w.causes(ctx, s, look, o.Version)
	// What is looked for has time while the rest is done.
	defer func() {
		findings := found()
		o.Causes, o.Clues = holdingNow(findings)
		w.gather(s, o, findings)
	}()
	o.Shelf = w.shelf(s)
	defer func() { o.Shelf = append(o.Shelf, w.rungs(ctx, s, o, look)...) }()
	if err != nil {
		o.Live.Unreadable = true
		o.Detail = err.Error()
		return o
	}
	o.Live = w.facts(look)
	w.judge(ctx, look, o.Version, &o.Live)
	m, err := w.save(look, snapshot.Meta{Now: time.Now(), AgentVersion: o.Version, Evidence: "keep", Standing: deadman.Suspect})
	if err != nil {
		o.Detail = err.Error()
		return o
	}
	if m.Standing == deadman.Candidate && m.ID != s.Known.Snapshot {
		// It was live when the agent died.
		change := snapshot.Change{Time: time.Now().UTC(), Standing: deadman.Suspect, Reason: s.Pending.Reason.String(), Incident: s.Incident.ID, AgentVersion: o.Version}
		if err := twice(func() error { return w.store.Mark(m.ID, change) }); err != nil {
			o.Detail = err.Error()
			return o
		}
	}
	o.OK, o.Snapshot = true, m.ID
	o.Live.Snapshot = m.ID
	if len(look.Left) > 0 {
		o.Detail = "not kept, and left: " + several(look.Left)
	}
	if s.OnTrial() && !s.Incident.Obeyed {
		if o.Composed, err = w.recompose(ctx, s, look, o.Version); err != nil {
			o.Composed, o.Detail = &lifecycle.Live{Valid: deadman.Unhealthy}, err.Error()
		}
	}
	w.retain(s, m.ID)
	return o
}

// shelf are the snapshots that could be put back: the known good first, then
// older proven ones, the latest proof first. Damaged ones are not among them.
func (w *world) shelf(s lifecycle.State) []lifecycle.Target {
	all, err := w.store.List()
	if err != nil && len(all) == 0 {
		return nil
	}
	all = slices.DeleteFunc(all, func(m snapshot.Manifest) bool {
		known := m.ID == s.Known.Snapshot
		return m.Standing != deadman.Proven && !known || m.Standing == deadman.Bad || w.store.Verify(m.ID) != nil
	})
	slices.SortStableFunc(all, func(a, b snapshot.Manifest) int {
		if a.ID == s.Known.Snapshot || b.ID == s.Known.Snapshot {
			return boolInt(b.ID == s.Known.Snapshot) - boolInt(a.ID == s.Known.Snapshot)
		}
		return lastProof(b).Compare(lastProof(a))
	})
	targets := make([]lifecycle.Target, 0, len(all))
	for _, m := range all {
		t := lifecycle.Target{
			Config: lifecycle.Config{Snapshot: m.ID, Hash: m.Hash, Identity: w.identity(m)},
			Proven: m.Standing == deadman.Proven, Valid: deadman.Healthy, Versions: versions(m),
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 {
		return nil
	}
	return targets
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func lastProof(m snapshot.Manifest) time.Time {
	var last time.Time
	for _, p := range m.Proofs {
		if p.Time.After(last) {
			last = p.Time
		}
	}
	return last
}

// restore puts the target in place. A plan that an earlier guard has saved for
// the same target is taken up again.
func (w *world) restore(ctx context.Context, s lifecycle.State, resumed bool) lifecycle.Outcome {
	plan, err := w.plan(ctx, s, resumed)
	if err != nil {
		o := failed(err)
		var changed *restore.ErrChangedSinceKeep
		o.Changed = errors.As(err, &changed)
		o.Live = w.liveNow(ctx, s)
		o.Partly = resumed && o.Live.Hash != s.Incident.Kept.Hash
		return o
	}
	report, err := w.execute(ctx, plan)
	reverted := plan.Reverted()
	o := lifecycle.Outcome{Reverted: revertedKeys(reverted), Live: w.liveNow(ctx, s)}
	if err != nil {
		var changed *restore.ErrChangedSinceKeep
		o.Changed = errors.As(err, &changed)
		o.Detail = err.Error()
		// What an earlier deadman replaced before it died is in no report.
		o.Partly = len(report.Replaced)+len(report.Created)+len(report.Removed) > 0 ||
			resumed && o.Live.Hash != s.Incident.Kept.Hash
		if !o.Partly && !o.Changed {
			w.abandon(plan, report.Untidy)
		}
		return o
	}
	if err := restore.Remove(w.dir); err != nil {
		o.Detail = err.Error() // All of it is in place; the next plan replaces this one.
	}
	for _, note := range slices.Concat(report.Notes, plan.Notes) {
		o.Detail = note
	}
	for _, name := range report.NotAtomic {
		o.Detail = fmt.Sprintf("%s was written in place, not atomically", name)
	}
	for _, path := range report.WroteThrough {
		o.Detail = "wrote through a link to " + path
	}
	if len(report.Aside) > 0 {
		o.Detail = several(report.Aside)
	}
	o.OK = true
	return o
}

// saidMax is how many things a record names one by one.
const saidMax = 10

// several says what they are, and of many how many there are.
func several[T fmt.Stringer](all []T) string {
	var words []string
	for _, one := range all[:min(len(all), saidMax)] {
		words = append(words, one.String())
	}
	if more := len(all) - saidMax; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

// execute carries out a plan, and what is left of it once more, unless somebody
// has changed the config meanwhile.
func (w *world) execute(ctx context.Context, plan *restore.Plan) (restore.Report, error) {
	first, err := w.carryOut(ctx, plan)
	var changed *restore.ErrChangedSinceKeep
	if err == nil || errors.As(err, &changed) {
		return first, err
	}
	report, err := w.carryOut(ctx, plan)
	if err != nil { // What the first go has done is done.
		report.Replaced = append(report.Replaced, first.Replaced...)
		report.Created = append(report.Created, first.Created...)
		report.Removed = append(report.Removed, first.Removed...)
		report.Aside = append(report.Aside, first.Aside...)
	}
	return report, err
}

// carryOut is restore.Execute, confined.
func (w *world) carryOut(ctx context.Context, plan *restore.Plan) (report restore.Report, err error) {
	w.confinedTo(plan, func() { report, err = restore.Execute(ctx, plan, w.store) })
	return report, err
}

// abandon removes a plan of which nothing was done. While what it has staged cannot
// be removed, the plan is kept: nobody else knows by which names that goes.
func (w *world) abandon(plan *restore.Plan, untidy bool) {
	if untidy {
		plan.Abandoned = true
		if plan.Save(w.dir) == nil {
			return
		}
	}
	_ = restore.Remove(w.dir)
}

// plan is the plan of the restore in hand: the one that was saved, if it is for
// the same target, or a new one, saved before it is returned. One that somebody's
// write has stopped would be stopped by that for ever: after the Keep that took it
// in there is a new one.
func (w *world) plan(ctx context.Context, s lifecycle.State, resumed bool) (*restore.Plan, error) {
	saved, ok, err := restore.Load(w.dir)
	if err != nil {
		return nil, err
	}
	if ok && !saved.Abandoned && saved.Snapshot == s.Pending.Snapshot && (resumed || s.Incident.Half && saved.Keep == s.Incident.Kept.Snapshot) {
		return saved, nil
	}
	if ok {
		w.confinedTo(saved, func() { err = restore.Tidy(saved, w.store) })
		if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO) {
			return nil, err // Nothing could be staged either, and a new plan would forget the names.
		}
		// Anything else that is still in the way does no harm.
	}
	target, err := w.store.Load(s.Pending.Snapshot)
	if err != nil {
		return nil, err
	}
	look, err := w.observeGone(ctx)
	if err != nil {
		return nil, err
	}
	keep, ok, err := w.store.ByHash(look.Hash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &restore.ErrChangedSinceKeep{Name: w.agent.Name}
	}
	// Preserved values come from the newest bytes that parse: what is live,
	// then whatever was live before it.
	newest, _ := w.store.List()
	newest = slices.DeleteFunc(newest, composedOnly)
	var plan *restore.Plan
	w.confined(mayRead, func() {
		plan, err = restore.Prepare(time.Now(), w.store, target, keep, w.looked(), append([]snapshot.Manifest{keep}, newest...))
	})
	if err != nil {
		return nil, err
	}
	if err := w.refuseWorkTree(plan); err != nil {
		return nil, err
	}
	if err := twice(func() error { return plan.Save(w.dir) }); err != nil {
		return nil, err
	}
	return plan, nil
}

// refuseWorkTree refuses a plan that would change a git work tree behind the back
// of whoever works there, where the user wants to be asked first.
func (w *world) refuseWorkTree(plan *restore.Plan) error {
	if w.agent.FollowWrite != config.FollowRefuse {
		return nil
	}
	for _, path := range plan.Through() {
		if tree, ok := workTree(filepath.Dir(path)); ok {
			return &saidError{
				fmt.Sprintf("cannot write through a link to %s: %s is a git work tree, and follow-write is refuse", path, tree),
				"mend it there, or set follow-write to record",
			}
		}
	}
	return nil
}

// workTree is the git work tree that dir lies in. Its .git is a directory, or a
// file that names one.
func workTree(dir string) (string, bool) {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// liveNow is the live config as it is, for an outcome.
func (w *world) liveNow(ctx context.Context, s lifecycle.State) lifecycle.Live {
	look, err := w.observeGone(ctx)
	if err != nil {
		return lifecycle.Live{Unreadable: true}
	}
	live := w.facts(look)
	if s.Seen.Hash == live.Hash {
		live.Valid, live.Snapshot = s.Seen.Valid, s.Seen.Snapshot
	}
	return live
}

// revertedKeys names what a restore changed: "config.yaml: model.provider".
// Paths, never values.
func revertedKeys(reverts []restore.Revert) []string {
	var out []string
	for _, r := range reverts {
		if len(r.Keys) == 0 {
			out = append(out, fmt.Sprintf("%s (%s)", r.Name, r.Kind))
		}
		for _, key := range r.Keys {
			out = append(out, fmt.Sprintf("%s: %s (%s)", r.Name, key.Path, key.Kind))
		}
	}
	return out
}

// start starts the agent, or finds that an earlier guard has.
func (w *world) start(ctx context.Context, s lifecycle.State, resumed bool) lifecycle.Outcome {
	attempt := token(s)
	w.last.process = supervisor.Inspection{} // How it ended says nothing of the next end.
	if resumed {
		if p, ok, err := w.sup.Started(ctx, attempt); err == nil && ok {
			o := w.startedAs(ctx, p)
			o.Resumed = true
			return o
		}
		// Whoever ordered this start had read the config back just before. That may
		// be hours ago.
		if live := w.liveNow(ctx, s); live.Identity != s.Incident.Target.Identity {
			return lifecycle.Outcome{Changed: true, Live: live}
		}
	}
	p, err := w.sup.Start(ctx, attempt)
	if err != nil {
		o := failed(err)
		var refused *supervisor.Refused
		if errors.As(err, &refused) {
			if in, ierr := w.sup.Inspect(ctx); ierr == nil && in.Presence == deadman.Running {
				o.Appeared = in.Process
			}
		}
		return o
	}
	return w.startedAs(ctx, p)
}

func (w *world) startedAs(ctx context.Context, p deadman.Process) lifecycle.Outcome {
	w.saveMemo() // Start has set what it is recognised by.
	if in, err := w.sup.Inspect(ctx); err == nil && in.Presence == deadman.Running {
		w.remember(ctx, in)
	}
	return lifecycle.Outcome{OK: true, Process: p}
}
