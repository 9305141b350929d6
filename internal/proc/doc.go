// Package proc knows facts about processes: whether one is there, since when,
// what it was started as, who descends from it, who listens on a port, and how
// it ended. It decides nothing; health and supervisor do.
//
// A process is named by a [deadman.Process] (pid, start time, boot id) and never
// by a pid alone. Whoever looks a pid up, waits for it or sends it a signal
// compares the start time while a pidfd holds the pid, so a pid that went to
// another program in the meantime is neither waited for nor shot.
//
// Three answers are kept apart everywhere: it is there, it is gone ([ErrGone]),
// and "cannot see" ([ErrUnseen]): another user's process seen by somebody who is
// not root, /proc mounted with hidepid, a system other than Linux. Who cannot see
// must not conclude that there is nothing.
//
// All of it is Linux (/proc and pidfd). Elsewhere every question is answered
// with ErrUnseen.
package proc
