// Package crash runs the real program and stops it at system calls that change the
// world: it is killed there, or told that its disk has failed, and the runs after
// it have to make good whatever that left.
//
// It does so with seccomp user notifications. A shim installs a filter (filter.go)
// that has the kernel ask us before each such call (calls.go), hands us the
// listener, and becomes deadman. We count the calls of deadman itself, in the order
// in which they come, whatever thread makes them, and let those of the agents,
// which inherit the filter, go.
//
// Left out are calls whose effect ends with the process (locks, descriptors,
// mappings, threads), signals of number 0 and those that the Go runtime sends
// itself, and writes to sockets, pipes and event counters: a probe that asks an
// agent how it is changes nothing, and a message that is sent lies between the
// connect before it and the note in the outbox after it, which are both
// counted. What a mapping writes (the index of SQLite's log) is seen by nobody else
// before a call that is counted.
package crash
