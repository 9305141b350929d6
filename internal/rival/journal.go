package rival

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/atomicfile"
)

// Deed is how something is moved aside. The list is closed.
type Deed string

// The deeds.
const (
	Commented Deed = "commented-out" // lines of a file
	Renamed   Deed = "renamed"       // a file of its own
	Masked    Deed = "masked"        // a unit that a package has brought
	Killed    Deed = "killed"        // a process, which nothing brings back
)

// entry is one deed in the journal. It is on disk before the deed is done, and goes
// once that is undone. Whether it was done is seen from the file itself, so a crash
// at any point leaves nothing to guess.
type entry struct {
	Schema int       `json:"schema"`
	Time   time.Time `json:"time"`
	Seq    int       `json:"seq"`
	Deed   Deed      `json:"deed"`
	Agents []string  `json:"agents"`
	Rivals []string  `json:"rivals"`
	Form   Form      `json:"form"`

	// Path is where it was, Aside what it is called meanwhile, Temp a temporary
	// name beside it. Link is where it leads if it is a link.
	Path  string `json:"path,omitempty"`
	Aside string `json:"aside,omitempty"`
	Temp  string `json:"temp,omitempty"`
	Link  string `json:"link,omitempty"`
	// Before and After are SHA-256 of the bytes; Text are those before, and Lines which
	// of them were commented out.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Text   []byte `json:"text,omitempty"`
	Lines  []span `json:"lines,omitempty"`

	Unit    string          `json:"unit,omitempty"`
	User    string          `json:"user,omitempty"`
	Active  bool            `json:"active,omitempty"` // and stopped by us
	Process deadman.Process `json:"process,omitzero"`
	Program string          `json:"program,omitempty"`

	file string // its name in the journal
}

const journalSchema = 1

// journal is the directory of entries, locked while it is open.
type journal struct {
	root    *os.Root
	lock    *os.File
	entries []entry // oldest first
}

// BusyError is that another deadman has the journal in hand.
type BusyError struct{}

func (*BusyError) Error() string { return "cannot change rivals: another deadman rivals is at work" }

// openJournal opens the journal, making it if need be.
func openJournal(dir string) (*journal, error) {
	if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the journal of rivals: %v", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal of rivals: %v", err)
	}
	j := &journal{root: root}
	if j.lock, err = root.Open("."); err == nil {
		err = syscall.Flock(int(j.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		j.close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &BusyError{}
		}
		return nil, fmt.Errorf("cannot lock the journal of rivals: %v", err)
	}
	if j.entries, err = readEntries(root); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// readEntries are all entries of a journal. One that cannot be read is an error: it
// may be all that is known of a file's bytes.
func readEntries(root *os.Root) ([]entry, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of rivals: %v", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of rivals: %v", err)
	}
	var all []entry
	for _, name := range names {
		if path.Ext(name) != ".json" || strings.HasPrefix(name, ".") {
			continue
		}
		data, err := root.ReadFile(name)
		var e entry
		if err == nil {
			err = json.Unmarshal(data, &e)
		}
		if err == nil && e.Schema != journalSchema {
			err = fmt.Errorf("its schema is %d", e.Schema)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of the journal of rivals: %v", name, err)
		}
		e.file = name
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Seq, b.Seq)) })
	return all, nil
}

func (j *journal) close() {
	if j.lock != nil {
		// A child that is about to be executed has the descriptor for a moment more.
		_ = syscall.Flock(int(j.lock.Fd()), syscall.LOCK_UN)
		j.lock.Close()
	}
	j.root.Close()
}

// write puts an entry on disk. It is there when it returns.
func (j *journal) write(e *entry) error {
	if e.file == "" {
		e.file = rand.Text() + ".json"
	}
	e.Schema, e.Seq = journalSchema, len(j.entries)
	data, err := json.MarshalIndent(e, "", " ")
	if err == nil {
		err = atomicfile.WriteFile(j.root, e.file, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot write the journal of rivals: %v", err)
	}
	j.entries = append(j.entries, *e)
	return nil
}

// drop removes an entry that is undone.
func (j *journal) drop(e entry) error {
	if err := j.root.Remove(e.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot write the journal of rivals: %v", err)
	}
	return atomicfile.SyncDir(j.root, ".")
}

// Aside is something that was moved aside.
type Aside struct {
	Deed   Deed
	Form   Form
	Path   string
	Agents []string
	Time   time.Time
}

// Journal lists what is aside by a journal, oldest first. It changes nothing, and
// without a journal there is nothing.
func Journal(dir string) ([]Aside, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal of rivals: %v", err)
	}
	defer root.Close()
	entries, err := readEntries(root)
	var all []Aside
	for _, e := range entries {
		all = append(all, Aside{e.Deed, e.Form, e.Path, e.Agents, e.Time})
	}
	return all, err
}
