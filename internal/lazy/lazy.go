// Package lazy puts off until it is needed what would make every start of the
// program slower: a one-shot check is a new process each minute.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp compiles a pattern when it is first asked for. It panics then if the pattern is
// none, so it is for patterns that are written in the source.
func Regexp(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
