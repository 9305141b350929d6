// Package snapshot captures an agent's config set, keeps what it captured, and
// knows what each capture has proven.
//
// [Observe] reads the live files and returns a [Look]: every member with its
// bytes, owner, mode, links and attributes, and three hashes over them. The
// files belong to the agent, which may be hostile while we may be root. So
// everything is opened beneath an os.Root and compared with what was seen
// there before a byte of it is read; what is not a regular file is never opened
// to begin with; a link is captured as its text unless the user has said where
// links may lead; and limits hold for what is read, not for what a file claims.
// A look is one state of the set: files that change under it make it look
// again. What cannot be captured whole and safely is refused ([RefusedError]),
// because half a set is never put back; only who is about to put one back leaves
// it, and is told ([Left]).
//
// [Store] is one agent's directory in the state directory. Saving a look makes
// an immutable snapshot there, a tree of plain files that anybody can read with
// cp, and a [Manifest] that says all the rest: members, patterns, standing,
// proofs, history. A snapshot is there whole and durable, or not at all. The
// link last-known-good names the one to go back to. Manifests and that link are
// enough to recover from; no database is, and with restore.sh in each snapshot
// not even this program.
//
// [Plan] decides what of the past is kept. It is a pure function that gives a
// reason for each snapshot, and [Store.Remove] does what it says.
//
// Left out on purpose: when to capture and what to promote (package lifecycle
// decides), whether the files are any good (package validate), putting them
// back (package restore), and the lock that makes one process the only writer
// (its caller holds it). Extended attributes are kept and not compared.
package snapshot
