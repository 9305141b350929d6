// Package config turns the bytes of deadman.yaml into a Config: strict parse,
// defaults, validation, in that order and nothing else. Parse makes no system
// call; only Load reads files.
//
// There is one table of keys (table.go). The decoder walks the nodes of the
// YAML against it, and docs/reference.md and docs/deadman.schema.json are
// written from it, so a key cannot be documented and not exist, nor the other
// way round. A form of supervisor that is not built yet is a row marked later:
// its keys are read and checked, and then refused by name.
//
// # What is promised
//
// All errors are reported at once, each with file, line, column and, where
// there is a likely one, a suggestion. Neither Error.Error nor a hint repeats
// a value from the file. An excerpt does show the line, for the person at the
// terminal, except where it could hold a secret: the keys marked secret in the
// table and all beneath them, every URL that leads off the machine, and what
// follows a key that nobody knows.
//
// An agent with an error is left out, and every other agent is guarded: one
// bad drop-in must not disarm the machine. That ends where going on would be
// a guess. An error outside `agents:` makes the whole file useless, because a
// default may be missing (`mode: observe`, of all things); in the main file it
// makes every file useless, because the state directory may be another, and
// the switch would act beside one that it cannot see.
//
// A file belongs to one agent. Two patterns that can match the same path are
// an error, unless one of the two sets surely leaves it to the other by
// `exclude` or `reads`. Paths are compared as they are written, so two roots
// that are one directory by way of a link are not found here.
//
// # What is left out
//
// Whether a root, a command or a unit exists: `deadman doctor` looks. `~` and
// `${VAR}` are refused in paths and mean nothing elsewhere.
package config
