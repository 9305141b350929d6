package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// Held lists the versions that are known to be bad, of one agent or of all. With a
// file, it lists those that have the file's content, as the member of that name if
// one is given, unless a proven version has it too: then it is not what made them
// bad. Beside a list, an error says what could not be read.
func (d *Daemon) Held(names []string, file, member string) ([]api.Held, error) {
	agents, err := d.agents(names)
	if err != nil {
		return nil, err
	}
	var content []byte
	if file != "" {
		if content, err = os.ReadFile(file); err != nil {
			return nil, refuse("", "cannot read what is to be checked: %v", err)
		}
	}
	var held []api.Held
	var errs []error
	for _, a := range agents {
		v, err := d.view(a.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if v.store == nil {
			continue
		}
		all, err := v.store.List()
		errs = append(errs, err)
		bad := slices.DeleteFunc(slices.Clone(all), func(m snapshot.Manifest) bool { return m.Standing != deadman.Bad })
		if file == "" {
			for _, m := range bad {
				held = append(held, describeHeld(m, ""))
			}
		} else {
			held = append(held, v.guilty(all, bad, content, member)...)
		}
		v.close()
	}
	return held, errors.Join(errs...)
}

// guilty are those of the bad versions that have this content.
func (v *view) guilty(all, bad []snapshot.Manifest, content []byte, member string) []api.Held {
	var held []api.Held
	for _, m := range bad {
		for _, is := range m.Members {
			if is.Type != snapshot.File || is.Reads || member != "" && is.Name() != member && is.Path != member {
				continue
			}
			if !v.same(m, is, content) {
				continue
			}
			proven := slices.ContainsFunc(all, func(good snapshot.Manifest) bool {
				was, ok := good.Member(is.Name())
				return ok && good.Standing == deadman.Proven && was.Type == snapshot.File && v.same(good, was, content)
			})
			if !proven {
				held = append(held, describeHeld(m, is.Name()))
			}
		}
	}
	return held
}

// same reports whether a stored file is this content, but for the values of
// preserve keys.
func (v *view) same(m snapshot.Manifest, is snapshot.Member, content []byte) bool {
	sum := sha256.Sum256(content)
	if is.SHA256 == hex.EncodeToString(sum[:]) {
		return true
	}
	for _, set := range v.sets {
		if set.Label != is.Set {
			continue
		}
		var paths []string
		for _, key := range set.Preserve {
			if key.File == is.Path {
				paths = append(paths, key.Path)
			}
		}
		if len(paths) == 0 {
			return false
		}
		format, ok := set.Formats[is.Path]
		if !ok {
			format = document.FormatOf(filepath.Base(is.Path))
		}
		stored, err := v.store.ReadFile(m.ID, is.Name())
		if err != nil {
			return false
		}
		a, aok := document.Identity(format, stored, paths)
		b, bok := document.Identity(format, content, paths)
		return aok && bok && string(a) == string(b)
	}
	return false
}

func describeHeld(m snapshot.Manifest, member string) api.Held {
	h := api.Held{Agent: m.Agent, Snapshot: m.ID, Hash: m.Hash, Member: member, Why: blameOf(m)}
	for _, c := range slices.Backward(m.History) {
		if c.Standing == deadman.Bad {
			h.Incident, h.Time, h.Reason = c.Incident, c.Time, sentence(c.Reason)
			break
		}
	}
	return h
}
