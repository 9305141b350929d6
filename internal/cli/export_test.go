package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/api"
)

var (
	Worst      = worst
	Fold       = fold
	Plain      = plain
	PlainLines = plainLines
	Brief      = brief
	PauseTime  = pauseTime
	AgentName  = agentName
	RootOf     = rootOf
	Notifier   = notifier
)

// Commands are all commands that help lists, and the root itself.
func Commands() []*cobra.Command {
	root := (&program{terminal: &terminal{}}).root()
	return append(visible(root), root)
}

// PrintStatus prints the table of `status`.
func PrintStatus(w io.Writer, report api.Report, now time.Time) {
	(&terminal{out: w}).status(report, now)
}

// PrintAgent prints what `check` says of an agent.
func PrintAgent(w io.Writer, a api.Agent) { (&terminal{}).agent(w, a) }

// Fail prints an error as Main does.
func Fail(w io.Writer, err error) { (&terminal{err: w}).fail(err) }

// Watchdog is the watchdog of `watch`, and WatchdogPace what it is set to.
var (
	Watchdog     = watchdog
	WatchdogPace = watchdogPace
)
