package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
	"deadman/internal/supervisor"
	"deadman/internal/validate"
)

// RefusedError is a word that makes no sense, or cannot be obeyed, as things
// stand. Nothing was changed.
type RefusedError struct {
	saidError
	// Exit is ExitUsage, or ExitBusy where it is worth to try again.
	Exit int
}

func refuse(hint, format string, args ...any) error {
	return &RefusedError{saidError{fmt.Sprintf(format, args...), hint}, api.ExitUsage}
}

// Apply puts new config in place, has the agent start on it, and waits until that
// is known to be good, or what was live before is back.
func (d *Daemon) Apply(ctx context.Context, name string, arg Arg, wait time.Duration) (api.Agent, error) {
	a, err := d.agent(name)
	if err != nil {
		return api.Agent{}, err
	}
	before, err := d.loadState(ctx, name)
	if err != nil {
		return api.Agent{}, err
	}
	r, err := d.Tell(ctx, name, string(lifecycle.Apply), arg, wait)
	if err != nil {
		return r, err
	}
	fresh := r.Fresh
	s, err := d.loadState(ctx, name)
	if err != nil {
		return r, err
	}
	trial := s.Trial.Incident
	if trial == before.Trial.Incident {
		r.Exit, r.Applied = api.ExitOK, &api.Applied{Outcome: api.Unchanged}
		return r, nil
	}
	p, clock := policy(a), readClock(d.cfg.StateDir)
	for !over(s, trial, p, clock.Now()) {
		next := time.Now().Add(lifecycle.NextLook(p, s, clock.Now()))
		for time.Now().Before(next) && !over(s, trial, p, clock.Now()) {
			select {
			case <-ctx.Done():
				return r, ended(ctx, ctx.Err())
			case <-time.After(min(time.Until(next), askPoll)):
			}
			if s, err = d.loadState(ctx, name); err != nil {
				return r, err
			}
		}
		if over(s, trial, p, clock.Now()) {
			break
		}
		r = d.checkOne(ctx, a, wait) // Where a watch guards it, it is asked to.
		fresh = append(fresh, r.Fresh...)
		if s, err = d.loadState(ctx, name); err != nil {
			return r, err
		}
	}
	state := stateReport(a, s, clock)
	r.State, r.Exit, r.Undo, r.Incident, r.Proof = state.State, state.Exit, state.Undo, state.Incident, state.Proof
	r.KnownGood, r.Live, r.Reason, r.Cause, r.Action = state.KnownGood, state.Live, state.Reason, state.Cause, ""
	r.Fresh = fresh
	r.Applied = d.applied(ctx, a, s, trial)
	switch r.Applied.Outcome {
	case api.Passed, api.Idle:
		r.Exit, r.Undo = api.ExitOK, "deadman restore "+name+" "+r.Applied.Was
	default:
		r.Exit = max(r.Exit, api.ExitFailed)
	}
	return r, nil
}

// over reports whether nothing more is to be waited for: the trial has ended and
// what follows from it is done, or it is not for us to go on.
func over(s lifecycle.State, trial string, p lifecycle.Policy, now time.Time) bool {
	if s.Trial.Incident != trial {
		return true
	}
	switch s.Phase {
	case deadman.StoodDown, deadman.Paused, deadman.Stopped, deadman.Dead:
		return true
	case deadman.Unclear:
		return now.Sub(s.Since) > p.HealthyDeadline+p.Probation // Nobody can tell.
	case deadman.PhaseUnset, deadman.Confirming, deadman.Stopping, deadman.Keeping, deadman.Restoring,
		deadman.Launching, deadman.Verifying, deadman.Waiting:
		return s.Incident.ID != trial // What is put back has to be verified.
	}
	return !s.OnTrial()
}

// applied says how a trial came out.
func (d *Daemon) applied(ctx context.Context, a config.Agent, s lifecycle.State, trial string) *api.Applied {
	t := s.Trial
	out := &api.Applied{Outcome: api.Undecided, Incident: trial}
	if t.Incident != trial {
		out.Outcome = api.Overtaken
		return out
	}
	out.Snapshot, out.Was, out.Reason = t.Config.Snapshot, t.Was.Snapshot, t.Outcome
	switch t.Outcome {
	case deadman.TrialPassed:
		out.Outcome = api.Passed
	case deadman.AppliedIdle:
		out.Outcome = api.Idle
	case deadman.TrialRefused:
		out.Outcome = api.Refused
	case deadman.TrialEnded:
		out.Outcome = api.Overtaken
	case deadman.TrialFailed:
		out.Outcome, out.Reason = api.Reverted, t.Failed
		if s.Seen.Identity == t.Config.Identity {
			out.Outcome = api.Failed // There is nothing to go back to.
		}
	}
	out.Proven = s.Known.Identity == t.Config.Identity && !s.Known.Provisional
	if out.Was != "" && out.Snapshot != "" {
		out.Changed = d.changedKeys(ctx, a.Name, out.Was, out.Snapshot)
	}
	if v, err := d.view(a.Name); err == nil && v.store != nil {
		m, err := v.store.Load(t.Config.Snapshot)
		out.Held = err == nil && m.Standing == deadman.Bad
		v.close()
	}
	return out
}

// changedKeys names what differs between two versions: "config.yaml: model.provider".
// What cannot be compared is not worth an error here.
func (d *Daemon) changedKeys(ctx context.Context, name, was, is string) []string {
	differences, _ := d.Diff(ctx, name, was, is, false)
	var out []string
	for _, diff := range differences {
		if len(diff.Keys) == 0 {
			out = append(out, fmt.Sprintf("%s (%s)", diff.Name, diff.Kind))
		}
		for _, key := range diff.Keys {
			out = append(out, diff.Name+": "+key)
		}
	}
	return out
}

// fits refuses what cannot be obeyed as the agent stands.
func (k *keeper) fits(verb lifecycle.Verb) error {
	name, s := k.world.agent.Name, k.guard.State
	switch {
	case k.guard.Policy.Observe:
		return refuse("set recovery.mode to enforce", "cannot %s %s: its mode is observe, so nothing could be put back", verb, name)
	case s.Phase == deadman.StoodDown:
		return refuse("end that first, then: deadman resume "+name, "cannot %s %s: deadman has stood down before another watchdog", verb, name)
	case s.Hold.Verb == lifecycle.Pause:
		return refuse("deadman resume "+name+" ends the pause", "cannot %s %s: it is paused, so nothing would be watched", verb, name)
	case s.Incident.Open() && (verb == lifecycle.Arm || s.OnTrial() || s.Phase != deadman.Failed && s.Phase != deadman.Waiting):
		return &RefusedError{saidError{
			fmt.Sprintf("cannot %s %s: incident %s is not over", verb, name, s.Incident.ID),
			"`deadman status " + name + "` says how it stands; it ends when the agent has been healthy for its probation",
		}, api.ExitBusy}
	case verb == lifecycle.Apply && !s.Armed.IsZero():
		return refuse("deadman confirm "+name, "cannot apply to %s: a change by hand is to be confirmed first", name)
	}
	return nil
}

// applying builds the word that puts a config in place, or none if that is what is
// live. It is composed, validated and stored here, and held against what is known
// to be bad.
func (k *keeper) applying(ctx context.Context, arg Arg) (*lifecycle.Word, error) {
	w := k.world
	// How it stands now is what it has to be as well as.
	if err := k.guard.Round(ctx); err != nil {
		return nil, err
	}
	if err := k.fits(lifecycle.Apply); err != nil {
		return nil, err
	}
	if arg.Reload && !w.reloads(ctx) {
		return nil, refuse("leave out --reload, or give its unit an ExecReload, or supervisor.command a `reload`", "cannot reload %s: its supervisor has no such thing", w.agent.Name)
	}
	from, err := w.source(ctx, arg)
	if err != nil {
		return nil, err
	}
	base, err := w.observe(ctx)
	if err != nil {
		return nil, err
	}
	c, err := w.compose(ctx, from, base, "apply", w.memo.Version)
	if err != nil {
		return nil, refuse("", "%v", err)
	}
	brings, err := w.brings(from, c)
	if err != nil {
		return nil, err
	}
	if !arg.Force {
		if err := w.objection(from, c); err != nil {
			return nil, err
		}
	} else if c.Valid == deadman.Unhealthy {
		return nil, refuse("--force overrides guards and what is held, and no error in the config", "cannot apply %s: it does not validate: %s", from.what, c.findings[0])
	}
	if c.Identity == base.Identity {
		return nil, nil
	}
	return &lifecycle.Word{Verb: lifecycle.Apply, Config: c.Config, Brings: brings, Reload: arg.Reload, Force: arg.Force}, nil
}

// source is where the config that is to be applied lies.
func (w *world) source(ctx context.Context, arg Arg) (elsewhere, error) {
	var from elsewhere
	var err error
	switch canonical := w.agent.Canonical; {
	case arg.From != "":
		from, err = w.inDir(ctx, arg.From)
	case canonical.Repo == "":
		return from, refuse("add `canonical: {repo: …, ref: …, path: …}`, or name a directory with --from", "cannot apply %s: %s has no canonical repository", arg.Ref, w.agent.Name)
	default:
		from, err = w.atRef(ctx, canonical.Repo, arg.Ref, canonical.Path)
	}
	var hinted interface{ Hint() string }
	switch {
	case err == nil:
		return from, nil
	case errors.As(err, &hinted):
		return from, refuse(hinted.Hint(), "%v", err)
	}
	return from, refuse("", "%v", err)
}

// brings are the members that the applied config is about. One that would stay as
// it is although it is to be another is refused: nothing must seem to be applied.
func (w *world) brings(from elsewhere, c composed) ([]string, error) {
	m, err := w.store.Load(c.Snapshot)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range from.pieces {
		name := snapshot.Member{Set: p.Set, Path: p.Path}.Name()
		member, ok := m.Member(name)
		if !ok {
			continue // No pattern names it.
		}
		if member.Type != p.Type {
			return nil, refuse("let config.follow name the directory that it leads to, or remove the link", "cannot apply %s: what is live is a link, and stays one", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// objection is why a config is not applied unless somebody insists.
func (w *world) objection(from elsewhere, c composed) error {
	insist := "--force applies it all the same"
	switch {
	case c.Valid == deadman.Unhealthy:
		return refuse("nothing was changed", "cannot apply %s: it does not validate: %s", from.what, c.findings[0])
	case c.Bad:
		return refuse(insist, "cannot apply %s: %s", from.what, w.whyHeld(c.Identity))
	case c.Held:
		return refuse(insist, "cannot apply %s: a guard objects: %s", from.what, c.findings[0])
	case c.Valid == deadman.Unknown:
		return refuse(insist, "cannot apply %s: %s", from.what, c.findings[0])
	}
	if guards := w.shrunk(c); len(guards) > 0 {
		return refuse(insist, "cannot apply %s: a guard objects: %s", from.what, guards[0])
	}
	return nil
}

// shrunk is what the guards say of what has gone since the known good.
func (w *world) shrunk(c composed) []validate.Finding {
	known, ok, err := w.store.KnownGood()
	if err != nil || !ok || known.ID == c.Snapshot {
		return nil
	}
	m, err := w.store.Load(c.Snapshot)
	if err != nil || m.Standing == deadman.Proven {
		return nil
	}
	files := func(m snapshot.Manifest) []validate.File {
		return w.files(m.Members, func(name string) []byte {
			bytes, err := w.store.ReadFile(m.ID, name)
			if err != nil {
				return nil
			}
			return bytes
		})
	}
	return validate.Guards(files(m), files(known))
}

// recompose makes, of what Keep found, the version that is to be applied: the agent
// may have written another of its files since the word.
func (w *world) recompose(ctx context.Context, s lifecycle.State, kept *snapshot.Look, version string) (*lifecycle.Live, error) {
	m, err := w.store.Load(s.Incident.Chose.Snapshot)
	if err != nil {
		return nil, err
	}
	if m.Hash == kept.Hash {
		return nil, nil // It is in place already.
	}
	chosen, err := w.store.Recall(m)
	if err != nil {
		return nil, err
	}
	var from elsewhere
	for _, p := range chosen.Pieces() {
		if slices.Contains(s.Trial.Brings, (snapshot.Member{Set: p.Set, Path: p.Path}).Name()) {
			from.pieces = append(from.pieces, p)
		}
	}
	c, err := w.compose(ctx, from, kept, "apply", version)
	if err != nil {
		return nil, err
	}
	return &c.Live, nil
}

// reloader is a supervisor that can have a process read its config anew.
type reloader interface {
	// Reloads reports whether it can, as far as is known.
	Reloads(ctx context.Context) bool
	Reload(ctx context.Context) error
}

var (
	_ reloader = (*supervisor.Command)(nil)
	_ reloader = (*supervisor.Systemd)(nil)
)

func (w *world) reloads(ctx context.Context) bool {
	r, ok := w.sup.(reloader)
	return ok && r.Reloads(ctx)
}

// reload has the agent's process read its config anew.
func (w *world) reload(ctx context.Context) lifecycle.Outcome {
	if !w.reloads(ctx) {
		return failed(fmt.Errorf("cannot reload %s: its supervisor has no such thing", w.agent.Name))
	}
	if err := w.sup.(reloader).Reload(ctx); err != nil {
		return failed(err)
	}
	return lifecycle.Outcome{OK: true}
}

// whyHeld names the incident that made an identity bad.
func (w *world) whyHeld(identity string) string {
	same, _ := w.store.ByIdentity(identity)
	for _, m := range same {
		if m.Standing == deadman.Bad {
			return "it is held: " + blameOf(m)
		}
	}
	return "it is held"
}

// blameOf says when and why a snapshot was made bad.
func blameOf(m snapshot.Manifest) string {
	for _, c := range slices.Backward(m.History) {
		if c.Standing != deadman.Bad {
			continue
		}
		words := []string{fmt.Sprintf("%s was found bad at %s", m.ID, stamp(c.Time))}
		if c.Incident != "" {
			words = append(words, "in incident "+c.Incident)
		}
		return strings.Join(words, " ") + ": " + sentence(c.Reason)
	}
	return m.ID + " was found bad"
}
