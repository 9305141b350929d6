package powerloss_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	_ "github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/atomicfile"
	"deadman/internal/record"
	. "deadman/internal/simtest/powerloss"
	"deadman/internal/snapshot"
)

// Where things are on the disk of a world.
const (
	etcDir   = "etc"
	stateDir = "state"
	agentDir = "state/agents/a"
)

// facts are what a disk holds, as the program's own readers say.
type facts struct {
	live   string            // which set is in place, as a hash
	temps  []string          // names of ours among the agent's files
	plan   bool              // a set is being put back
	known  string            // the known good, "" for none
	stored map[string]string // every snapshot, and what is wrong with it
	log    []record.Entry
	// revision is that of the agent's state, cursor how far request_log was
	// brought.
	revision, cursor int64
	rows             []int64  // of request_log, by their records
	corrupt          bool     // the database cannot be read
	aside            []string // databases that were set aside
	files            map[string]string
	wrong            []string // whatever was promised before
}

// examiner examines disks. Parts that it has seen before it does not look at
// again: most losses differ in one file.
type examiner struct {
	w    *world
	seen sync.Map // by the hash of a part
}

// once returns what look says of the part of d that is at paths.
func once[T any](e *examiner, what string, d *Disk, paths []string, look func(dir string) T) T {
	key := sha256.Sum256(append([]byte(what), sum(d.Digest(nil, paths...))...))
	if found, ok := e.seen.Load(key); ok {
		return found.(T)
	}
	dir, err := os.MkdirTemp(scratch(), "loss")
	if err != nil {
		e.w.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := d.Write(dir, paths...); err != nil {
		e.w.t.Fatal(err)
	}
	found := look(dir)
	e.seen.Store(key, found)
	return found
}

func sum(s [sha256.Size]byte) []byte { return s[:] }

// scratch is where disks are made: in memory, if there is such a place.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func databases(d *Disk) (ours, requests []string, aside []string) {
	n := d.At(stateDir)
	if n == nil {
		return nil, nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(n.Names)) {
		path := stateDir + "/" + name
		switch {
		case strings.HasSuffix(name, "-shm"):
		case strings.HasPrefix(name, "deadman.db.corrupt"):
			aside = append(aside, name)
		case strings.HasPrefix(name, "deadman.db"), name == "spool.jsonl":
			ours = append(ours, path)
		case strings.HasPrefix(name, "request_log.db"):
			requests = append(requests, path)
		}
	}
	return ours, requests, aside
}

// examine says what d holds.
func (e *examiner) examine(d *Disk) facts {
	ours, requests, aside := databases(d)
	f := facts{aside: aside, plan: d.At(agentDir+"/plan.json") != nil, files: map[string]string{}}
	f.live, f.temps = liveSet(d)

	l := once(e, "log", d, ours, readLog)
	f.log, f.revision, f.cursor, f.corrupt = l.entries, l.revision, l.cursor, l.corrupt
	r := once(e, "requests", d, requests, readRequests)
	f.rows = r.rows
	s := once(e, "store", d, []string{agentDir + "/snapshots", agentDir + "/last-known-good"}, readStore)
	f.known, f.stored = s.known, s.stored
	f.wrong = slices.Concat(l.wrong, r.wrong, s.wrong)

	for _, path := range []string{stateDir, agentDir} {
		if n := d.At(path); n != nil {
			for name := range n.Names {
				// The mirror of the state is of one boot, and nobody syncs it.
				if strings.HasSuffix(name, ".json") && name != "state.json" {
					text := d.At(path + "/" + name)
					if !json.Valid(text.Data) {
						f.wrong = append(f.wrong, fmt.Sprintf("%s/%s is no JSON: %d bytes", path, name, len(text.Data)))
					}
				}
			}
		}
	}
	for _, path := range e.w.watched {
		f.files[path] = "absent"
		if n := d.At(path); n != nil {
			f.files[path] = fmt.Sprintf("%d bytes, %x", len(n.Data), sha256.Sum256(n.Data))
		}
	}
	return f
}

// liveSet is the hash of what is in place of the agent's files, and the names
// that are ours among them.
func liveSet(d *Disk) (live string, temps []string) {
	skip := func(path string) bool { return atomicfile.IsTemp(path) }
	d.Walk(etcDir, func(path string, _ *Node) {
		if skip(path) {
			temps = append(temps, path)
		}
	})
	h := d.Digest(skip, etcDir)
	return hex.EncodeToString(h[:4]), temps
}

type logFacts struct {
	entries          []record.Entry
	revision, cursor int64
	corrupt          bool
	wrong            []string
}

// readLog opens the database as the next round would, which also takes in what
// was spooled.
func readLog(dir string) (f logFacts) {
	ctx := context.Background()
	state := filepath.Join(dir, stateDir)
	if _, err := os.Stat(state); errors.Is(err, fs.ErrNotExist) {
		return f
	}
	fail := func(what string, err error) {
		if errors.Is(err, record.ErrCorrupt) {
			f.corrupt = true
		}
		f.wrong = append(f.wrong, fmt.Sprintf("%s: %v", what, err))
	}
	j := record.NewJournal(state, filepath.Join(dir, "run"), "")
	defer j.Close()
	load := func() {
		saved, err := j.Load(ctx, "a")
		if err != nil && !errors.Is(err, record.ErrNoState) {
			fail("the state", err)
		}
		f.revision = saved.Revision
	}
	// A round begins by reading only, which is another way into SQLite. Once is
	// enough where nothing can be different.
	_, noJournal := os.Stat(filepath.Join(state, "deadman.db-journal"))
	if noJournal == nil || everySo() {
		load()
	}
	if _, err := j.Drain(ctx); err != nil {
		fail("the spool", err)
	}
	l, err := j.Log()
	if err != nil {
		fail("the database", err)
		return f
	}
	load()
	if err := l.Check(ctx); err != nil {
		fail("the database", err)
		return f
	}
	if _, err := l.Verify(ctx); err != nil {
		fail("the chain", err)
	}
	for entry, err := range l.Entries(ctx, record.Query{}) {
		if err != nil {
			fail("the log", err)
			break
		}
		f.entries = append(f.entries, entry)
	}
	if f.cursor, err = l.Cursor(ctx, "request_log"); err != nil {
		fail("the cursor", err)
	}
	return f
}

var looks atomic.Int64

// everySo is true every eighth time.
func everySo() bool { return looks.Add(1)%8 == 0 }

type requestFacts struct {
	rows  []int64
	wrong []string
}

func readRequests(dir string) (f requestFacts) {
	path := filepath.Join(dir, stateDir, "request_log.db")
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return f
	}
	fail := func(err error) { f.wrong = append(f.wrong, fmt.Sprintf("request_log: %v", err)) }
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		fail(err)
		return f
	}
	defer db.Close()
	var found string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&found); err != nil || found != "ok" {
		fail(fmt.Errorf("%s %w", found, err))
		return f
	}
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE name = 'request_log'`).Scan(&tables); err != nil || tables == 0 {
		if err != nil {
			fail(err)
		}
		return f
	}
	rows, err := db.Query(`SELECT error_message FROM request_log ORDER BY id`)
	if err != nil {
		fail(err)
		return f
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		var details struct {
			Record int64 `json:"record_id"`
		}
		if err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &details)); err != nil {
			fail(err)
		}
		f.rows = append(f.rows, details.Record)
	}
	if err := rows.Err(); err != nil {
		fail(err)
	}
	return f
}

type storeFacts struct {
	known  string
	stored map[string]string
	wrong  []string
}

func readStore(dir string) storeFacts {
	f := storeFacts{stored: map[string]string{}}
	path := filepath.Join(dir, agentDir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return f
	}
	store, err := snapshot.Open(path, "a")
	if err != nil {
		f.wrong = append(f.wrong, err.Error())
		return f
	}
	defer store.Close()
	known, ok, err := store.KnownGood()
	switch {
	case err != nil:
		f.wrong = append(f.wrong, err.Error())
	case ok:
		f.known = known.ID
		if err := store.Verify(known.ID); err != nil {
			f.wrong = append(f.wrong, "the known good: "+err.Error())
		}
	}
	entries, err := os.ReadDir(filepath.Join(path, "snapshots"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.wrong = append(f.wrong, err.Error())
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		f.stored[entry.Name()] = ""
		if err := store.Verify(entry.Name()); err != nil {
			f.stored[entry.Name()] = err.Error()
			f.wrong = append(f.wrong, err.Error())
			continue
		}
		// With it a person recovers without deadman.
		script, err := os.ReadFile(filepath.Join(path, "snapshots", entry.Name(), "restore.sh"))
		if err != nil || !strings.HasPrefix(string(script), "#!") || !strings.HasSuffix(string(script), "\n") || strings.Contains(string(script), "\x00") {
			f.stored[entry.Name()] = "restore.sh"
			f.wrong = append(f.wrong, fmt.Sprintf("restore.sh of %s is not whole: %v", entry.Name(), err))
		}
	}
	return f
}
