package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mirror holds a copy of each agent's newest state in a file of its own, in the
// agent's directory, so that a round that finds nothing to record need not open
// the database: that would be a third of its cost.
//
// It must never be older than the database. So it is removed before a commit and
// written after it, by whoever holds the agent's lock, and a crash in between
// leaves none. Nothing of this is synced; what a loss of power brings back is of
// another boot, and does not count. Neither does the mirror of another database,
// or of one whose head is damaged or of another version: who reads it will say so.
type mirror struct {
	// dir is the directory of the agents' directories, boot the id of this boot;
	// with "" there are no mirrors.
	dir, boot string
}

const mirrorName = "state.json"

// reflection is what the file holds.
type reflection struct {
	Boot     string `json:"boot"`
	Database string `json:"database"`
	Saved    Saved  `json:"saved"`
}

// drop removes the mirror of an agent. What cannot be removed must not be
// outdated either.
func (m mirror) drop(agent string) error {
	err := os.Remove(filepath.Join(m.dir, agent, mirrorName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("cannot commit: %w", err)
	}
	return nil
}

// write mirrors what was just committed to a database. A mirror that cannot be
// written costs time, and nothing else.
func (m mirror) write(saved Saved, database string) {
	id, ok := fileID(database)
	if m.boot == "" || !ok {
		return
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // a state is kept byte for byte
	if enc.Encode(reflection{m.boot, id, saved}) != nil {
		return
	}
	path := filepath.Join(m.dir, saved.Agent, mirrorName)
	if os.WriteFile(path+".new", text.Bytes(), 0o600) == nil {
		_ = os.Rename(path+".new", path)
	}
}

// read returns the mirrored state of an agent, if there is one of this database.
func (m mirror) read(agent, database string) (Saved, bool) {
	if m.boot == "" {
		return Saved{}, false
	}
	text, err := os.ReadFile(filepath.Join(m.dir, agent, mirrorName))
	if err != nil {
		return Saved{}, false
	}
	var r reflection
	id, ok := fileID(database)
	if !ok || !isOurs(database) || json.Unmarshal(text, &r) != nil || r.Boot != m.boot || r.Database != id || r.Saved.Agent != agent {
		return Saved{}, false
	}
	return r.Saved, true
}

func isOurs(database string) bool {
	f, err := os.Open(database)
	if err != nil {
		return false
	}
	defer f.Close()
	return headerIsOurs(f)
}

// fileID tells one file from another that takes its name.
func fileID(path string) (string, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "", false
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), true
}
