package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
)

// verifyEvery is how often the stored bytes of the known good are read and
// compared: what nobody reads until the death must not be found damaged then. A
// promotion and a Keep read them too.
const verifyEvery = time.Hour

// lost are the snapshots that the state relies on and the store can no longer
// give back. That they are there is asked in every healthy round, at the price of
// one look at a name; that their bytes are right, once an hour.
func (w *world) lost(s lifecycle.State, r lifecycle.Round) []string {
	if r.Alive != deadman.Healthy || s.Incident.Open() {
		return nil
	}
	var lost, asked []string
	for _, id := range []string{s.Known.Snapshot, s.Seen.Snapshot, s.Life.On.Snapshot} {
		if id == "" || slices.Contains(asked, id) {
			continue
		}
		asked = append(asked, id)
		if !w.store.Has(id) {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 && w.store.Moved() {
		return nil // All of it is gone, with the lock: whoever watches begins anew.
	}
	if id := s.Known.Snapshot; id != "" && !slices.Contains(lost, id) && w.verifyDue() {
		err := w.store.Verify(id)
		if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			return append(lost, id) // Due again at once, until it is mended.
		}
		w.verified()
	}
	return lost
}

// verifyDue reports whether the known good is to be read in full. The mtime of a
// file says when that was done last, for the next one-shot.
func (w *world) verifyDue() bool {
	info, err := os.Stat(filepath.Join(w.dir, "last-verify"))
	if err != nil {
		return true
	}
	age := time.Since(info.ModTime())
	return age < 0 || age >= verifyEvery
}

func (w *world) verified() { touch(filepath.Join(w.dir, "last-verify")) }

// touch sets the mtime of a file that holds nothing.
func touch(path string) {
	now := time.Now()
	if err := os.Chtimes(path, now, now); errors.Is(err, os.ErrNotExist) {
		_ = os.WriteFile(path, nil, 0o600)
	}
}
