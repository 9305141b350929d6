// Package secrets is for tests only. It plants random values wherever a config
// can hold one, drives the real program through whole histories, and looks for each
// value, in the usual encodings, everywhere that deadman has written or said
// something: its database, state, notes and messages, the output of its commands,
// the processes it starts, what it says when it crashes.
//
// A value may be in the store of snapshots (snapshots, and plan.d while a plan is
// carried out), in what `diff --text` prints, and where it has to go: the token of
// a notification in its URL, a header in the check's own request, a variable in the
// environment of the child it was meant for. What the agent itself prints is another
// kind of value: it is kept in output.log and in incidents, and `explain` shows it.
package secrets
