// Package requestlog writes what deadman did into request_log, a SQLite table
// that other programs of the machine share.
//
// The table's schema is given and not ours to change, so it is created only
// where it is absent, and a table of that name with other columns is left alone
// ([ErrForeignTable]): the caller's rows wait behind their cursor. A view,
// rollbacks, shows ours with the config hashes as columns; it too is created
// only if the name is free.
//
// Delivery is at least once from the caller's side and once in the table: a row
// carries the id of its record, and one that is there already is not written
// again.
//
// The other writers are plain sqlite3 clients, and they matter more than we do.
// The journal mode is left as found, transactions are short and never wait for
// anything but the file, the search for rows already there happens before the
// write lock is taken. A new file gets SQLite's default, a rollback journal and
// not a WAL: the file is pushed to git, and with a rollback journal one file
// holds everything whenever nobody is writing.
//
// No content of a config comes here: hashes, paths and words from closed lists
// are all that [Row] has room for.
package requestlog
