package incidents

import (
	"strings"
	"syscall"
	"time"
)

// System is what guards an agent: deadman, or what people use today.
type System interface {
	Name() string
	// Begin sets the guard up and has it, or what it works with, start the agent.
	Begin(w *World) error
	// Ready: it has seen the agent well for so long that it would call its config
	// good, if it knows such a thing.
	Ready(w *World) bool
	// Rounds lets so many periods pass.
	Rounds(w *World, n int)
	// Restart is an operator's ordinary restart of the agent.
	Restart(w *World) error
	// Operator is a command of its own; without such, nothing.
	Operator(w *World, args []string) error
	// Quiet: it has nothing in hand.
	Quiet(w *World) bool
	// KnownGood are the contents that it would put back now, by file; nil if it
	// keeps none.
	KnownGood(w *World) map[string]string
	// Stores are the directories in which it keeps contents. Secrets may be there.
	Stores(w *World) []string
	// Told are the lines of its record.
	Told(w *World) []string
	// Typed: its record has kinds, causes and reasons. What has none has told if a
	// line of its log is about the death.
	Typed() bool
	// End ends the guard.
	End(w *World)
}

// tells reports whether one line has all the words.
func tells(lines, words []string) bool {
	for _, line := range lines {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// pass is what a round is where nobody says that it was made.
func pass(n int) { time.Sleep(time.Duration(n) * Period) }

// restartByHand ends the agent and starts it again.
func restartByHand(w *World) error {
	pid := w.pid()
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		w.until("its end", patience, func() bool { return !lives(pid) })
	}
	return w.run("agent", w.Daemon()...)
}
