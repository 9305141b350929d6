package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/atomicfile"
)

// Meta is what is known about a look that is to be saved.
type Meta struct {
	Now          time.Time
	AgentVersion string
	Evidence     string           // one word for why: healthy, keep, arm
	Standing     deadman.Standing // of a new snapshot; unset is Candidate
}

// NoSpaceError is that the file system of the store is full. No part of the
// snapshot was left behind.
type NoSpaceError struct {
	Dir string
	Err error
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("cannot save snapshot: no space left for %s; nothing was saved", e.Dir)
}

// Hint says what a person can do about it.
func (e *NoSpaceError) Hint() string {
	return "free space there, or lower retention.newest; snapshots that nobody needs can be removed as whole directories"
}

func (e *NoSpaceError) Unwrap() error { return e.Err }

// Save stores a look and returns its manifest. When it returns, the snapshot is
// complete and durable; when it fails, there is none, and the error is a
// [*NoSpaceError] if the disk is full.
//
// A look whose bytes hash is stored already makes no second snapshot: that one
// is returned. Its standing, history and evidence (inodes, ctimes) stay what
// they were; Seen becomes meta.Now; sets, identity and where the roots are become today's, because
// under these patterns these bytes are the whole config; files that were
// damaged in the store are written again. What was left is today's, too.
func (s *Store) Save(look *Look, sets []Set, meta Meta) (Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sweep(); err != nil {
		return Manifest{}, err
	}
	sets = slices.Clone(sets)
	for i := range sets {
		sets[i].Dirs = nil
	}
	m, stored, err := s.ByHash(look.Hash)
	if err != nil {
		return Manifest{}, err
	}
	if stored {
		m, err = s.saveAgain(m, look, sets, meta)
	} else {
		m, err = s.saveNew(look, sets, meta)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return Manifest{}, &NoSpaceError{Dir: s.dir, Err: err}
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot save snapshot: %w", err)
	}
	return m, nil
}

func (s *Store) saveAgain(m Manifest, look *Look, sets []Set, meta Meta) (Manifest, error) {
	for _, member := range m.Members {
		if member.Type != File {
			continue
		}
		if _, err := s.read(m.ID, member); err == nil {
			continue
		}
		name := filesOf(m.ID) + "/" + member.Name()
		if err := s.root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return Manifest{}, err
		}
		if err := atomicfile.WriteFile(s.root, name, look.Bytes(member.Name()), 0o600); err != nil {
			return Manifest{}, err
		}
	}
	m.Seen, m.Identity, m.Left = meta.Now.UTC(), look.Identity, look.Left
	// Where the roots are is today's as well: the caller saves no look that went
	// astray. Their modes and owners are those of the snapshot.
	m.Roots, m.Follows = relocated(m.Roots, look.Roots), relocated(m.Follows, look.Follows)
	if !reflect.DeepEqual(m.Sets, sets) {
		m.Sets, m.Roots = sets, look.Roots
		if err := atomicfile.WriteFile(s.root, dirOf(m.ID)+"/restore.sh", script(m), 0o700); err != nil {
			return Manifest{}, err
		}
	}
	return m, s.write(m)
}

// relocated is was with today's places, and with what was not in it.
func relocated(was, now []RootID) []RootID {
	was = slices.Clone(was)
	for _, id := range now {
		i := slices.IndexFunc(was, id.is)
		if i < 0 {
			was = append(was, id)
			continue
		}
		was[i].Real, was[i].Device, was[i].Inode = id.Real, id.Device, id.Inode
	}
	return was
}

func (s *Store) saveNew(look *Look, sets []Set, meta Meta) (Manifest, error) {
	if meta.Standing == deadman.StandingUnset {
		meta.Standing = deadman.Candidate
	}
	now := meta.Now.UTC()
	m := Manifest{
		Version: ManifestVersion, ID: s.newID(now, look.Hash), Agent: s.agent,
		Created: now, Seen: now,
		Hash: look.Hash, Content: look.Content, Identity: look.Identity,
		AgentVersion: meta.AgentVersion, Evidence: meta.Evidence, Standing: meta.Standing,
		Sets: sets, Roots: look.Roots, Follows: look.Follows, Members: look.Members, Left: look.Left,
	}
	encoded, err := m.Encode()
	if err != nil {
		return Manifest{}, err
	}
	temp := unfinished + m.ID
	if err := s.fill(temp, m, look, encoded); err != nil {
		_ = s.root.RemoveAll(snapshots + "/" + temp) // What cannot be removed now the next sweep removes.
		return Manifest{}, err
	}
	if err := s.root.Rename(snapshots+"/"+temp, dirOf(m.ID)); err != nil {
		_ = s.root.RemoveAll(snapshots + "/" + temp)
		return Manifest{}, err
	}
	// Only now does the name survive a power failure.
	return m, atomicfile.SyncDir(s.root, snapshots)
}

// fill makes the directory of an unfinished snapshot, durably: the files, then
// what says that they are there, then the directories that name them.
func (s *Store) fill(temp string, m Manifest, look *Look, manifest []byte) error {
	base := snapshots + "/" + temp
	if err := s.root.Mkdir(base, 0o700); err != nil {
		return err
	}
	if err := s.root.Mkdir(base+"/files", 0o700); err != nil {
		return err
	}
	dirs := []string{base, base + "/files"}
	for _, member := range m.Members {
		if member.Type != File {
			continue
		}
		name := base + "/files/" + member.Name()
		if dir := path.Dir(name); !slices.Contains(dirs, dir) {
			if err := s.root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			for ; !slices.Contains(dirs, dir); dir = path.Dir(dir) {
				dirs = append(dirs, dir)
			}
		}
		if err := s.add(name, look.Bytes(member.Name()), 0o600); err != nil {
			return err
		}
	}
	if err := s.add(base+"/restore.sh", script(m), 0o700); err != nil {
		return err
	}
	if err := s.add(base+"/manifest.json", manifest, 0o600); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := atomicfile.SyncDir(s.root, dir); err != nil {
			return err
		}
	}
	return nil
}

// add writes a new file and syncs it.
func (s *Store) add(name string, data []byte, perm fs.FileMode) error {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// newID returns an id that is not taken.
func (s *Store) newID(now time.Time, hash string) string {
	id := now.Format("20060102T150405Z") + "-" + hash[:8]
	for n, base := 2, id; s.exists(id); n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	return id
}

// sweep removes what a crash left unfinished, and makes the directory if somebody
// has removed it since Open. The caller holds the agent's
// lock, so nobody is in the middle of it.
func (s *Store) sweep() error {
	if err := s.root.Mkdir(snapshots, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("their directory cannot be made: %w", err)
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, unfinished) {
			if err := s.root.RemoveAll(snapshots + "/" + name); err != nil {
				return fmt.Errorf("an unfinished one cannot be cleared away: %w", err)
			}
		}
	}
	return nil
}
