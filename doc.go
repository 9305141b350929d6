// Package deadman holds the vocabulary that every other package speaks: results, levels, standings,
// phases, causes and reasons. It imports nothing and does nothing.
//
// A tour of the program starts at internal/lifecycle, which decides, and goes on to internal/guard,
// which carries out. docs/ARCHITECTURE.md is the map.
package deadman
