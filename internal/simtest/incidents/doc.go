// Package incidents replays real incidents against deadman, and against what
// people use today.
//
// A scenario is a text file: what happened, with its public reference; then steps
// and expectations; then the files. [Scenario] reads it, a [World] is what it
// happens in, a [System] is what guards the agent there. [World.Judge] gives five
// judgements, each yes or no, without asking the system for its opinion where the
// harness can see for itself: it keeps its own log of every byte that was live
// (witness.go).
package incidents
