package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/atomicfile"
)

// fileName is the database's name in the state directory.
const fileName = "deadman.db"

// busyTimeout is how long a call waits for another process. Our transactions
// take milliseconds, so more than this means that somebody sits on the file,
// and the spool is the better place.
const busyTimeout = 2 * time.Second

// Log is an open database. It is safe for concurrent use, and several
// processes may have it open at once.
type Log struct {
	path string
	ro   bool

	// mu is held for reading while db is in use, for writing while db is
	// exchanged.
	mu sync.RWMutex
	db *sql.DB
	// file is the database as it was opened: another file of the same name
	// (set aside, or removed by hand) means opening again.
	file os.FileInfo
	// frozen is set while a read-only log reads without the WAL's shared
	// memory; see openFrozen.
	frozen *os.File
}

// Open opens the log in dir for reading and writing. It creates the directory
// (0700) and the database (0600) when they are missing. It looks at the header
// and the schema only: [Log.Check] reads everything.
//
// The error is a [*NewerError], wraps [ErrCorrupt], or is one of the system.
func Open(dir string) (*Log, error) {
	if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the state directory: %w", err)
	}
	l := &Log{path: filepath.Join(dir, fileName)}
	if err := l.open(context.Background()); err != nil {
		return nil, err
	}
	return l, nil
}

// open makes l.db and l.file. The caller holds l.mu, or is alone.
func (l *Log) open(ctx context.Context) error {
	// SQLite would create the file with the umask's mode.
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	info, err := f.Stat()
	f.Close()
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	db, err := driver.Open(source(l.path, nil), func(c *sqlite3.Conn) error {
		if err := c.BusyTimeout(busyTimeout); err != nil {
			return err
		}
		// FULL: in WAL mode anything less loses the last commits with the
		// power, and with them what we were about to do.
		// fullfsync: a plain fsync on darwin does not reach the platter.
		return c.Exec(`PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA trusted_schema = OFF`)
	})
	if err != nil {
		return failed("open the log", err)
	}
	// One connection: SQLite has one writer anyway, and waiting in this pool
	// is fair and heeds the context, waiting for SQLite's lock is neither.
	db.SetMaxOpenConns(1)
	if err := setup(ctx, db, l.path); err != nil {
		db.Close()
		return err
	}
	// SQLite creates these with the umask's mode. The directory is closed to
	// others already, so a failure here opens nothing.
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Chmod(l.path+suffix, 0o600)
	}
	l.db, l.file = db, info
	return nil
}

// Close closes the database. The last process to close it moves the WAL into
// the database, so that one file holds everything.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *Log) close() error {
	if l.db == nil {
		return nil
	}
	err := l.db.Close()
	l.db = nil
	if l.frozen != nil {
		unlockShared(l.frozen)
		l.frozen.Close()
		l.frozen = nil
	}
	return failed("close the log", err)
}

var (
	errClosed   = errors.New("cannot use the log: it is closed")
	errReadOnly = errors.New("cannot write to the log: it was opened read-only")
)

// use calls do with the database of this name. When the file was exchanged
// since it was opened, it opens the new one first: a commit to a file that
// nobody will read again would be lost.
func (l *Log) use(ctx context.Context, do func(*sql.DB) error) error {
	if l.ro {
		return l.useReadOnly(ctx, do)
	}
	l.mu.RLock()
	if !l.stale() {
		defer l.mu.RUnlock()
		return do(l.db)
	}
	l.mu.RUnlock()

	l.mu.Lock()
	if l.db == nil {
		l.mu.Unlock()
		return errClosed
	}
	if l.stale() {
		old := l.db
		if err := l.open(ctx); err != nil {
			l.mu.Unlock()
			return err
		}
		old.Close()
	}
	l.mu.Unlock()

	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.db == nil {
		return errClosed
	}
	return do(l.db)
}

func (l *Log) stale() bool {
	if l.db == nil {
		return true
	}
	info, err := os.Stat(l.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, l.file)
}

// write runs do in one transaction that holds the write lock from its start.
func (l *Log) write(ctx context.Context, what string, do func(*sql.Tx) error) error {
	if l.ro {
		return errReadOnly
	}
	return l.use(ctx, func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil) // the driver's default is BEGIN IMMEDIATE
		if err != nil {
			return failed(what, err)
		}
		defer tx.Rollback()
		if err := do(tx); err != nil {
			return failed(what, err)
		}
		return failed(what, tx.Commit())
	})
}

// Check reads the whole database for damage. It takes time in proportion to
// its size; the error wraps ErrCorrupt when there is any.
func (l *Log) Check(ctx context.Context) error {
	return l.use(ctx, func(db *sql.DB) error {
		var found string
		if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
			return failed("check the log", err)
		}
		if found != "ok" {
			return fmt.Errorf("cannot check the log: %w: %s", ErrCorrupt, found)
		}
		return nil
	})
}

// source is the driver's name for a file, safe for any path.
func source(path string, query url.Values) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	return u.String()
}
