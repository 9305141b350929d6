package daemon

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"deadman/internal/api"
	"deadman/internal/canonical"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// wordCanonical stands for what source control has.
const wordCanonical = "canonical"

// Drift compares what is live, the known good and what source control has of each
// agent. It names files and keys, never values.
func (d *Daemon) Drift(ctx context.Context, names []string) ([]api.Drift, error) {
	agents, err := d.agents(names)
	if err != nil {
		return nil, err
	}
	var all []api.Drift
	for _, a := range agents {
		v, err := d.view(a.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, v.drift(ctx))
		v.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (v *view) drift(ctx context.Context) api.Drift {
	d := api.Drift{Name: v.agent.Name, Differences: []api.DriftBetween{}}
	problem := func(err error) {
		if err != nil {
			d.Problems = append(d.Problems, err.Error())
		}
	}
	live, err := v.live(ctx)
	problem(err)
	isLive := err == nil
	good, err := v.knownGood()
	problem(err)
	d.KnownGood = good.ID
	var git elsewhere
	if c := v.agent.Canonical; c.Repo != "" {
		w := &world{agent: v.agent, sets: v.sets, limits: v.limits}
		git, err = w.atRef(ctx, c.Repo, c.Ref, c.Path)
		problem(err)
		d.Canonical = git.what
	}
	if isLive && good.ID != "" {
		problem(v.differ(&d, wordKnownGood, v.stored(good), wordLive, live))
	}
	if isLive && len(git.pieces) > 0 {
		problem(v.differ(&d, wordCanonical, beside(git, live), wordLive, live))
	}
	if good.ID != "" && len(git.pieces) > 0 {
		stored := v.stored(good)
		problem(v.differ(&d, wordCanonical, beside(git, stored), wordKnownGood, stored))
	}
	if isLive {
		dirty, err := v.dirty(ctx, live)
		problem(err)
		d.Dirty = dirty
	}
	return d
}

// differ adds what differs between two versions.
func (v *view) differ(d *api.Drift, from string, a version, to string, b version) error {
	between := api.DriftBetween{From: from, To: to}
	for _, name := range names(a.manifest, b.manifest) {
		if _, ok := a.manifest.Member(name); !ok && from == wordCanonical {
			continue
		}
		if v.onlyPreserved(a, b, name) {
			continue
		}
		diff, ok, err := v.compare(a, b, name, false)
		if err != nil {
			return err
		}
		if is, has := b.manifest.Member(name); has {
			diff.Keys = slices.DeleteFunc(diff.Keys, func(key string) bool {
				return slices.ContainsFunc(v.preserved(is), func(path string) bool { return strings.HasPrefix(key, path+" (") })
			})
		}
		if ok {
			between.Files = append(between.Files, diff)
		}
	}
	if between.Files != nil {
		d.Differences = append(d.Differences, between)
	}
	return nil
}

// onlyPreserved reports whether a file differs in nothing but the values of
// preserved keys.
func (v *view) onlyPreserved(a, b version, name string) bool {
	was, had := a.manifest.Member(name)
	is, has := b.manifest.Member(name)
	if !had || !has || was.Type != snapshot.File || is.Type != snapshot.File || was.SHA256 == is.SHA256 || len(metadata(was, is)) > 0 {
		return false
	}
	paths := v.preserved(is)
	if paths == nil {
		return false
	}
	one, oneErr := a.read(name)
	other, otherErr := b.read(name)
	if oneErr != nil || otherErr != nil {
		return false
	}
	x, ok := document.Identity(v.format(is), one, paths)
	y, too := document.Identity(v.format(is), other, paths)
	return ok && too && bytes.Equal(x, y)
}

// preserved are the paths of the preserved keys in a file.
func (v *view) preserved(m snapshot.Member) []string {
	var paths []string
	for _, s := range v.sets {
		for _, key := range s.Preserve {
			if s.Label == m.Set && key.File == m.Path {
				paths = append(paths, key.Path)
			}
		}
	}
	return paths
}

// beside are the files that source control has as a version to be compared with
// another. Of modes git knows whether a file is executable, and nothing of owners:
// the rest is taken to be as it is there. What is a link there that is not followed
// stays one, and there is nothing to compare.
func beside(git elsewhere, other version) version {
	out := version{manifest: snapshot.Manifest{ID: wordCanonical}}
	data := map[string][]byte{}
	for _, p := range git.pieces {
		m := snapshot.Member{Set: p.Set, Path: p.Path, Type: p.Type, Mode: 0o644, Size: int64(len(p.Bytes)), SHA256: snapshot.Sum(p.Bytes)}
		if p.Type == snapshot.Link {
			m.Target = string(p.Bytes)
		}
		if is, ok := other.manifest.Member(m.Name()); ok {
			if is.Type == snapshot.Link && p.Type == snapshot.File {
				continue
			}
			m.Mode, m.UID, m.GID = is.Mode, is.UID, is.GID
			if is.Type == snapshot.File && p.Executable != (is.Mode&0o100 != 0) {
				m.Mode ^= 0o100
			}
		}
		out.manifest.Members = append(out.manifest.Members, m)
		data[m.Name()] = p.Bytes
	}
	slices.SortFunc(out.manifest.Members, func(a, b snapshot.Member) int { return bytes.Compare([]byte(a.Name()), []byte(b.Name())) })
	out.read = func(name string) ([]byte, error) { return data[name], nil }
	return out
}

// dirty are the work trees that files of the config lie in, themselves or what they
// lead to, and that are not as committed: by whoever works there, the agent, or a
// rollback that wrote through a link.
func (v *view) dirty(ctx context.Context, live version) ([]api.DirtyCheckout, error) {
	trees := map[string]map[string]string{} // by their top: names of members, by paths beneath it
	for _, m := range live.manifest.Members {
		path := m.Followed
		if i := slices.IndexFunc(v.sets, func(s snapshot.Set) bool { return s.Label == m.Set }); path == "" && i >= 0 {
			path = filepath.Join(v.sets[i].Root, m.Path)
		}
		if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(real, filepath.Base(path))
		}
		top, ok := workTree(filepath.Dir(path))
		if m.Type != snapshot.File || !ok {
			continue
		}
		if trees[top] == nil {
			trees[top] = map[string]string{}
		}
		if rel, err := filepath.Rel(top, path); err == nil {
			trees[top][rel] = m.Name()
		}
	}
	var out []api.DirtyCheckout
	for _, top := range slices.Sorted(maps.Keys(trees)) {
		files := trees[top]
		want := func(name string) bool { return files[name] != "" }
		tree, err := canonical.Repo{Path: top}.Read(ctx, "HEAD", "", want, canonical.Limits{File: v.limits.File, Set: v.limits.Set, Files: v.limits.Files})
		if err != nil {
			return out, err
		}
		dirty := api.DirtyCheckout{Checkout: top}
		for _, f := range tree.Files {
			now, err := live.read(files[f.Path])
			if err != nil {
				return out, err
			}
			if f.Type != canonical.Regular || !bytes.Equal(now, f.Bytes) {
				dirty.Files = append(dirty.Files, f.Path)
			}
		}
		if dirty.Files != nil {
			out = append(out, dirty)
		}
	}
	return out, nil
}
