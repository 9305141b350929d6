package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"deadman/internal/atomicfile"
)

// ValidPattern says why pattern cannot be used in Files, Exclude or Reads: it
// must be relative, UTF-8, without empty, "." or ".." elements, its brackets
// must be closed, and `**` must be an element of its own.
func ValidPattern(pattern string) error {
	switch {
	case pattern == "":
		return fmt.Errorf("cannot use pattern %q: it is empty", pattern)
	case strings.HasPrefix(pattern, "/"):
		return fmt.Errorf("cannot use pattern %q: it must be relative to root", pattern)
	case strings.ContainsRune(pattern, 0) || !utf8.ValidString(pattern) || len(pattern) > maxPath:
		return fmt.Errorf("cannot use pattern %q: it is not a path in UTF-8", pattern)
	}
	for element := range strings.SplitSeq(pattern, "/") {
		switch {
		case element == "":
			return fmt.Errorf("cannot use pattern %q: it has an empty element", pattern)
		case element == "." || element == "..":
			return fmt.Errorf("cannot use pattern %q: it has a %q element", pattern, element)
		case element != "**" && strings.Contains(element, "**"):
			return fmt.Errorf("cannot use pattern %q: ** must be an element of its own", pattern)
		}
		if _, err := path.Match(element, ""); err != nil {
			return fmt.Errorf("cannot use pattern %q: brackets or escapes are not closed", pattern)
		}
		if name, ok := literal(element); ok && (name == "." || name == "..") {
			return fmt.Errorf("cannot use pattern %q: it has a %q element", pattern, name)
		}
	}
	return nil
}

// Matches reports whether today's patterns say that the file at path (relative
// to Root) is captured and may be restored: Files match it, Exclude and Reads
// do not.
func (s Set) Matches(path string) bool {
	return s.verdict(path).files
}

// Match reports whether m may be restored under the patterns of sets: for a
// file or link that is Matches of the set with its label; for a directory,
// that something beneath it could be such a file. A member that another agent
// owns may not.
func Match(sets []Set, m Member) bool {
	i := slices.IndexFunc(sets, func(s Set) bool { return s.Label == m.Set })
	if i < 0 || m.Reads {
		return false
	}
	v := sets[i].verdict(m.Path)
	switch m.Type {
	case Dir:
		return v.beneath
	case Link:
		return v.files || v.beneath // it may stand where a directory belongs
	}
	return v.files
}

// verdict is what a set's patterns say about one path.
type verdict struct {
	files   bool // captured and restored
	reads   bool // captured and compared
	beneath bool // a path beneath this one could be matched by Files
}

func (s Set) verdict(path string) verdict {
	if !validPath(path) {
		return verdict{}
	}
	at := s.start()
	var v verdict
	for name := range strings.SplitSeq(path, "/") {
		at, v = at.step(name)
	}
	return v
}

// position is how far each pattern of a set has got on the way down a path. It
// is the one implementation of the patterns: Observe walks with it, and
// Matches asks it.
type position struct {
	files, reads, exclude []rest
	base                  []string // exclude patterns without a slash
}

// rest is the elements of one pattern that are still to be matched.
type rest []string

func (s Set) start() position {
	var p position
	for _, list := range []struct {
		from []string
		to   *[]rest
	}{{s.Files, &p.files}, {s.Reads, &p.reads}, {s.Exclude, &p.exclude}} {
		for _, pattern := range list.from {
			*list.to = append(*list.to, strings.Split(pattern, "/"))
		}
	}
	for _, pattern := range s.Exclude {
		if !strings.Contains(pattern, "/") {
			p.base = append(p.base, pattern)
		}
	}
	return p
}

// step goes down to name: the position there, and what the patterns say of it.
// An excluded name, and one of our own temporary files, is a dead end.
func (p position) step(name string) (position, verdict) {
	exclude, excluded := advance(p.exclude, name)
	for _, pattern := range p.base {
		excluded = excluded || matchElement(pattern, name)
	}
	if excluded || strings.HasPrefix(name, atomicfile.Prefix) {
		return position{}, verdict{}
	}
	next := position{exclude: exclude, base: p.base}
	var v verdict
	next.files, v.files = advance(p.files, name)
	next.reads, v.reads = advance(p.reads, name)
	v.files = v.files && !v.reads
	v.beneath = len(next.files) > 0
	return next, v
}

// open reports whether anything beneath could be matched.
func (p position) open() bool { return len(p.files)+len(p.reads) > 0 }

// beyond reports whether a pattern is further on in p than it was at from, the
// position before: then what is between was spelled out or matched, and not
// only passed by a **.
func (p position) beyond(from position) bool {
	passed := slices.Concat(from.files, from.reads)
	return slices.ContainsFunc(slices.Concat(p.files, p.reads), func(r rest) bool {
		return !slices.ContainsFunc(passed, func(o rest) bool { return slices.Equal(o, r) })
	})
}

// names returns the names that may follow when all of them are spelled out in
// the patterns, so that the directory need not be read.
func (p position) names() (names []string, all bool) {
	for _, r := range slices.Concat(p.files, p.reads) {
		name, ok := literal(r[0])
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// advance consumes name: what is left of each pattern after it, and whether
// one of them ends there.
func advance(patterns []rest, name string) (next []rest, end bool) {
	add := func(r rest) {
		if !slices.ContainsFunc(next, func(o rest) bool { return slices.Equal(o, r) }) {
			next = append(next, r)
		}
	}
	var eat func(r rest)
	eat = func(r rest) {
		if r[0] == "**" {
			add(r)
			if len(r) == 1 {
				end = true
			} else {
				eat(r[1:]) // ** may stand for no element
			}
			return
		}
		if !matchElement(r[0], name) {
			return
		}
		if len(r) == 1 {
			end = true
		} else {
			add(r[1:])
		}
	}
	for _, r := range patterns {
		eat(r)
	}
	return next, end
}

// matchElement is path.Match of a pattern that ValidPattern has accepted.
func matchElement(pattern, name string) bool {
	if pattern == "**" {
		return true
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// literal returns the one name that a pattern element stands for, if there is
// only one.
func literal(element string) (name string, ok bool) {
	if strings.ContainsAny(element, "*?[") && !strings.Contains(element, `\`) {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(element); i++ {
		switch element[i] {
		case '*', '?', '[':
			return "", false
		case '\\':
			if i++; i == len(element) {
				return "", false
			}
		}
		b.WriteByte(element[i])
	}
	return b.String(), true
}
