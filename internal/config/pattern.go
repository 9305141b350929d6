package config

import (
	"path"
	"strings"
	"unicode/utf8"
)

// wrongPattern judges a pattern of files beneath a root, by the rules that
// captures follow.
func wrongPattern(p string) (why, hint string) {
	switch {
	case p == "":
		return "it is empty", ""
	case strings.HasPrefix(p, "~"), strings.HasPrefix(p, "/"):
		return "it is not relative to root", "write it as seen from the directory in `root`"
	case strings.Contains(p, "${"):
		return "${…} is not expanded", "write the whole name"
	}
	for e := range strings.SplitSeq(p, "/") {
		switch {
		case e == "" || e == "." || e == "..":
			return "it is not a clean path", "leave out `.`, `..`, doubled slashes and a slash at the end"
		case e != "**" && strings.Contains(e, "**"):
			return "it has ** beside other text", "** stands alone between slashes"
		}
		if _, err := path.Match(e, ""); err != nil {
			return "a bracket or an escape is not closed", ""
		}
		if name := unescaped(e); name == "." || name == ".." {
			return "it is not a clean path", "leave out `.` and `..`, also with a backslash before them"
		}
	}
	return "", ""
}

// unescaped is the one name that an element with escapes stands for, "" if it has
// none, or wildcards as well.
func unescaped(e string) string {
	if !strings.Contains(e, `\`) || strings.ContainsAny(e, "*?[") {
		return ""
	}
	var name strings.Builder
	for _, t := range tokens(e) {
		name.WriteRune(t.ranges[0][0])
	}
	return name.String()
}

// glob is a pattern as absolute elements, so that patterns of different roots
// can be compared.
type glob []element

// element matches one name, or with deep any number of names.
type element struct {
	text   string
	deep   bool
	tokens []token
}

// token matches one character or, if star, any number of them.
type token struct {
	star   bool
	negate bool
	ranges [][2]rune // empty with negate: any character
}

// absolute returns the glob of a pattern beneath root. `**` at the end stands
// for at least one name.
func absolute(root, pattern string) glob {
	g := literal(root)
	elements := strings.Split(pattern, "/")
	for i, e := range elements {
		if e != "**" {
			g = append(g, element{text: e, tokens: tokens(e)})
			continue
		}
		g = append(g, element{text: e, deep: true})
		if i == len(elements)-1 {
			g = append(g, element{text: "*", tokens: tokens("*")})
		}
	}
	return g
}

// literal returns the glob that matches only p.
func literal(p string) glob {
	var g glob
	for e := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if e == "" {
			continue
		}
		var t []token
		for _, r := range e {
			t = append(t, token{ranges: [][2]rune{{r, r}}})
		}
		g = append(g, element{text: e, tokens: t})
	}
	return g
}

// tokens reads one element that path.Match accepts.
func tokens(e string) []token {
	var out []token
	next := func() rune {
		r, n := utf8.DecodeRuneInString(e)
		e = e[n:]
		return r
	}
	char := func() rune {
		r := next()
		if r == '\\' {
			r = next()
		}
		return r
	}
	for e != "" {
		switch e[0] {
		case '*':
			next()
			out = append(out, token{star: true})
		case '?':
			next()
			out = append(out, token{negate: true})
		case '[':
			next()
			var t token
			if strings.HasPrefix(e, "^") {
				next()
				t.negate = true
			}
			for first := true; e != "" && (first || e[0] != ']'); first = false {
				low := char()
				high := low
				if strings.HasPrefix(e, "-") {
					next()
					high = char()
				}
				t.ranges = append(t.ranges, [2]rune{low, high})
			}
			next()
			out = append(out, t)
		default:
			r := char()
			out = append(out, token{ranges: [][2]rune{{r, r}}})
		}
	}
	return out
}

func (t token) matches(r rune) bool {
	for _, x := range t.ranges {
		if x[0] <= r && r <= x[1] {
			return !t.negate
		}
	}
	return t.negate
}

// meets reports whether some character matches both. Of two negated classes
// it says yes, which is true unless they cover all of Unicode.
func (t token) meets(o token) bool {
	if t.negate && o.negate {
		return true
	}
	if t.negate {
		t, o = o, t
	}
	for _, x := range t.ranges {
		for _, y := range o.ranges {
			if !o.negate && max(x[0], y[0]) <= min(x[1], y[1]) {
				return true
			}
			// The first character after a range that o leaves out may be in.
			if r := y[1] + 1; o.negate && x[0] <= r && r <= x[1] && o.matches(r) {
				return true
			}
		}
		if o.negate && o.matches(x[0]) {
			return true
		}
	}
	return false
}

// meet reports whether some path matches both a and b.
func meet(a, b glob) bool {
	return meetAll(len(a), len(b),
		func(i int) bool { return a[i].deep },
		func(j int) bool { return b[j].deep },
		func(i, j int) bool { return a[i].meets(b[j]) })
}

// meets reports whether some name matches both.
func (e element) meets(o element) bool {
	if e.text == o.text {
		return true // also of a class that matches nothing, which is no loss
	}
	return meetAll(len(e.tokens), len(o.tokens),
		func(i int) bool { return e.tokens[i].star },
		func(j int) bool { return o.tokens[j].star },
		func(i, j int) bool { return e.tokens[i].meets(o.tokens[j]) })
}

// meetAll walks two sequences side by side. A starred item stands for any
// number of whatever is on the other side. It is the same walk for the names
// of a path and for the characters of a name.
func meetAll(n, m int, starA, starB func(int) bool, meets func(i, j int) bool) bool {
	// Most pairs differ before the first star, and a config has many pairs.
	from := 0
	for from < n && from < m && !starA(from) && !starB(from) {
		if !meets(from, from) {
			return false
		}
		from++
	}
	// reach[i][j]: the rest of a from i and of b from j have a common match.
	reach := make([][]bool, n+1)
	for i := n; i >= from; i-- {
		reach[i] = make([]bool, m+1)
		for j := m; j >= from; j-- {
			switch {
			case i == n && j == m:
				reach[i][j] = true
			case i < n && starA(i):
				reach[i][j] = reach[i+1][j] || (j < m && reach[i][j+1])
			case j < m && starB(j):
				reach[i][j] = reach[i][j+1] || (i < n && reach[i+1][j])
			case i < n && j < m && meets(i, j):
				reach[i][j] = reach[i+1][j+1]
			}
		}
	}
	return reach[from][from]
}

// covers reports whether a, as a pattern that excludes, surely takes away
// everything that b matches. Whatever is beneath an excluded directory is
// excluded. When in doubt the answer is no.
func covers(a, b glob) bool {
	// all[i][j]: the rest of a from i covers the rest of b from j.
	all := make([][]bool, len(a)+1)
	for i := len(a); i >= 0; i-- {
		all[i] = make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a):
				all[i][j] = true
			case j == len(b):
			case a[i].deep:
				all[i][j] = all[i+1][j] || all[i][j+1]
			case a[i].covers(b[j]):
				all[i][j] = all[i+1][j+1]
			}
		}
	}
	return all[0][0]
}

func (e element) covers(o element) bool {
	switch {
	case o.deep:
		return false
	case e.text == o.text || e.text == "*":
		return true
	}
	for _, t := range o.tokens {
		if t.star || t.negate || len(t.ranges) != 1 || t.ranges[0][0] != t.ranges[0][1] {
			return false
		}
	}
	return e.meets(o)
}
