// Package powerloss takes the power away. It is for tests only.
//
// A file system in memory, [FS], is mounted by FUSE under the config and the
// state of the real program. Beside what processes see it logs every operation,
// and from the log alone it is known what was on the platter at each point of
// it: what a file holds since it was synced, and which names a directory has
// since that was. Nothing else is promised, as no file system promises more:
// not that an older change comes first, nor that a file that was synced has its
// name, nor that a name leads to more than an empty file.
//
// So one run of the program gives a log, and [Losses] gives the disks that a loss
// of power at each of its points could leave. They are judged by what deadman,
// started again, makes of them.
//
// removals.txt lists every sync in the program's source. Each in turn is taken
// out, and must be missed by the deed that is named beside it. `make powerloss`
// runs it all.
package powerloss
