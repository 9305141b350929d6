package record

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"deadman/internal/atomicfile"
)

// spoolName is the file's name, in the state and in the runtime directory.
const spoolName = "spool.jsonl"

// spool is a file of commits that wait for the database: a head that names
// this filling of it, then one line a commit. It is appended to and emptied
// under flock, because several processes share it. It is emptied and not
// removed, so that whoever waits for the lock waits on the right file.
type spool struct{ path string }

type spoolHead struct {
	// Spool is random: the database remembers by it how far this filling has
	// been replayed.
	Spool string `json:"spool"`
}

type spoolLine struct {
	Seq     int64   `json:"seq"` // from 1
	State   *Saved  `json:"state,omitempty"`
	Entries []Entry `json:"entries"`
}

// filling is what a spool holds.
type filling struct {
	id    string
	lines []spoolLine
	// unread are lines that are whole and make no sense. They are kept too.
	unread [][]byte
	// size is the length up to the last whole line; what follows was torn
	// by a crash or a full disk in the middle of a write, and never confirmed
	// to anybody.
	size int64
}

// state returns the newest state of an agent in the filling.
func (c filling) state(agent string) (Saved, bool) {
	var newest Saved
	for _, l := range c.lines {
		if l.State != nil && l.State.Agent == agent && l.State.Revision > newest.Revision {
			newest = *l.State
		}
	}
	return newest, newest.Revision > 0
}

func (c filling) empty() bool { return len(c.lines) == 0 && len(c.unread) == 0 }

// read returns what the spool holds, without a lock: lines are only ever
// added, and a half-written one does not count. No file is an empty spool.
func (s spool) read() (filling, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return filling{}, nil
	}
	if err != nil {
		return filling{}, fmt.Errorf("cannot read the spool: %w", err)
	}
	defer f.Close()
	return parseSpool(f)
}

func parseSpool(r io.Reader) (filling, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return filling{}, fmt.Errorf("cannot read the spool: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	c := filling{size: int64(len(text))}
	for line := range bytes.Lines(text) {
		if c.id == "" {
			var head spoolHead
			if json.Unmarshal(line, &head) == nil && head.Spool != "" {
				c.id = head.Spool
				continue
			}
			// The head is damaged. Its bytes name the filling as well as it did.
			c.id = fmt.Sprintf("headless %x", sha256.Sum256(line))
		}
		var l spoolLine
		if err := json.Unmarshal(line, &l); err != nil || l.Seq == 0 {
			c.unread = append(c.unread, line)
			continue
		}
		c.lines = append(c.lines, l)
	}
	return c, nil
}

// held is a spool whose lock we have.
type held struct {
	filling
	file *os.File
}

func (h *held) close() { unlockFile(h.file) }

// hold locks the spool and reads it. With create it makes the file and its
// directory; without, a missing one is nil.
func (s spool) hold(ctx context.Context, create bool) (*held, error) {
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if create {
		flags |= os.O_CREATE
		if err := atomicfile.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
			return nil, fmt.Errorf("cannot create the spool: %w", err)
		}
	}
	made := create && !exists(s.path)
	f, err := os.OpenFile(s.path, flags, 0o600)
	if !create && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the spool: %w", err)
	}
	if err := lockFile(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	if made {
		if err := syncDir(filepath.Dir(s.path)); err != nil {
			unlockFile(f)
			return nil, err
		}
	}
	c, err := parseSpool(f)
	if err != nil {
		unlockFile(f)
		return nil, err
	}
	return &held{filling: c, file: f}, nil
}

// add appends one commit and returns when it is on disk. A failed write is cut
// off again, so that it neither counts nor takes space.
func (h *held) add(saved *Saved, entries []Entry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a state is kept byte for byte
	id := h.id
	if id == "" {
		id = rand.Text()
		if err := enc.Encode(spoolHead{Spool: id}); err != nil {
			return fmt.Errorf("cannot spool: %w", err)
		}
	}
	var last int64
	if n := len(h.lines); n > 0 {
		last = h.lines[n-1].Seq
	}
	line := spoolLine{Seq: last + 1, State: saved, Entries: entries}
	if err := enc.Encode(line); err != nil {
		return fmt.Errorf("cannot spool: %w", err)
	}
	err := h.trim() // of a torn line that a crash has left
	if err == nil {
		_, err = h.file.WriteAt(b.Bytes(), h.size)
	}
	if err == nil {
		err = h.file.Sync()
	}
	if err != nil {
		_ = h.trim()
		return fmt.Errorf("cannot spool: %w", err)
	}
	h.id, h.lines, h.size = id, append(h.lines, line), h.size+int64(b.Len())
	return nil
}

// trim cuts off what follows the last whole line. It leaves a file without such
// a rest alone, because truncating frees what prepare has allocated.
func (h *held) trim() error {
	info, err := h.file.Stat()
	if err != nil || info.Size() == h.size {
		return err
	}
	return h.file.Truncate(h.size)
}

// prepare allocates space for some lines to come. It is done with what the
// reserve has just given up, before the database gets to it: a database that
// finds too little for a commit still takes all there is.
func (s spool) prepare(ctx context.Context) error {
	h, err := s.hold(ctx, true)
	if err != nil {
		return err
	}
	defer h.close()
	return allocateBeyond(h.file, h.size+spoolSpace)
}

// spoolSpace is room for the states and entries of a dozen rounds.
const spoolSpace = 64 << 10

// clear empties the spool. Nobody waits for that to be on the disk: a filling that
// comes back is one that the database has taken in, and knows.
func (h *held) clear() error {
	if err := h.file.Truncate(0); err != nil {
		return fmt.Errorf("cannot empty the spool: %w", err)
	}
	h.filling = filling{}
	return nil
}
