// Package sim is a deterministic simulation: the real [lifecycle.Step] and the
// real [guard.Guard] in a world in memory that is hostile in every way that the
// design names: agents that do not start, hang or heal, a supervisor that restarts
// them, a disk on which others write, a clock that is set, a machine that sleeps
// and reboots, operators, foreign starts, deeds that fail or stop half way, and
// deadman itself killed before and after everything that it saves or does.
//
// A history is a tape of choices (source.go). One that breaks a rule is played
// again from its tape, and shrunk. The rules are in ledger.go, which keeps books
// of what is true and takes nothing from the machine's state, and invariant.go.
package sim
