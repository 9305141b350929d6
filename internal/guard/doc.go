// Package guard is the loop around the decisions of package lifecycle: it
// observes one agent, steps the machine, records what it came to, and only
// then carries it out.
//
//	event → Step → record → act → outcome → Step → …
//
// The order is the promise. Whenever a deed begins, the state that ordered it
// is saved, so after a crash at any instant the next guard finds the deed in
// State.Pending and finishes it or does it again; every deed can be done again.
// What cannot be saved is not done.
//
// One goroutine drives one guard. The world it acts on, the clock and the
// journal are interfaces, declared here by who uses them.
package guard
