package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"
)

// Prepare plans how target is put back in place of keep, which is what Keep
// has just taken of the live files. It changes nothing. sets are today's
// patterns: what they do not name is left alone, and so is what target's did
// not name.
//
// Values of today's `preserve` keys come from the first manifest in
// preserveFrom whose file parses, so the caller passes the newest first.
//
// The live files are looked at once more: a snapshot is stored once for all the
// times its bytes were met, so keep may not tell today's links and extended
// attributes. The error is an *ErrChangedSinceKeep if the bytes are not keep's,
// and a *RefusedError if target cannot be put back under sets: none of its
// files is among them, or a set has moved to another directory.
func Prepare(now time.Time, store *snapshot.Store, target, keep snapshot.Manifest,
	sets []snapshot.Set, preserveFrom []snapshot.Manifest,
) (*Plan, error) {
	p := &Plan{
		Version: Version, Agent: target.Agent, Snapshot: target.ID, Keep: keep.ID, Created: now,
		Sets: sets, Was: target.Sets,
		splices: map[string][]byte{},
	}
	for _, s := range sets {
		i := slices.IndexFunc(target.Sets, func(was snapshot.Set) bool { return was.Label == s.Label })
		switch {
		case i < 0:
			p.note("the set %q at %s is not in snapshot %s and is left alone", s.Label, s.Root, target.ID)
		case filepath.Clean(target.Sets[i].Root) != filepath.Clean(s.Root):
			return nil, &RefusedError{
				what: fmt.Sprintf("cannot put back snapshot %s: it was taken of %s, and the config now names %s",
					target.ID, target.Sets[i].Root, s.Root),
				hint: "to bring it to the new place by hand, use the restore.sh of the snapshot",
			}
		}
	}
	look, err := snapshot.ObserveGone(context.Background(), sets, limits(slices.Values(keep.Members)))
	if err != nil {
		return nil, fmt.Errorf("cannot plan: %w", err)
	}
	p.Roots = look.Roots
	for i, id := range p.Roots {
		if id.Inode == 0 { // gone: it is made as it was
			was := target.Roots[slices.IndexFunc(target.Roots, func(was snapshot.RootID) bool { return was.Label == id.Label })]
			p.Roots[i].Mode, p.Roots[i].UID, p.Roots[i].GID = was.Mode, was.UID, was.GID
		}
	}
	p.Left = keep.Left
	live := slices.DeleteFunc(slices.Clone(look.Members), func(m snapshot.Member) bool { return leftBy(keep, m) })
	if err := p.compare(live, keep); err != nil {
		return nil, err
	}
	want := p.places(target.Members, true)
	have := p.places(live, false)
	p.locate(want, have)
	// The known good says where a set belongs: a person may have accepted another
	// place since target was taken.
	anchor, ok, err := store.KnownGood()
	if err != nil || !ok {
		anchor = target
	}
	if err := snapshot.Astray(slices.Concat(p.Roots, p.Follows), anchor); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(want)), func(s place) bool { return s.member.Type != snapshot.Dir }) {
		return nil, &RefusedError{
			what: fmt.Sprintf("cannot put back snapshot %s: it holds no file that today's patterns name", target.ID),
			hint: "an empty config set is never put back; see the patterns in `files` and `exclude`",
		}
	}
	if err := p.preserve(store, target.ID, want, preserveFrom); err != nil {
		return nil, err
	}
	p.Steps = p.steps(want, have, target)
	if err := p.revert(store); err != nil {
		return nil, err
	}
	return p, nil
}

// compare makes sure that keep has all of what is live and may be touched.
func (p *Plan) compare(members []snapshot.Member, keep snapshot.Manifest) error {
	live := map[string]bool{}
	for _, m := range members {
		live[m.Name()] = true
		if !touchable(p.Sets, m) {
			continue
		}
		kept, ok := keep.Member(m.Name())
		if !ok || !sameBytes(m, kept) {
			return &ErrChangedSinceKeep{Name: m.Name()}
		}
		if m.Type == snapshot.File && m.Target != "" && m.Target != kept.Target {
			p.note("%s: was a link to %q", m.Name(), m.Target)
		}
	}
	for _, m := range keep.Members {
		if touchable(p.Sets, m) && !live[m.Name()] {
			return &ErrChangedSinceKeep{Name: m.Name()}
		}
	}
	return nil
}

// leftBy reports whether Keep has left m, or, of a directory, all that it has in
// it: the limits of another look are wider.
func leftBy(keep snapshot.Manifest, m snapshot.Member) bool {
	_, kept := keep.Member(m.Name())
	return !kept && slices.ContainsFunc(keep.Left, func(l snapshot.Left) bool {
		return l.Name() == m.Name() && m.Type != snapshot.Dir || m.Type == snapshot.Dir && strings.HasPrefix(l.Name(), m.Name()+"/")
	})
}

// limits are enough to look at as much as members once more, and not without
// bounds: what is there now may be anything.
func limits(members iter.Seq[snapshot.Member]) snapshot.Limits {
	l := snapshot.DefaultLimits
	for m := range members {
		l.File = max(l.File, m.Size)
		l.Set += m.Size
		l.Files++
	}
	return l
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// RefusedError is that a snapshot cannot be put back, and will not be if it is
// tried again. Nothing has been changed.
type RefusedError struct{ what, hint string }

func (e *RefusedError) Error() string { return e.what }

// Hint says what a person can do about it.
func (e *RefusedError) Hint() string { return e.hint }

// place is one thing to be seen on disk: a member has one, a link that is
// followed has two.
type place struct {
	dir     string
	follow  string // the directory of today's `follow` that dir is, if through
	member  snapshot.Member
	through bool
	spliced bool
}

func (p place) path() string {
	return Step{Dir: p.dir, Want: &p.member, Through: p.through}.Path()
}

// places returns where those of members that may be touched are, by absolute
// path.
func (p *Plan) places(members []snapshot.Member, notes bool) map[string]place {
	out := map[string]place{}
	add := func(pl place) { out[pl.path()] = pl }
	for _, member := range members {
		if !touchable(p.Sets, member) || !touchable(p.Was, member) {
			continue
		}
		set := setOf(p.Sets, member)
		if member.Followed == "" {
			add(place{dir: set.Root, member: member})
			continue
		}
		if member.Target != "" {
			add(place{dir: set.Root, member: linkOf(member)})
		}
		if member.Type == snapshot.Dir {
			continue // a directory outside the set is never ours
		}
		// The directory that today's config allows, never one from the store:
		// permission that was withdrawn stays withdrawn.
		follow, dir, ok := followed(set, member)
		if ok {
			add(place{dir: dir, follow: follow, member: member, through: true})
		} else if notes {
			p.note("%s: %s is not in a directory that `follow` names and is left alone", member.Name(), member.Followed)
		}
	}
	return out
}

// touchable reports whether the patterns of sets let m be restored. A link or a
// file may stand where they expect a directory.
func touchable(sets []snapshot.Set, m snapshot.Member) bool {
	if snapshot.Match(sets, m) {
		return true
	}
	if m.Type == snapshot.Dir || m.Reads {
		return false
	}
	m.Type = snapshot.Dir
	return snapshot.Match(sets, m)
}

// followed returns the directory of today's `follow` that the file which m was
// read from is in, and the path of it by which that was recorded: perhaps with
// the links in it resolved.
func followed(set snapshot.Set, m snapshot.Member) (follow, dir string, ok bool) {
	for _, dir := range set.Follow {
		if beneath(dir, m.Followed) {
			return dir, dir, true
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil && beneath(real, m.Followed) {
			return dir, real, true
		}
	}
	return "", "", false
}

func setOf(sets []snapshot.Set, m snapshot.Member) snapshot.Set {
	i := slices.IndexFunc(sets, func(s snapshot.Set) bool { return s.Label == m.Set })
	return sets[i] // the caller has asked snapshot.Match
}

// linkOf returns the link through which a followed member was reached. Nobody
// has recorded the link's own owner, which nothing looks at.
func linkOf(m snapshot.Member) snapshot.Member {
	return snapshot.Member{
		Set: m.Set, Path: m.Path, Type: snapshot.Link, Mode: 0o777, UID: -1, GID: -1,
		Size: int64(len(m.Target)), SHA256: digest([]byte(m.Target)), Target: m.Target,
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func beneath(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// steps returns what leads from have to want, in an order in which every step
// finds what it needs: what stands in the way goes first, directories come
// before what is in them, and get their modes (perhaps read-only) last.
func (p *Plan) steps(want, have map[string]place, target snapshot.Manifest) []Step {
	var first, clear, mkdir, put, remove, rmdir, settle []Step
	inTarget := map[string]bool{}
	for _, m := range target.Members {
		inTarget[m.Name()] = true
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		w := want[path]
		s := Step{Dir: w.dir, Want: &w.member, Spliced: w.spliced, Through: w.through, Temp: atomicfile.TempName()}
		if !w.through {
			s.Aside = asideName(s)
			s.Left = p.leftAt(w.member.Name())
		}
		h, ok := have[path]
		if ok && (h.member.Type == snapshot.Dir) == (w.member.Type == snapshot.Dir) {
			s.Have = &h.member
		}
		if w.member.Type == snapshot.Dir {
			if !needed(path, want) {
				continue
			}
			// Also where Keep has seen it: it may be gone by now.
			s.Op, s.Temp = OpMkdir, ""
			mkdir = append(mkdir, s)
			s.Op = OpSettle
			settle = append(settle, s)
			continue
		}
		switch {
		case s.Have == nil || !sameBytes(*s.Have, w.member):
			s.Op = OpPut
		case !sameMember(*s.Have, w.member):
			s.Op = OpRepair
		default:
			s.Op = OpHold
		}
		put = append(put, s)
	}
	for _, path := range slices.Sorted(maps.Keys(have)) {
		h := have[path]
		s := Step{Dir: h.dir, Have: &h.member, Through: h.through, Temp: atomicfile.TempName()}
		w, kept := want[path]
		blocks := kept && (w.member.Type == snapshot.Dir) != (h.member.Type == snapshot.Dir)
		within := slices.ContainsFunc(ancestors(path), func(dir string) bool {
			w, ok := want[dir]
			return ok && w.member.Type != snapshot.Dir
		})
		switch {
		case kept && !blocks:
		case h.through && !linked(p.Sets, h, want, have):
			// The link to it goes, or leads elsewhere from now on. What it led to
			// is no longer of the set and stays.
		case h.member.Type == snapshot.Dir:
			s.Op, s.Temp = OpRmdir, ""
			if blocks || within {
				clear = append(clear, s)
			} else if !inTarget[h.member.Name()] {
				rmdir = append(rmdir, s)
			}
		default:
			s.Op = OpRemove
			if blocks || within {
				first = append(first, s)
			} else {
				remove = append(remove, s)
			}
		}
	}
	for _, list := range [][]Step{clear, rmdir, settle} {
		slices.Reverse(list) // the deepest first
	}
	return slices.Concat(first, clear, mkdir, put, remove, rmdir, settle)
}

// needed reports whether anything but directories is wanted beneath path.
func needed(path string, want map[string]place) bool {
	for other, w := range want {
		if w.member.Type != snapshot.Dir && strings.HasPrefix(other, path+"/") {
			return true
		}
	}
	return false
}

// linked reports whether h, which was reached through a directory that is a
// link, still is when all is done.
func linked(sets []snapshot.Set, h place, want, have map[string]place) bool {
	for _, path := range ancestors(filepath.Join(setOf(sets, h.member).Root, h.member.Path)) {
		w, ok := want[path]
		if ok && w.member.Type == snapshot.Link {
			return sameBytes(have[path].member, w.member)
		}
	}
	return false
}

// ancestors returns the directories above path.
func ancestors(path string) []string {
	var out []string
	for dir := filepath.Dir(path); dir != path; path, dir = dir, filepath.Dir(dir) {
		out = append(out, dir)
	}
	return out
}

// sameBytes: nothing is lost if one replaces the other.
func sameBytes(a, b snapshot.Member) bool {
	return a.Type == b.Type && a.SHA256 == b.SHA256
}

// sameMember: there is nothing to do.
func sameMember(is, want snapshot.Member) bool {
	if !sameBytes(is, want) {
		return false
	}
	if want.Type == snapshot.Link {
		// A link has no mode, and -1 is an owner that nobody recorded.
		return (want.UID == -1 || want.UID == is.UID) && (want.GID == -1 || want.GID == is.GID)
	}
	return is.Mode == want.Mode && is.UID == want.UID && is.GID == want.GID &&
		maps.EqualFunc(is.Xattrs, want.Xattrs, func(a, b []byte) bool { return bytes.Equal(a, b) })
}

// leftAt is the inode of what Keep has left under a member's name; 0 if nothing.
func (p *Plan) leftAt(name string) uint64 {
	for _, l := range p.Left {
		if l.Name() == name {
			return l.Inode
		}
	}
	return 0
}
