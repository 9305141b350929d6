package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"deadman/internal/snapshot"
)

// namedLinks is how many links a remark names.
const namedLinks = 3

// remark notes what a person should know of a round that no check, guard or
// decision tells: part of the config is not guarded. It is said once, when it
// is new, and `status` shows it for as long as it is so.
func (w *world) remark(seen sight) {
	var remarks []string
	var astray *snapshot.AstrayError
	switch {
	case errors.As(seen.problem, &astray):
		remarks = []string{astray.Error() + "; " + astray.Hint()}
	case seen.problem != nil:
		return // The report of the round says it.
	default:
		remarks = unfollowed(w.sets, seen.look)
	}
	if slices.Equal(remarks, w.memo.Remarks) {
		return
	}
	for _, r := range remarks {
		if !slices.Contains(w.memo.Remarks, r) {
			w.unsaid = append(w.unsaid, r)
		}
	}
	w.memo.Remarks = remarks
	w.saveMemo()
}

// say returns what is new since it was asked last.
func (w *world) say() []string {
	said := w.unsaid
	w.unsaid = nil
	return said
}

// unfollowed says of the links in the set that what they lead to is not guarded,
// and how it would be. A link to another member needs nothing.
func unfollowed(sets []snapshot.Set, look *snapshot.Look) []string {
	var out []string
	more := 0
	for _, m := range look.Members {
		if m.Type != snapshot.Link || m.Reads {
			continue
		}
		set := sets[slices.IndexFunc(sets, func(s snapshot.Set) bool { return s.Label == m.Set })]
		to := linkTarget(set, m)
		if rel, err := filepath.Rel(set.Root, to); err == nil {
			if _, ok := look.Member(snapshot.Member{Set: m.Set, Path: rel}.Name()); ok {
				continue
			}
		}
		if len(out) == namedLinks {
			more++
			continue
		}
		out = append(out, fmt.Sprintf("%s is a link, and what it leads to is not guarded; to guard it, add to its config set: follow: [%s]", m.Name(), filepath.Dir(to)))
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more links are not followed either; deadman doctor names them", more))
	}
	return out
}

// linkTarget is where the text of a link leads.
func linkTarget(set snapshot.Set, m snapshot.Member) string {
	if filepath.IsAbs(m.Target) {
		return filepath.Clean(m.Target)
	}
	return filepath.Join(set.Root, filepath.Dir(m.Path), m.Target)
}
