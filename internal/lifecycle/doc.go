// Package lifecycle decides, and never acts. It is the state machine of one
// guarded agent: what a round of probes means, when a snapshot is proven, when
// an agent is dead, and which deed comes next.
//
// The whole of it is one function over plain values:
//
//	Step(policy, state, now, event) (state, actions)
//
// There is no clock, no I/O and no randomness here, so the same events give
// the same states in any process, on any day. A driver (internal/guard) must
//
//	load the state;
//	if state.Pending names a deed: look whether it happened, finish it or do it again, Step its outcome;
//	loop:
//	    observe the agent, or hear a person, or let time pass: an Event;
//	    next, actions := Step(policy, state, now, event)
//	    if next differs from state: save next and a record of event and actions, in one transaction;
//	    carry out the deed among the actions, if any, and Step its outcome.
//
// An Event that leaves the state as it was needs no saving, and a steadily
// healthy agent produces only such events; replaying the saved events
// therefore gives the saved state.
//
// now is the driver's time of one boot: it must not go back within a boot and
// must not jump when the wall clock is set. After a reboot it may be anything;
// no deadline then waits longer than its full length.
package lifecycle
