package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"deadman"
	"deadman/internal/canonical"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
	"deadman/internal/validate"
)

// elsewhere are files of a config that lie in another place than its own: in a
// commit, or in a directory.
type elsewhere struct {
	pieces []snapshot.Piece
	// what names it for people: "origin/main (1a2b3c4) of /srv/config".
	what string
}

// atRef are the files that a git repository has for the agent.
func (w *world) atRef(ctx context.Context, repo, ref, dir string) (elsewhere, error) {
	want := func(name string) bool {
		return slices.ContainsFunc([]bool{true, false}, func(labelled bool) bool {
			_, _, ok := w.placeOf(name, labelled)
			return ok
		})
	}
	tree, err := canonical.Repo{Path: repo}.Read(ctx, ref, dir, want, canonical.Limits{File: w.limits.File, Set: w.limits.Set, Files: w.limits.Files})
	if err != nil {
		return elsewhere{}, err
	}
	labelled := slices.ContainsFunc(tree.Files, func(f canonical.File) bool { return w.labelled(f.Path) })
	out := elsewhere{what: fmt.Sprintf("%s (%.12s) of %s", ref, tree.Commit, repo)}
	for _, f := range tree.Files {
		if label, rel, ok := w.placeOf(f.Path, labelled); ok {
			out.pieces = append(out.pieces, snapshot.Piece{Set: label, Path: rel, Type: snapshot.Type(f.Type), Executable: f.Executable, Bytes: f.Bytes})
		}
	}
	if len(out.pieces) == 0 {
		return out, &saidError{
			fmt.Sprintf("cannot find a file of %s in %s", w.agent.Name, out.what),
			"the directory in the repository must be laid out as config.root is; with several sets, each is beneath its label",
		}
	}
	return out, nil
}

// placeOf is the set, and the path in it, of a file in a tree that is laid out as
// the files of a snapshot are: with several sets each is beneath its label. A tree
// that has no such directory is the first set's.
func (w *world) placeOf(name string, labelled bool) (label, rel string, ok bool) {
	first := w.sets[0]
	if !labelled || len(w.sets) == 1 && first.Label == "" {
		return first.Label, name, first.Matches(name)
	}
	label, rel, _ = strings.Cut(name, "/")
	i := slices.IndexFunc(w.sets, func(s snapshot.Set) bool { return s.Label == label })
	return label, rel, i >= 0 && rel != "" && w.sets[i].Matches(rel)
}

// labelled reports whether a name begins with the label of a set.
func (w *world) labelled(name string) bool {
	label, _, beneath := strings.Cut(name, "/")
	return beneath && label != "" && slices.ContainsFunc(w.sets, func(s snapshot.Set) bool { return s.Label == label })
}

// inDir are the files that a directory has for the agent. No link in it leads
// anywhere else.
func (w *world) inDir(ctx context.Context, dir string) (elsewhere, error) {
	labelled := slices.ContainsFunc(w.sets, func(s snapshot.Set) bool {
		info, err := os.Stat(filepath.Join(dir, s.Label))
		return s.Label != "" && err == nil && info.IsDir()
	})
	out := elsewhere{what: dir}
	for i, set := range w.sets {
		set.Root, set.Follow, set.Reads, set.Dirs = dir, nil, nil, nil
		if labelled {
			set.Root = filepath.Join(dir, set.Label)
			if _, err := os.Stat(set.Root); os.IsNotExist(err) {
				continue
			}
		} else if i > 0 {
			break
		}
		look, err := snapshot.Observe(ctx, []snapshot.Set{set}, w.limits)
		if err != nil {
			return elsewhere{}, err
		}
		out.pieces = append(out.pieces, look.Pieces()...)
	}
	if len(out.pieces) == 0 {
		return out, &saidError{
			fmt.Sprintf("cannot find a file of %s in %s", w.agent.Name, dir),
			"the directory must be laid out as config.root is; with several sets, each is beneath its label",
		}
	}
	return out, nil
}

// composed is a version that was made of what lies elsewhere.
type composed struct {
	lifecycle.Live
	// findings are what speaks against it; none holds a value.
	findings []validate.Finding
}

// compose makes one version of what lies elsewhere and of all else that base has,
// stores it, and judges it under a version of the agent. It is then a snapshot like
// any other, and can be put back. evidence is its word for where it is from.
func (w *world) compose(ctx context.Context, from elsewhere, base *snapshot.Look, evidence, version string) (composed, error) {
	look, err := snapshot.Compose(w.sets, base, from.pieces, w.limits)
	if err != nil {
		return composed{}, err
	}
	c := composed{Live: lifecycle.Live{Config: lifecycle.Config{Hash: look.Hash, Identity: look.Identity}, Settled: true}}
	c.findings = w.weigh(ctx, look, version, &c.Live, true)
	m, err := w.save(look, snapshot.Meta{Now: time.Now(), AgentVersion: version, Evidence: evidence})
	if err != nil {
		return composed{}, err
	}
	c.Snapshot = m.ID
	return c, nil
}

// rungs are what is tried when the store has nothing left: the version in source
// control, then the minimal config. They are looked for only then, so that nothing
// that is wrong with them delays a recovery that does not need them.
func (w *world) rungs(ctx context.Context, s lifecycle.State, o lifecycle.Outcome, live *snapshot.Look) []lifecycle.Target {
	c, safe := w.agent.Canonical, w.agent.Safe
	if c.Repo == "" && safe == "" || !lifecycle.Spent(policy(w.agent), s, o) {
		return nil
	}
	var targets []lifecycle.Target
	if c.Repo != "" {
		from, err := w.atRef(ctx, c.Repo, c.Ref, c.Path)
		targets = append(targets, w.rung(ctx, lifecycle.FromCanonical, from, err, live, o.Version))
	}
	if safe != "" {
		from, err := w.inDir(ctx, safe)
		targets = append(targets, w.rung(ctx, lifecycle.FromSafe, from, err, live, o.Version))
	}
	return targets
}

// rung composes one of them, or says why not.
func (w *world) rung(ctx context.Context, origin lifecycle.Origin, from elsewhere, err error, live *snapshot.Look, version string) lifecycle.Target {
	t := lifecycle.Target{Origin: origin}
	var base *snapshot.Look
	if err == nil {
		base, err = w.over(live)
	}
	var c composed
	if err == nil {
		c, err = w.compose(ctx, from, base, string(origin), version)
	}
	if err != nil {
		t.Detail = err.Error()
		return t
	}
	t.Config, t.Valid, t.Held = c.Config, c.Valid, c.Held || c.Bad
	switch {
	case len(c.findings) > 0:
		t.Detail = fmt.Sprintf("%s: %s", from.what, c.findings[0])
	case c.Bad:
		t.Detail = from.what + ": an earlier incident proved it bad"
	default:
		t.Detail = from.what
	}
	return t
}

// composedOnly reports whether a snapshot was never live, as far as is known: it says
// nothing of what an agent has written.
func composedOnly(m snapshot.Manifest) bool {
	return len(m.Proofs) == 0 && (m.Evidence == string(lifecycle.FromCanonical) || m.Evidence == string(lifecycle.FromSafe))
}

// over is what a rung of recovery is composed over: the newest proven version,
// whose .env, modes and owners are known to work, or what is live.
func (w *world) over(live *snapshot.Look) (*snapshot.Look, error) {
	all, err := w.store.List()
	if err != nil && len(all) == 0 {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b snapshot.Manifest) int { return lastProof(b).Compare(lastProof(a)) })
	for _, m := range all {
		if m.Standing != deadman.Proven {
			continue
		}
		if look, err := w.store.Recall(m); err == nil {
			return look, nil
		}
	}
	if live == nil {
		return nil, errors.New("cannot compose: nothing is proven, and the live config cannot be read")
	}
	return live, nil
}
