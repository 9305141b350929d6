package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"deadman"
	"deadman/internal/atomicfile"
)

// knownGood is the link to the files of the known good. Other programs read
// it, so its name and its shape are promised.
const knownGood = "last-known-good"

// maxHistory is how many changes of standing a manifest remembers.
const maxHistory = 50

// Mark changes the standing of a snapshot to change.Standing and adds change to
// its history. Doing it again with the same change does nothing.
func (s *Store) Mark(id string, change Change) error {
	return s.update(id, func(m *Manifest) {
		m.Standing = change.Standing
		m.note(change)
	})
}

// Prove adds a proof and makes the snapshot proven. A proof under a version of
// the agent that has one already takes its place.
func (s *Store) Prove(id string, proof Proof) error {
	return s.update(id, func(m *Manifest) {
		proof.Time = proof.Time.UTC()
		m.Proofs = slices.DeleteFunc(m.Proofs, func(p Proof) bool { return p.AgentVersion == proof.AgentVersion })
		m.Proofs = append(m.Proofs, proof)
		m.Provisional = false
		if m.Standing != deadman.Proven {
			m.Standing = deadman.Proven
			m.note(Change{Time: proof.Time, Standing: deadman.Proven, Reason: proof.Evidence, AgentVersion: proof.AgentVersion})
		}
	})
}

// Pin keeps a snapshot from retention, or lets it go.
func (s *Store) Pin(id string, pinned bool) error {
	return s.update(id, func(m *Manifest) { m.Pinned = pinned })
}

// Blame notes that a rollback away from the snapshot cured change.Incident, and
// returns how many have. An incident counts once, however often it is told.
// The standing becomes change.Standing unless that is unset.
func (s *Store) Blame(id string, change Change) (cured int, err error) {
	err = s.update(id, func(m *Manifest) {
		told := slices.ContainsFunc(m.History, func(c Change) bool {
			return c.Incident == change.Incident && c.Reason == change.Reason
		})
		if change.Standing == deadman.StandingUnset {
			change.Standing = m.Standing
		}
		m.Standing = change.Standing
		if !told {
			m.Cured++
		}
		m.note(change)
		cured = m.Cured
	})
	return cured, err
}

// SetKnownGood swaps the link to the files of this snapshot and notes whether
// it is known good without proof. The note comes first, so a reader of the new
// link never takes a provisional one for proven.
func (s *Store) SetKnownGood(id string, provisional bool) error {
	id, err := s.resolve(id)
	if err != nil {
		return err
	}
	before, had, _ := s.KnownGood()
	if err := s.update(id, func(m *Manifest) { m.Provisional = provisional }); err != nil {
		return err
	}
	s.mu.Lock()
	err = atomicfile.Symlink(s.root, filesOf(id), knownGood)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("cannot promote snapshot %s: %w", id, err)
	}
	if had && before.ID != id && before.Provisional {
		return s.update(before.ID, func(m *Manifest) { m.Provisional = false })
	}
	return nil
}

// KnownGood returns the snapshot that the link names. Without a link there is
// none, and no error; a link that leads to no readable snapshot is an error,
// and the caller's next best target is a proven one of List.
func (s *Store) KnownGood() (Manifest, bool, error) {
	id, err := s.knownGoodID()
	for err == nil && id != "" {
		var m Manifest
		if m, err = s.manifest(id); err == nil {
			return m, true, nil
		}
		// The writer may have swapped the link and removed what it named before.
		if now, e := s.knownGoodID(); e == nil && now != id {
			id, err = now, nil
		}
	}
	return Manifest{}, false, err
}

func (s *Store) knownGoodID() (string, error) {
	target, err := s.root.Readlink(knownGood)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("cannot read the known good of %s: %w", s.agent, err)
	}
	id := strings.TrimSuffix(strings.TrimPrefix(target, snapshots+"/"), "/files")
	if !validID(id) || filesOf(id) != target {
		return "", fmt.Errorf("cannot read the known good of %s: its link leads to %q", s.agent, target)
	}
	return id, nil
}

// note adds to the history, unless that is what it says last.
func (m *Manifest) note(change Change) {
	change.Time = change.Time.UTC()
	if n := len(m.History); n > 0 && m.History[n-1] == change {
		return
	}
	m.History = append(m.History, change)
	if n := len(m.History); n > maxHistory {
		m.History = slices.Clone(m.History[n-maxHistory:])
	}
}

// update rewrites one manifest.
func (s *Store) update(id string, change func(*Manifest)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.Load(id)
	if err != nil {
		return err
	}
	change(&m)
	return s.write(m)
}

// write replaces the manifest of a snapshot.
func (s *Store) write(m Manifest) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(s.root, manifestOf(m.ID), b, 0o600)
}
