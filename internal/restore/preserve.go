package restore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// preserve replaces, in want, the bytes of files that have `preserve` keys by
// the same bytes with the values of those keys from newer snapshots. Such a
// failure never stops a restore: the file then goes back as it is, and a note
// says so.
func (p *Plan) preserve(store *snapshot.Store, id string, want map[string]place, from []snapshot.Manifest) error {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		w := want[path]
		set := setOf(p.Sets, w.member)
		keys := preserved(set, w.member)
		if len(keys) == 0 || w.member.Type != snapshot.File {
			continue
		}
		name, format := w.member.Name(), formatOf(set, w.member)
		target, err := store.ReadFile(id, name)
		if err != nil {
			return fmt.Errorf("cannot put back snapshot %s: %w", id, err)
		}
		source := newest(store, name, format, from)
		if source == nil {
			p.note("%s: goes back without preserved values: no newer version of it parses", name)
			continue
		}
		out, missed, err := document.Splice(format, target, source, keys)
		if err != nil {
			p.note("%s: goes back without preserved values: they could not be put into it and nothing else changed", name)
			continue
		}
		if len(missed) > 0 {
			p.note("%s: nothing to preserve at %s", name, strings.Join(missed, ", "))
		}
		if sum := digest(out); sum != w.member.SHA256 {
			p.splices[sum] = out
			w.member.SHA256, w.member.Size, w.spliced = sum, int64(len(out)), true
			want[path] = w
		}
	}
	return nil
}

func preserved(set snapshot.Set, m snapshot.Member) []string {
	var paths []string
	for _, key := range set.Preserve {
		if key.File == m.Path {
			paths = append(paths, key.Path)
		}
	}
	return paths
}

func formatOf(set snapshot.Set, m snapshot.Member) document.Format {
	if f, ok := set.Formats[m.Path]; ok {
		return f
	}
	return document.FormatOf(m.Path)
}

// newest returns the file called name from the first manifest in which it is a
// file and parses. A snapshot that cannot be read is passed over: these values
// are wanted, not needed.
func newest(store *snapshot.Store, name string, format document.Format, from []snapshot.Manifest) []byte {
	for _, m := range from {
		member, ok := m.Member(name)
		if !ok || member.Type != snapshot.File {
			continue
		}
		data, err := store.ReadFile(m.ID, name)
		if err != nil {
			continue
		}
		// Empty YAML parses, but says nothing of what the agent had there.
		if doc, err := document.Parse(format, data); err == nil && len(doc.TopLevel()) > 0 {
			return data
		}
	}
	return nil
}

// revert fills in Reverts from the steps.
func (p *Plan) revert(store *snapshot.Store) error {
	for _, s := range p.Steps {
		r := Revert{Name: strings.ToValidUTF8(s.Name(), "\ufffd")} // it is for the record
		switch s.Op {
		case OpPut:
			r.Kind = document.Changed
			if s.Have == nil {
				r.Kind = document.Added
			}
		case OpRepair:
			r.Kind = document.Changed
		case OpRemove:
			r.Kind = document.Removed
		default:
			continue
		}
		if s.Op == OpPut && s.Have != nil && s.Have.Type == snapshot.File && s.Want.Type == snapshot.File {
			format := formatOf(setOf(p.Sets, *s.Want), *s.Want)
			before, err := store.ReadFile(p.Keep, s.Name())
			if err != nil {
				return fmt.Errorf("cannot plan: what Keep took cannot be read: %w", err)
			}
			after, err := p.bytes(store, s)
			if err != nil {
				return err
			}
			r.Keys = changes(format, before, after)
		}
		p.Reverts = append(p.Reverts, r)
	}
	return nil
}

// changes returns the keys that differ, as far as they can be told.
func changes(format document.Format, before, after []byte) []document.Change {
	a, err := document.Parse(format, before)
	if err != nil {
		return nil
	}
	b, err := document.Parse(format, after)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(document.Changes(a, b), func(c document.Change) bool { return c.Path == "" })
}

// bytes returns what the file of step s shall hold.
func (p *Plan) bytes(store *snapshot.Store, s Step) ([]byte, error) {
	if s.Spliced {
		return p.splice(s.Want.SHA256)
	}
	return store.ReadFile(p.Snapshot, s.Name())
}
