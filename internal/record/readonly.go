package record

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/vfs"
)

// OpenReadOnly opens the log in dir without writing or syncing anything, also
// where the directory or its file system is read-only. It returns ErrNoLog when
// there is no database, or one without our tables yet.
//
// Beside a live writer, or after one that was killed, it reads through the
// writer's WAL; then it takes locks in the -shm file, which is memory.
func OpenReadOnly(dir string) (*Log, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(dir, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot open the log in %s: %w", dir, ErrNoLog)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	l := &Log{path: path, ro: true}
	version := schemaVersion
	err = l.useReadOnly(context.Background(), func(db *sql.DB) (err error) {
		if l.frozen == nil || !headerIsOurs(l.frozen) {
			version, err = checkVersion(context.Background(), db, path)
		}
		return err
	})
	if err == nil && version == 0 {
		err = fmt.Errorf("cannot open the log in %s: %w", dir, ErrNoLog)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// headerIsOurs reports whether the first page of a database that nobody writes to
// says that it is ours, in the version that we know. It spares the healthy round
// a statement. The places are those of section 1.3 of SQLite's file format:
// user_version at 60, application_id at 68, both big-endian.
func headerIsOurs(f *os.File) bool {
	var header [72]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return false
	}
	return string(header[:16]) == "SQLite format 3\x00" &&
		binary.BigEndian.Uint32(header[60:]) == schemaVersion && binary.BigEndian.Uint32(header[68:]) == applicationID
}

// useReadOnly calls do, which only reads and may be called twice.
func (l *Log) useReadOnly(ctx context.Context, do func(*sql.DB) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		if l.file != nil {
			return errClosed
		}
		if err := l.openFrozen(); err != nil {
			return err
		}
	}
	err := do(l.db)
	if l.frozen == nil || l.asleep() {
		return err
	}
	// A writer has come to life since; what was read may be torn.
	if err := l.openLive(); err != nil {
		return err
	}
	return do(l.db)
}

// openFrozen opens a database that nobody is writing to.
//
// SQLite's plain read-only mode creates -wal and -shm files and leaves them
// behind, and fails where it may not create them. Its immutable mode does
// neither, but reads garbage if somebody writes meanwhile. What makes it safe
// is a shared lock of our own on SQLite's lock bytes, taken before we look for
// a WAL and held as long as the database is open:
//
//   - In WAL mode every write to the database file comes out of a -wal file, and
//     that file is removed only under the exclusive lock, which ours prevents.
//     So a WAL that is missing before a read and missing after it has not
//     existed in between, and the file has not changed.
//   - In the other modes a write to the database file itself needs the exclusive
//     lock, and a -journal without one means an interrupted write.
func (l *Log) openFrozen() error {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot open the log: %w", ErrNoLog)
	}
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	if l.file, err = f.Stat(); err != nil {
		f.Close()
		return fmt.Errorf("cannot open the log: %w", err)
	}
	if !lockShared(f) || !l.asleep() {
		unlockShared(f)
		f.Close()
		return l.openLive()
	}
	db, err := driver.Open(source(l.path, url.Values{"mode": {"ro"}, "immutable": {"1"}}), readOnly)
	if err != nil {
		unlockShared(f)
		f.Close()
		return failed("open the log", err)
	}
	db.SetMaxOpenConns(1)
	l.db, l.frozen = db, f
	return nil
}

// asleep reports whether no writer is at work and none has died at it.
func (l *Log) asleep() bool {
	for _, suffix := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(l.path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// openLive opens the database through its WAL, in place of what was open.
func (l *Log) openLive() error {
	if err := l.close(); err != nil {
		return err
	}
	db, err := driver.Open(source(l.path, url.Values{"mode": {"ro"}, "vfs": {readerName}}), readOnly)
	if err != nil {
		return failed("open the log", err)
	}
	db.SetMaxOpenConns(1)
	l.db = db
	return nil
}

func readOnly(c *sqlite3.Conn) error {
	if err := c.BusyTimeout(busyTimeout); err != nil {
		return err
	}
	return c.Exec(`PRAGMA query_only = ON; PRAGMA trusted_schema = OFF`)
}

// readerName names the file system that SQLite uses for openLive.
const readerName = "deadman-reader"

func init() {
	if system, ok := vfs.Find("").(vfs.VFSFilename); ok {
		vfs.Register(readerName, readerVFS{system})
	}
}

// readerVFS opens a WAL for reading where it cannot be opened for writing. The C
// library does so by itself, the driver's own file system layer does not, and
// then the state of a machine whose disk has gone read-only could not be read.
type readerVFS struct{ vfs.VFSFilename }

func (v readerVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, got, err := v.VFSFilename.OpenFilename(name, flags)
	if err != nil && flags&vfs.OPEN_WAL != 0 {
		flags = flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY
		return v.VFSFilename.OpenFilename(name, flags)
	}
	return f, got, err
}
