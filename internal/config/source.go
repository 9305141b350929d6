package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"deadman/internal/lazy"
)

// source is the text of one file, for excerpts.
type source struct {
	file    string
	lines   []string
	tainted map[int]bool // lines, from 1; see taint
}

// oneBreak turns everything that the YAML reader counts as the end of a line
// into one.
var oneBreak = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func newSource(file string, data []byte) *source {
	return &source{file: file, tainted: map[int]bool{}, lines: strings.Split(oneBreak.Replace(strings.ToValidUTF8(string(data), "\uFFFD")), "\n")}
}

// place is a position in a file.
type place struct {
	src          *source
	line, column int
}

// from says where p is, to a reader who is in file.
func (p place) from(file string) string {
	switch {
	case p.src == nil:
		return "the default"
	case p.src.file == file:
		return fmt.Sprintf("line %d", p.line)
	default:
		return fmt.Sprintf("%s:%d", p.src.file, p.line)
	}
}

func (p place) error(message, hint string) *Error {
	return &Error{File: p.src.file, Line: p.line, Column: p.column, Message: message, hint: hint, src: p.src}
}

// keyError is an error whose excerpt shows nothing after the key. What follows
// a key that nobody knows could be anything, a webhook under a misspelt
// `notify` too.
func (p place) keyError(message, hint string) *Error {
	e := p.error(message, hint)
	e.cut = thisKey
	return e
}

// cut is how much of a line an excerpt shows.
type cut uint8

const (
	wholeLine cut = iota
	thisKey       // up to the key at the column
	firstKey      // up to the first key; for a line that does not parse
	nothing       // the key itself could be anything
)

// taint says that the lines hold a value that no key of the table describes.
func (s *source) taint(from, to int) {
	for ; from <= to && from <= len(s.lines); from++ {
		s.tainted[from] = true
	}
}

// onlyKeys is a line that shows nothing but the beginning of a list or map and
// one plain key.
var onlyKeys = lazy.Regexp(`^[\s{\[-]*["']?[A-Za-z0-9_./-]{1,64}["']?\s*: …$`)

// excerpt returns the line with a caret under the column, cut as asked. A line
// that could hold a secret is not shown.
func (s *source) excerpt(line, column int, cut cut) string {
	if line < 1 || line > len(s.lines) || column < 1 || cut == nothing {
		return ""
	}
	if s.tainted[line] && cut == wholeLine {
		cut = firstKey
	}
	shown := s.lines[line-1]
	runes := []rune(shown)
	if column > len(runes)+1 {
		return ""
	}
	if s.secret(line) {
		return fmt.Sprintf("%5d | (not shown: it may hold a secret)", line)
	}
	if cut != wholeLine {
		from := 0
		// Before the key at the column there may be values of others.
		if before := string(runes[:column-1]); cut == thisKey && !strings.Contains(before, ":") {
			from = len(before)
		}
		end := strings.IndexByte(shown[from:], ':')
		if end < 0 {
			return ""
		}
		shown = shown[:from+end+1] + " …"
		if !onlyKeys().MatchString(shown) {
			return ""
		}
		if column > len([]rune(shown)) {
			return fmt.Sprintf("%5d | %s", line, printable(shown))
		}
	}
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(runes[:column-1]))
	return fmt.Sprintf("%5d | %s\n      | %s^", line, printable(shown), pad)
}

// printable keeps a file from writing control sequences to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0)) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// secretKeys finds a key of the table that is marked secret in a line of
// text. It must work on a file that does not parse, so it knows no YAML.
var secretKeys = sync.OnceValue(func() *regexp.Regexp {
	var names []string
	for _, k := range slices.Concat(fileKeys, agentKeys) {
		if k.secret {
			names = append(names, regexp.QuoteMeta(k.path[strings.LastIndexByte(k.path, '.')+1:]))
		}
	}
	return regexp.MustCompile(`(?:^|[\s{,"'])(?:` + strings.Join(names, "|") + `)["']?\s*:`)
})

// A URL that leads off the machine, or carries more than a path, may be a
// webhook or hold a token.
var (
	anyURL   = lazy.Regexp(`(?i)[a-z][a-z0-9+.-]*:(//|\\/\\/)\S*`)
	plainURL = lazy.Regexp(`(?i)^https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]*)?(/[a-z0-9_./-]*)?["',}\]]*$`)
)

// secret reports whether the line, or a key that it stands beneath, could hold
// a secret.
func (s *source) secret(line int) bool {
	text := s.lines[line-1]
	for _, u := range anyURL().FindAllString(text, -1) {
		if !plainURL().MatchString(u) {
			return true
		}
	}
	if secretKeys().MatchString(text) {
		return true
	}
	// Walk up to the keys that this line is beneath: each is indented less
	// than all lines after it. A list may stand at its key's own indent. A
	// flow list or map may be indented anyhow, so inside one every line up to
	// its opening counts.
	depth, open := indent(text), 0
	item := strings.HasPrefix(strings.TrimSpace(text), "-")
	for i := line - 2; i >= 0; i-- {
		above := s.lines[i]
		trimmed := strings.TrimSpace(above)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		open += strings.Count(above, "{") + strings.Count(above, "[") - strings.Count(above, "}") - strings.Count(above, "]")
		in := indent(above)
		beneath := in < depth || (item && in == depth && trimmed[0] != '-') || open > 0
		if !beneath {
			continue
		}
		if secretKeys().MatchString(above) {
			return true
		}
		if in <= depth {
			depth, item = in, strings.HasPrefix(trimmed, "-")
		}
		open = min(open, 0)
	}
	return false
}

// indent counts the blanks at the beginning of a line.
func indent(line string) int {
	return len(line) - len(strings.TrimLeft(line, " \t"))
}
