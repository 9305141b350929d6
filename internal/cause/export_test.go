package cause

import (
	"context"
	"time"

	"deadman"
)

// ParseKills and ParseGroup are the parsers, for recorded replies.
var (
	ParseKills = parseKills
	ParseGroup = parseGroup
)

// Full is what is said of a file system with these figures.
func Full(total, free, files, unused uint64, readOnly bool) string {
	return space{total: total, free: free, files: files, unused: unused, readOnly: readOnly}.full()
}

// Hang adds a question that nobody answers, until the returned function is called.
func Hang() (undo func()) {
	was := looks
	looks = append([]look{{deadman.DiskFull, func(context.Context, Agent) *Finding {
		time.Sleep(time.Hour)
		return nil
	}}}, looks...)
	return func() { looks = was }
}
