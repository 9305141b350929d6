// Package confine runs work on a thread that can reach a few directories and
// little else.
//
// Capturing and restoring read and write in a directory that belongs to somebody
// else, mostly as root. The code is careful there (packages snapshot and restore
// say how); this is what holds where it is not. [Do] takes an operating system
// thread for itself and takes from it, for good:
//
//   - every file but those beneath [Rules] (Landlock, from Linux 5.19 on), and
//     all of TCP;
//   - every capability but [Kept];
//   - the gain of any privilege by what it executes (no_new_privs), which
//     Landlock asks for.
//
// The thread ends with the work. Nothing of it is inherited: other threads, and
// so whatever deadman starts for its user, have what they had. The runtime makes
// new threads from one that was never confined, because a locked thread's state is
// its own (runtime.LockOSThread).
//
// So work must not start goroutines, which would run elsewhere and unconfined, nor
// processes, which would be confined.
//
// A child of our own would be the usual way. Measured here: a thread costs 0.1 ms,
// a child that is this program again 4 ms and more, and a healthy check takes four
// in all. It would have been left out of most looks, and this is in every one.
//
// Where the kernel has no Landlock, or a container forbids it, the rest holds.
// Other systems have nothing of it. [Landlock] tells.
package confine
