// Package attack lets an agent that is hostile loose on its own config
// directory while deadman, as root, captures and restores it, and judges every
// round. `make attack` runs it, and `make attack-faults` takes one protection of
// the code away at a time and has it found.
//
// The attacker is a process of its own, of a user without rights, who owns the
// config directory and the one above it. It changes files for links, hard links,
// FIFOs, sockets, devices, directories and files of all sizes, in a tight loop.
// Around it stand canaries: files and directories that are not the agent's
// config. Nothing of them may be stored, and nothing in them may change.
package attack
