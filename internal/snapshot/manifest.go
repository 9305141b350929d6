package snapshot

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"deadman"
)

// ManifestVersion is the version of the manifests this program writes.
const ManifestVersion = 1

// Manifest is what is known of one snapshot: snapshots/<id>/manifest.json. It
// is all that a recovery needs; no database is.
type Manifest struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Agent   string `json:"agent"`
	// Created is when the snapshot was saved, Seen when the same bytes were
	// last saved again.
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	// Hash, Content and Identity are as in Look.
	Hash     string `json:"hash"`
	Content  string `json:"content"`
	Identity string `json:"identity"`
	// AgentVersion is the agent's version at the capture, "" if unknown.
	AgentVersion string `json:"agent_version,omitempty"`
	// Evidence is one word for why it was captured, such as healthy, keep, arm.
	Evidence string           `json:"evidence,omitempty"`
	Standing deadman.Standing `json:"standing"`
	// Provisional: it is the known good, although nothing has proven it.
	Provisional bool `json:"provisional,omitempty"`
	// Pinned: a person asked to keep it.
	Pinned bool `json:"pinned,omitempty"`
	// Cured counts the rollbacks away from it that cured an incident.
	Cured   int      `json:"cured,omitempty"`
	History []Change `json:"history,omitempty"`
	Proofs  []Proof  `json:"proofs,omitempty"`
	// Sets are the patterns that were in force, Roots what the roots were, and
	// Follows the directories outside that links led into.
	Sets    []Set    `json:"sets"`
	Roots   []RootID `json:"roots"`
	Follows []RootID `json:"follows,omitempty"`
	// Members are sorted by Name.
	Members []Member `json:"members"`
	// Left was there when it was last saved, and is not in it, as in Look.
	Left []Left `json:"left,omitempty"`
}

// Change is one entry in the history of a snapshot's standing.
type Change struct {
	Time         time.Time        `json:"time"`
	Standing     deadman.Standing `json:"standing"`
	Reason       string           `json:"reason"`
	Incident     string           `json:"incident,omitempty"`
	AgentVersion string           `json:"agent_version,omitempty"`
}

// Proof is one good start on a snapshot. It belongs to the agent's version as
// well: a start under another version proves anew.
type Proof struct {
	Time         time.Time       `json:"time"`
	AgentVersion string          `json:"agent_version,omitempty"`
	Evidence     string          `json:"evidence"`
	Process      deadman.Process `json:"process"`
}

// Member returns the member with this name.
func (m Manifest) Member(name string) (Member, bool) { return find(m.Members, name) }

// Dirs are the directories of the set with this label, for Set.Dirs.
func (m Manifest) Dirs(label string) map[string]bool {
	dirs := map[string]bool{}
	for _, member := range m.Members {
		if member.Set == label && member.Type == Dir {
			dirs[member.Path] = true
		}
	}
	return dirs
}

// onDisk is when the snapshot's bytes were last seen live, as far as saving
// tells.
func (m Manifest) onDisk() time.Time {
	if m.Seen.After(m.Created) {
		return m.Seen
	}
	return m.Created
}

// Encode returns the manifest as it is stored. ParseManifest of it is m again.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("cannot write manifest: %v", err)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write manifest: %v", err)
	}
	return append(b, '\n'), nil
}

// ParseManifest reads what Encode wrote. A manifest whose hashes are not those
// of its members is refused, as is one whose names would lead out of the
// store; with an error the manifest is the zero one. Fields it does not know
// are ignored, so that a manifest of a later minor version can still be
// recovered from.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("cannot read manifest: %v", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("cannot read manifest: %v", err)
	}
	return m, nil
}

// validID reports whether s has the form of a snapshot id: the UTC second of its
// creation, the first eight digits of its hash, and a number where that is not
// unique, as in 20060102T150405Z-0123abcd-2.
func validID(s string) bool {
	const form = "00000000T000000Z-xxxxxxxx"
	if len(s) < len(form) {
		return false
	}
	for i, want := range []byte(form) {
		c := s[i]
		digit := '0' <= c && c <= '9'
		switch want {
		case '0':
			if !digit {
				return false
			}
		case 'x':
			if !digit && (c < 'a' || c > 'f') {
				return false
			}
		default:
			if c != want {
				return false
			}
		}
	}
	if len(s) == len(form) {
		return true
	}
	number, ok := strings.CutPrefix(s[len(form):], "-")
	return ok && number != "" && len(number) <= 9 && strings.Trim(number, "0123456789") == ""
}

func (m Manifest) check() error {
	if m.Version != ManifestVersion {
		return fmt.Errorf("it has version %d, and this program knows %d", m.Version, ManifestVersion)
	}
	if !validID(m.ID) {
		return fmt.Errorf("%q is not a snapshot id", m.ID)
	}
	if err := validRoots(m.Sets); err != nil {
		return err
	}
	for i, member := range m.Members {
		if err := member.check(); err != nil {
			return fmt.Errorf("member %q: %w", member.Name(), err)
		}
		if !slices.ContainsFunc(m.Sets, func(s Set) bool { return s.Label == member.Set }) {
			return fmt.Errorf("member %q is of no set", member.Name())
		}
		if i > 0 && m.Members[i-1].Name() >= member.Name() {
			return fmt.Errorf("member %q is out of order", member.Name())
		}
	}
	if m.Hash != hash(m.Members) || m.Content != content(m.Members) {
		return errors.New("its hashes are not those of its members")
	}
	if !isSum(m.Identity) {
		return errors.New("its identity is not a sha256")
	}
	return nil
}

// CheckPaths reports why the names in m cannot be those of a member: a path must
// lead down from its root, a label be one element, a followed path be absolute,
// and none may hold a NUL.
func (m Member) CheckPaths() error {
	switch {
	case !validPath(m.Path):
		return errors.New("the path is not a relative one")
	case m.Set != "" && (strings.Contains(m.Set, "/") || !validPath(m.Set)):
		return errors.New("the label is not a single path element")
	case m.Followed != "" && (!filepath.IsAbs(m.Followed) || strings.ContainsRune(m.Followed, 0)):
		return errors.New("the followed path is not an absolute one")
	case strings.ContainsRune(m.Target, 0):
		return errors.New("the link holds a NUL")
	}
	return nil
}

func (m Member) check() error {
	if err := m.CheckPaths(); err != nil {
		return err
	}
	switch {
	case m.Mode > 0o7777:
		return fmt.Errorf("mode %o has unknown bits", m.Mode)
	case m.Size < 0 || m.UID < 0 || m.GID < 0:
		return errors.New("size or owner is negative")
	}
	switch m.Type {
	case File:
		if !isSum(m.SHA256) {
			return errors.New("sha256 is not one")
		}
	case Link:
		if m.Target == "" || m.SHA256 != sum([]byte(m.Target)) {
			return errors.New("sha256 is not that of the link")
		}
	case Dir:
		if m.SHA256 != "" {
			return errors.New("a directory has no sha256")
		}
	default:
		return fmt.Errorf("type %q is unknown", m.Type)
	}
	return nil
}

// isSum reports whether s is a SHA-256 in lower-case hex.
func isSum(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64 && s == strings.ToLower(s)
}
