// Package simtest is for tests only: it drives the real program against
// scripted agents, real nginx, and crashes of its own.
package simtest
