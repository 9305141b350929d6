// Package atomicfile replaces files so that a reader, or a machine that loses
// power, sees the old bytes or the new ones and nothing in between.
//
// A write goes to a temporary name in the directory of the file, gets its
// permissions, is synced, is renamed over the file, and then the directory is
// synced. The first sync must come before the rename: several file systems
// write the new name to disk before the bytes, and a power failure between the
// two leaves a file of zero length. The last one makes the new name itself
// survive. A function that returns nil has done both.
//
// Everything happens beneath an [os.Root] and in one directory that is opened
// once, so a directory that is moved or replaced by a link in the meantime
// cannot turn the write elsewhere.
//
// A crash may leave a temporary name behind. It starts with [Prefix], [IsTemp]
// recognises it, and it may always be removed: what it stands for either
// happened or did not, and never depends on the leftover.
//
// The package keeps no owner, extended attribute or link of the file that it
// replaces: that is the business of package restore, which uses [Exchange] so
// that the replaced file can be looked at before it is gone.
package atomicfile
