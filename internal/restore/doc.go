// Package restore puts a snapshot's whole set of files back where an agent
// reads them.
//
// It is a plan first. [Prepare] compares the snapshot with what Keep took of
// the live files and writes down, as data, every step with what must be there
// before and after. The caller saves the plan, then [Execute] carries it out.
// After a crash the same plan is loaded and executed again: every step looks
// whether it has been done, and does it if not. [Inspect] only looks.
//
// It promises:
//
//   - Nothing is changed until everything is ready. All files are written in
//     full beside the ones they replace, with owner, extended attributes and
//     mode, and synced, before the first one is swapped in. A full disk shows
//     there, and the live files have not been touched.
//   - A reader sees the old file or the new one (incident 28). The one exception
//     is a file that cannot be renamed over, because it is a mount point or its
//     directory takes no new files: it is written in place, and the report says
//     so.
//   - No byte is lost. A file and its successor exchange names, so that what was
//     displaced can still be compared with what Keep took. If somebody wrote in
//     the meantime, the names are exchanged back and the error is
//     [ErrChangedSinceKeep]: keep anew, plan anew.
//   - What Keep could not take (a FIFO, a directory where a file belongs, a file
//     over the limit) is never overwritten. In the way of a member it is renamed
//     beside it, and the report names it; in nobody's way it stays.
//   - Only files that both the snapshot's patterns and today's name are touched.
//   - The agent's directory is hostile ground. The roots are opened once, by a
//     path without links, and must be what Keep looked at, where the known good
//     was. Directories in them are opened one element at a time and never
//     through a link, owners and modes are set on open files and not on names,
//     and a link that was planted is replaced, not followed. The links that the
//     user allows are kept, and written through (incident 47).
//   - It is not done until it has read everything back.
//
// When only mode or owner differ, only these are changed (incident 49). Values
// of `preserve` keys are spliced from newer bytes into the restored ones.
//
// What it leaves out: which snapshot to put back, stopping the agent, and
// taking Keep are the caller's. Times, and links that lead to the same inode, are
// not restored. A root directory that is gone is made anew with the owner and
// mode that it had, in a directory that is there.
package restore
