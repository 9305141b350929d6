// Package supervisor starts, stops and inspects an agent through what owns its
// process: [Command], an agent that is started and stopped by a pair of commands;
// [Child], whose process deadman itself owns; and [Owned], which another program
// owns: [Runit], [Supervisord], [Docker], [Tmux], [Launchd]. Each passes a
// conformance suite.
//
// What all promise:
//
//   - Gone is said only of what is certainly not there. What cannot be told is
//     Obscured, and nothing is ever started beside it.
//   - There is never a second process beside a first. Start refuses ([Refused])
//     while the agent, anything left of its earlier life, or anybody on its port
//     is there, and says who.
//   - Stop leaves nothing of the agent behind: not its descendants, not their
//     orphans, not those that ignore SIGTERM. What is not the agent's is named and
//     left alone, and no pid is signalled that has gone to another program.
//   - What deadman itself starts has a session of its own, /dev/null as stdin, a
//     file for its output and no descriptor of ours, so deadman may die at any
//     moment without taking it along.
//
// # Whose is a process?
//
// The agent's are: its main process; the sessions and groups that lead from it;
// all their descendants; whatever the caller saw of them before and recorded
// ([Known]); and every process that carries the mark of our start, an environment
// variable with the attempt's token that children inherit through double forks
// and past the death of their parents. A name on a process list is none of these.
//
// # Left out
//
// Restarts of a Command or a Child are not counted: there is nobody but us to
// restart it. Nor can a person's stop of one be told from a death; "deadman stop"
// says so. A type here serves one goroutine.
package supervisor
