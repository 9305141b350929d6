// Package validate answers one question about a config set: would this load? It does so in three
// independent ways, each of which returns findings and none of which decides anything.
//
// Syntax asks whether each file is what its name says. Command asks the user's own validator. Both are
// about whether an agent can start: a live config that fails them is a broken one.
//
// Guards asks something weaker: does this look like a config that a person would want to be restored to?
// Incidents 15, 25, 26, 30, 31, 33 and 34 are files that parse, that their agents start on, and that are
// ruined: emptied, cut to a stub, or with a redaction placeholder where the secret was. A guard is a
// suspicion. It holds a candidate back from being promoted and never causes a rollback by itself, so it may
// be wrong now and then; `deadman accept` overrules it.
//
// A validator that could not give its verdict (not installed, timed out, killed) has not refused anything.
// That is a finding of its own kind, KindCommandUnknown, because "cannot tell" is never "broken".
//
// No finding holds a value from a file or a word that a validator printed, which may quote one. What a
// finding names is a file, a line and column, and a key.
//
// What it leaves out: files captured as links (their targets are never read), schemas (that is the
// validator's business), and any memory of earlier findings.
package validate
