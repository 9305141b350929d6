package record

import (
	"context"
	"database/sql"
	"fmt"
)

// The schema's version is PRAGMA user_version. A newer one is refused, an older
// one is brought up step by step in setup. application_id tells our file from
// another program's.
const (
	schemaVersion = 1
	applicationID = 0x64656164 // "dead"
)

// The triggers stand against a careless UPDATE by hand, the chain finds a
// careful one. AUTOINCREMENT keeps the last id given out, so that entries cut
// off at the end are missed.
const schema = `
CREATE TABLE record (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time TEXT NOT NULL, boot TEXT NOT NULL, uptime INTEGER NOT NULL,
  agent TEXT NOT NULL, revision INTEGER NOT NULL, incident TEXT NOT NULL,
  kind TEXT NOT NULL, cause TEXT NOT NULL, reason TEXT NOT NULL, snapshot TEXT NOT NULL,
  old_hash TEXT NOT NULL, new_hash TEXT NOT NULL, outcome TEXT NOT NULL,
  body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE INDEX record_agent ON record (agent, id);
CREATE INDEX record_incident ON record (incident, id) WHERE incident <> '';
CREATE TRIGGER record_no_update BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER record_no_delete BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TABLE state (
  agent TEXT PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL,
  state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE kept_state (
  id INTEGER PRIMARY KEY, agent TEXT NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL,
  state TEXT NOT NULL, UNIQUE (agent, revision, version, state)) STRICT;
CREATE TABLE sink (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE drained (spool TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, agent TEXT NOT NULL,
  verb TEXT NOT NULL, args TEXT NOT NULL, sender TEXT NOT NULL,
  claimed INTEGER NOT NULL DEFAULT 0, outcome TEXT) STRICT;
CREATE INDEX inbox_pending ON inbox (agent, id) WHERE outcome IS NULL;
`

// setup makes a new file ours, or finds that it is already. It changes nothing
// in a file that is newer or another program's.
func setup(ctx context.Context, db *sql.DB, path string) error {
	version, err := checkVersion(ctx, db, path)
	if err != nil || version == schemaVersion {
		return err
	}
	// Two processes may create the log at once. Going over to WAL needs the
	// file alone and does not wait for it, so creation takes turns.
	unlock, err := lockDirOf(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	if version, err = checkVersion(ctx, db, path); err != nil || version == schemaVersion {
		return err
	}
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return failed("create "+path, err)
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT`,
		schema, applicationID, schemaVersion))
	return failed("create "+path, err)
}

// checkVersion returns the version of the schema in the file, 0 for a file that
// is not ours yet.
func checkVersion(ctx context.Context, db *sql.DB, path string) (int, error) {
	var version, app int
	var tables bool
	err := db.QueryRowContext(ctx, `SELECT v.user_version, a.application_id, EXISTS (SELECT 1 FROM sqlite_master)
		FROM pragma_user_version AS v, pragma_application_id AS a`).Scan(&version, &app, &tables)
	switch {
	case err != nil:
		return 0, failed("read "+path, err)
	case version > schemaVersion && app == applicationID:
		return 0, &NewerError{Path: path, Version: version}
	case (version != 0 || tables) && app != applicationID:
		return 0, fmt.Errorf("cannot open %s: %w: it is the database of another program", path, ErrCorrupt)
	}
	return version, nil
}
