// Package record is the program's memory: an append-only log of everything
// that was decided and done, and the saved state of each agent's machine, in
// one SQLite database (deadman.db).
//
// # What it promises
//
// State and the actions that follow from it are saved in one transaction, and
// that transaction is on disk when [Log.Commit] returns. A caller that acts
// only after Commit can therefore die at any instruction and find, at its next
// start, what it was about to do.
//
// A state is replaced only by somebody who has read it: every save names the
// revision that it follows, and of two writers one gets [ErrRevision].
//
// Entries are never changed or removed. Each holds the hash of the one before,
// so [Log.Verify] finds an entry that was altered, left out or cut off at the
// end. This guards against accidents and careless hands, not against somebody
// who rewrites the whole chain.
//
// [OpenReadOnly] writes nothing and waits for no disk, which is what a healthy
// round of `check` uses: open, one state and close cost under a millisecond.
//
// # When the database cannot be written
//
// [Journal] wraps a Log with the chain of fallbacks: the space in the reserve
// file is given up, then commits go to a spool file beside the database, then
// to one in the runtime directory. What was spooled is replayed into the chain,
// in order and once, by the first commit that finds the database writable.
// Each commit says where it came to rest ([Place]), because a guard acts more
// carefully on a state that a reboot may forget.
//
// A database that is damaged is renamed, never deleted ([SetAside]), and a new
// one begun: snapshots describe themselves, so losing the database loses
// history and not the ability to recover.
//
// # What it leaves out
//
// It does not know what a state, an action or a policy means: they are JSON
// here. It never reads a clock to stamp anything. It keeps no file descriptor
// of another program and shares its database with none; the file that other
// programs share is the business of sink/requestlog.
package record
