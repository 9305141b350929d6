package document

import (
	"fmt"
	"strconv"
	"strings"
)

// A step leads from a mapping or a list to one of its children.
type step struct {
	key   string
	index int // of a list item; -1 when key is meant
}

func keyStep(key string) step { return step{key: key, index: -1} }
func itemStep(i int) step     { return step{index: i} }

// ValidPath reports, by an error, why path is not a path (see the package
// comment for the syntax).
func ValidPath(path string) error {
	_, err := parsePath(path)
	return err
}

func parsePath(path string) ([]step, error) {
	fail := func(why string) ([]step, error) {
		return nil, fmt.Errorf("cannot read key path %q: %s", path, why)
	}
	if path == "" {
		return fail("it is empty")
	}
	var steps []step
	for rest := path; rest != ""; {
		switch {
		case rest[0] == '[':
			digits, after, ok := strings.Cut(rest[1:], "]")
			n, err := strconv.ParseUint(digits, 10, 31)
			if !ok || err != nil || (len(digits) > 1 && digits[0] == '0') {
				return fail("a list index is a whole number in brackets, as in list[3]")
			}
			steps, rest = append(steps, itemStep(int(n))), after
			if rest != "" && rest[0] != '.' && rest[0] != '[' {
				return fail("a dot is missing after a list index")
			}
			continue
		case len(steps) > 0:
			if rest[0] != '.' {
				return fail("a dot is missing after a key")
			}
			rest = rest[1:]
		}
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return fail("a quoted key is not closed")
			}
			key, err := strconv.Unquote(quoted)
			if err != nil {
				return fail("a quoted key cannot be read")
			}
			steps, rest = append(steps, keyStep(key)), rest[len(quoted):]
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		key := rest[:end]
		if !bareKey(key) {
			if key == "" {
				return fail("a key is empty")
			}
			return fail("a key with a bracket, a quote, a '#' or white space in it is written in double quotes")
		}
		steps, rest = append(steps, keyStep(key)), rest[end:]
	}
	return steps, nil
}

// bareKey reports whether key can stand in a path without quotes.
func bareKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return strings.ContainsRune(`."[]#\`, r) || r == ' ' || r == '\uFFFD' || !strconv.IsPrint(r)
	})
}

// appendStep returns path extended by s.
func appendStep(path string, s step) string {
	if s.index >= 0 {
		return path + "[" + strconv.Itoa(s.index) + "]"
	}
	key := s.key
	if !bareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func formatPath(steps []step) string {
	path := ""
	for _, s := range steps {
		path = appendStep(path, s)
	}
	return path
}

// covers reports whether b is a or lies under it.
func covers(a, b []step) bool {
	if len(a) > len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
