package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

const pauseHelp = `Keeps the switch's hands off the agent for TIME, during a deploy for example.
TIME is 1s to 30d, such as 90s, 30m or 2h; there is no pause without an end. A
recovery that has the agent down is finished first. "deadman resume" ends it
earlier.`

func (p *program) pauseCommand() *cobra.Command {
	return p.word(&cobra.Command{
		Use: "pause AGENT TIME", Short: "hands off for a while", Long: pauseHelp, Args: cobra.ExactArgs(2),
	}, func(cmd *cobra.Command, args []string) (daemon.Arg, error) {
		return forTime(cmd, args[1])
	})
}

// forTime is for words that hold for a time.
func forTime(cmd *cobra.Command, text string) (daemon.Arg, error) {
	d, ok := pauseTime(text)
	if !ok {
		return daemon.Arg{}, wrong(cmd, "cannot %s for %q: TIME is 1s to 30d, such as 30m", cmd.Name(), text)
	}
	return daemon.Arg{For: d}, nil
}

// A pause always has an end (incident 68: one that failed towards silence).
const (
	pauseMin = time.Second
	pauseMax = 30 * day
	day      = 24 * time.Hour
)

// pauseTime reads a duration, of which Go knows all units but days.
func pauseTime(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 8)
		d = time.Duration(n) * day
	}
	return d, err == nil && d >= pauseMin && d <= pauseMax
}
