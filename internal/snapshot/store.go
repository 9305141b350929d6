package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"deadman/internal/atomicfile"
)

// ErrDamaged is that stored bytes are not those that the manifest promises.
var ErrDamaged = errors.New("its bytes are not those that were stored")

// Store is the directory of one agent in the state directory. What it holds is
// complete or absent: a snapshot appears by one rename, and a manifest changes
// by one.
//
// Any number of readers may use it at any time. The methods that write (Save,
// Mark, Prove, Pin, Blame, SetKnownGood and Remove) are for the one actor that
// holds the agent's lock; within this process the store orders them itself.
type Store struct {
	dir   string // for messages
	agent string
	root  *os.Root
	mu    sync.Mutex // held by whoever writes
}

const (
	snapshots = "snapshots"
	// unfinished begins the name of a directory in snapshots/ that a crash may
	// leave: a snapshot not yet complete, or no longer. Nobody reads it, and the
	// next Save or Remove clears it away. Open does not: another process may be
	// in the middle of a Save.
	unfinished = ".tmp-"
)

// Open opens the store in dir, <state>/agents/<agent>, and creates what is
// absent with mode 0700.
func Open(dir, agent string) (*Store, error) {
	if strings.Contains(agent, "/") || !validPath(agent) {
		return nil, fmt.Errorf("cannot open store: %q is not the name of an agent", agent)
	}
	if _, err := os.Stat(filepath.Join(dir, snapshots)); errors.Is(err, fs.ErrNotExist) {
		if err := atomicfile.MkdirAll(filepath.Join(dir, snapshots), 0o700); err != nil {
			return nil, fmt.Errorf("cannot create store: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open store: %w", err)
	}
	return &Store{dir: dir, agent: agent, root: root}, nil
}

// Close releases the store's directory.
func (s *Store) Close() error { return s.root.Close() }

// List returns all manifests, newest first. One that cannot be read is part of
// the joined error and hides none of the others.
func (s *Store) List() ([]Manifest, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var list []Manifest
	var broken []error
	for _, id := range ids {
		m, err := s.manifest(id)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !s.exists(id):
			// removed since the directory was read
		case err != nil:
			broken = append(broken, err)
		default:
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Manifest) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	return list, errors.Join(broken...)
}

// Has reports whether the store has this snapshot, as far as its name tells: what
// can be asked in every round. Only Verify reads its bytes.
func (s *Store) Has(id string) bool {
	_, err := os.Lstat(filepath.Join(s.dir, manifestOf(id)))
	return !errors.Is(err, fs.ErrNotExist)
}

// Moved reports whether the directory that was opened is no longer what is at its
// path: it was removed, or another one is there.
func (s *Store) Moved() bool {
	held, err := s.root.Stat(".")
	there, thereErr := os.Stat(s.dir)
	return errors.Is(thereErr, fs.ErrNotExist) || err == nil && thereErr == nil && !os.SameFile(held, there)
}

// Load returns the manifest of the snapshot with this id, or with the only id
// that begins so. The error wraps fs.ErrNotExist when there is none.
func (s *Store) Load(id string) (Manifest, error) {
	full, err := s.resolve(id)
	if err != nil {
		return Manifest{}, err
	}
	return s.manifest(full)
}

// ByHash returns the snapshot with this bytes hash, if there is one. It reads
// one manifest, not all. If the one that it should be is broken, there is none.
func (s *Store) ByHash(hash string) (Manifest, bool, error) {
	if !isSum(hash) {
		return Manifest{}, false, nil
	}
	ids, err := s.ids()
	if err != nil {
		return Manifest{}, false, err
	}
	for _, id := range slices.Backward(ids) {
		if !strings.HasPrefix(id[strings.IndexByte(id, '-')+1:], hash[:8]) {
			continue
		}
		if m, err := s.manifest(id); err == nil && m.Hash == hash {
			return m, true, nil
		}
	}
	return Manifest{}, false, nil
}

// ByIdentity returns the snapshots whose identity, under the preserve keys in
// force when each was saved, is this one; newest first. Broken manifests are
// reported as List does.
func (s *Store) ByIdentity(identity string) ([]Manifest, error) {
	list, err := s.List()
	return slices.DeleteFunc(list, func(m Manifest) bool { return m.Identity != identity }), err
}

// IdentityOf returns the identity of a stored snapshot under the preserve keys
// of sets. It differs from the stored one when those keys have changed since.
func (s *Store) IdentityOf(m Manifest, sets []Set) (string, error) {
	return identity(sets, m.Members, func(name string) ([]byte, error) { return s.ReadFile(m.ID, name) })
}

// ReadFile returns the bytes of one file of a snapshot. They are those that
// were captured, or the error wraps [ErrDamaged].
func (s *Store) ReadFile(id, name string) ([]byte, error) {
	m, err := s.Load(id)
	if err != nil {
		return nil, err
	}
	member, ok := m.Member(name)
	if !ok || member.Type != File {
		return nil, fmt.Errorf("cannot read %q of snapshot %s: no such file", name, m.ID)
	}
	return s.read(m.ID, member)
}

// Verify reads every byte of a snapshot. The error names each file that is
// missing or wrapped in [ErrDamaged].
func (s *Store) Verify(id string) error {
	m, err := s.Load(id)
	if err != nil {
		return err
	}
	var errs []error
	for _, member := range m.Members {
		if member.Type == File {
			_, err := s.read(m.ID, member)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) read(id string, m Member) ([]byte, error) {
	name := m.Name()
	b, err := s.root.ReadFile(filesOf(id) + "/" + name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot read %q of snapshot %s: %w: the file is gone", name, id, ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("cannot read %q of snapshot %s: %w", name, id, err)
	case sum(b) != m.SHA256:
		return nil, fmt.Errorf("cannot read %q of snapshot %s: %w", name, id, ErrDamaged)
	}
	return b, nil
}

// ids returns the ids of all snapshots, oldest first.
func (s *Store) ids() ([]string, error) {
	names, err := s.names()
	return slices.DeleteFunc(names, func(name string) bool { return !validID(name) }), err
}

// names returns all names in snapshots/, sorted.
func (s *Store) names() ([]string, error) {
	d, err := s.root.Open(snapshots)
	if err != nil {
		return nil, fmt.Errorf("cannot list snapshots of %s: %w", s.agent, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list snapshots of %s: %w", s.agent, err)
	}
	slices.Sort(names)
	return names, nil
}

func (s *Store) resolve(id string) (string, error) {
	if validID(id) && s.exists(id) {
		return id, nil
	}
	ids, err := s.ids()
	if err != nil {
		return "", err
	}
	ids = slices.DeleteFunc(ids, func(full string) bool { return id == "" || !strings.HasPrefix(full, id) })
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("cannot find snapshot %q of %s: %w", id, s.agent, fs.ErrNotExist)
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("cannot tell which snapshot %q of %s is meant: %s", id, s.agent, strings.Join(ids, ", "))
}

func (s *Store) exists(id string) bool {
	_, err := s.root.Lstat(dirOf(id))
	return err == nil
}

// manifest reads one manifest; it must be about the snapshot it lies in.
func (s *Store) manifest(id string) (Manifest, error) {
	b, err := s.root.ReadFile(manifestOf(id))
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot read snapshot %s of %s: %w", id, s.agent, err)
	}
	m, err := ParseManifest(b)
	switch {
	case err != nil:
		return Manifest{}, fmt.Errorf("cannot read snapshot %s of %s: %w: %w", id, s.agent, ErrDamaged, err)
	case m.ID != id:
		return Manifest{}, fmt.Errorf("cannot read snapshot %s of %s: %w: its manifest is that of %s", id, s.agent, ErrDamaged, m.ID)
	}
	return m, nil
}

func dirOf(id string) string      { return snapshots + "/" + id }
func filesOf(id string) string    { return dirOf(id) + "/files" }
func manifestOf(id string) string { return dirOf(id) + "/manifest.json" }
