// Package cause looks for what speaks against blaming an agent's config for its
// death: evidence that memory, a disk, a port, a permission, the network, a new
// version or a start limit was the cause.
//
// What it promises:
//
//   - It looks afresh at every call. Nothing is remembered here; what was true
//     while the agent was well (a counter of kills, a route) is taken then by
//     [MemoryOf] and [Routed], kept by the caller and given back in [Agent].
//   - [Look] takes no longer than [Limit], whatever hangs: what has not answered
//     by then cannot be told.
//   - "Cannot tell" is no cause. Where there is doubt it says so in the line that
//     it gives as evidence, and claims nothing: a cause that is claimed wrongly
//     keeps an agent down on a broken config.
//   - No line holds a value of anybody's config, or anything that an agent has
//     printed. They name processes, directories, hosts of checks, numbers.
//   - It runs no command, least of all one of the agent's.
//
// What follows from a cause is not decided here but in package lifecycle.
package cause
