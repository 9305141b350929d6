package record

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

var (
	// ErrNoLog: there is no database in the directory.
	ErrNoLog = errors.New("no log")
	// ErrNoState: nothing has been saved for the agent.
	ErrNoState = errors.New("no state")
	// ErrRevision: somebody else has saved a state since the caller read it.
	ErrRevision = errors.New("the state has changed since it was read")
	// ErrCorrupt: the file is not a database, is damaged, or is the database
	// of another program. SetAside is the remedy.
	ErrCorrupt = errors.New("the database is damaged")
)

// NewerError says that the database was written by a newer deadman, whose
// tables this one does not know. Nothing was changed.
type NewerError struct {
	Path    string
	Version int // of the schema in the file
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("cannot open %s: its schema is version %d, this deadman knows up to %d", e.Path, e.Version, schemaVersion)
}

// Hint says what a person can do.
func (e *NewerError) Hint() string {
	return "install the newer deadman again, or move deadman.db away to begin a new log (snapshots are not in it)"
}

// BrokenChain is the first place where the log does not hold together.
type BrokenChain struct {
	ID  int64 // of the entry
	Why string
}

func (e *BrokenChain) Error() string {
	return fmt.Sprintf("cannot verify the log: entry %d %s", e.ID, e.Why)
}

// failed wraps an error of the driver, marking damage as ErrCorrupt.
func failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.CORRUPT):
		return fmt.Errorf("cannot %s: %w: %w", what, ErrCorrupt, err)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// isFull reports whether the disk, or its owner's quota, may be used up. The
// driver reports a failed write as SQLite's IOERR and loses the system's reason
// on the way, so that counts too: giving up the reserve for a disk that is merely
// broken costs nothing.
func isFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isBusy reports whether another program held the database for too long.
func isBusy(err error) bool {
	return errors.Is(err, sqlite3.BUSY) || errors.Is(err, context.DeadlineExceeded)
}
