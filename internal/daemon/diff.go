package daemon

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"deadman/internal/api"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// What can have become of a file, in api.Difference.Kind.
const (
	kindAdded    = "added"
	kindRemoved  = "removed"
	kindChanged  = "changed"
	kindMetadata = "metadata"
)

// Diff says what differs from a to b, each named as in Show; empty is the known
// good for a and what is live for b. It names files and keys. Only with text is
// there more, the lines themselves: a person asked for them, and nobody else
// may get them.
func (d *Daemon) Diff(ctx context.Context, name, a, b string, text bool) ([]api.Difference, error) {
	v, err := d.view(name)
	if err != nil {
		return nil, err
	}
	defer v.close()
	from, err := v.version(ctx, cmp.Or(a, wordKnownGood))
	if err != nil {
		return nil, err
	}
	to, err := v.version(ctx, cmp.Or(b, wordLive))
	if err != nil {
		return nil, err
	}
	differences := []api.Difference{}
	for _, name := range names(from.manifest, to.manifest) {
		diff, ok, err := v.compare(from, to, name, text)
		if err != nil {
			return nil, err
		}
		if ok {
			differences = append(differences, diff)
		}
	}
	return differences, nil
}

// names are those of all members of two manifests, sorted.
func names(a, b snapshot.Manifest) []string {
	var all []string
	for _, m := range slices.Concat(a.Members, b.Members) {
		all = append(all, m.Name())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// compare says what differs in one file, if anything does.
func (v *view) compare(a, b version, name string, text bool) (api.Difference, bool, error) {
	was, had := a.manifest.Member(name)
	is, has := b.manifest.Member(name)
	diff := api.Difference{Name: name}
	switch {
	case had && has && was.Type == is.Type && was.SHA256 == is.SHA256:
		diff.Kind, diff.Keys = kindMetadata, metadata(was, is)
		return diff, len(diff.Keys) > 0, nil
	case !had && is.Type == snapshot.Dir, !has && was.Type == snapshot.Dir:
		return diff, false, nil // What is in it says it.
	case !had:
		diff.Kind = kindAdded
	case !has:
		diff.Kind = kindRemoved
	default:
		diff.Kind = kindChanged
	}
	old, err := content(a, was)
	if err != nil {
		return diff, false, err
	}
	now, err := content(b, is)
	if err != nil {
		return diff, false, err
	}
	if diff.Kind == kindChanged {
		diff.Keys = append(keys(v.format(is), old, now), metadata(was, is)...)
	}
	if text {
		diff.Text = unified(a.manifest.ID+"/"+name, b.manifest.ID+"/"+name, old, now)
	}
	return diff, true, nil
}

// content is what can be shown of a member: the bytes of a file, the text of a
// link.
func content(v version, m snapshot.Member) ([]byte, error) {
	switch m.Type {
	case snapshot.File:
		return v.read(m.Name())
	case snapshot.Link:
		return []byte(m.Target), nil
	}
	return nil, nil
}

// metadata names what differs beside the bytes.
func metadata(a, b snapshot.Member) []string {
	var keys []string
	if a.Type != b.Type {
		return append(keys, fmt.Sprintf("type %s to %s", a.Type, b.Type))
	}
	if a.Mode != b.Mode {
		keys = append(keys, fmt.Sprintf("mode %04o to %04o", a.Mode, b.Mode))
	}
	if owner(a) != owner(b) {
		keys = append(keys, fmt.Sprintf("owner %s to %s", owner(a), owner(b)))
	}
	return keys
}

// keys names the keys that differ, none where one of the two does not parse.
func keys(f document.Format, old, now []byte) []string {
	a, err := document.Parse(f, old)
	if err != nil {
		return nil
	}
	b, err := document.Parse(f, now)
	if err != nil {
		return nil
	}
	var keys []string
	for _, c := range document.Changes(a, b) {
		if c.Path != "" {
			keys = append(keys, fmt.Sprintf("%s (%s)", c.Path, c.Kind))
		}
	}
	return keys
}

// unified is a unified diff, or a line in its place where the bytes are no text.
func unified(oldName, newName string, old, now []byte) string {
	for _, b := range [][]byte{old, now} {
		if bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
			return fmt.Sprintf("binary files %s and %s differ\n", oldName, newName)
		}
	}
	return udiff.Unified(oldName, newName, string(old), string(now))
}
