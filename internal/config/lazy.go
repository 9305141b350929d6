package config

import (
	"regexp"
	"sync"
)

// lazy compiles a pattern when it is first asked for. Compiling them all at
// start would be a good part of what a one-shot check costs.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
