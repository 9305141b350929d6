package rival

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// commentMark begins a line that was commented out. All files whose lines are shared
// begin a comment with #.
const commentMark = "# disabled by deadman rivals: "

// span is a rival's own lines in a shared file, from 1, the last one included.
type span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// spansOf are the lines of rivals in one file, in order and each line once.
func spansOf(rivals []Rival) []span {
	var all []span
	for _, r := range rivals {
		all = append(all, span{r.from, r.to})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// commented are bytes in which these lines are comments, and nothing else is
// different.
func commented(data []byte, spans []span) []byte {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if slices.ContainsFunc(spans, func(s span) bool { return s.From <= n && n <= s.To }) {
			b.WriteString(commentMark)
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

// linesOf are the lines of a text without their ends: who appends to a file ends its
// last line, and that changes none.
func linesOf(data []byte) []string {
	var all []string
	for line := range strings.Lines(string(data)) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

// places are where these lines follow each other in a text.
func places(text, lines []string) []int {
	var at []int
	for i := range len(text) - len(lines) + 1 {
		if slices.Equal(text[i:i+len(lines)], lines) {
			at = append(at, i)
		}
	}
	return at
}

// shared is how far the commenting out of lines has come, as the bytes of the file
// now say, the bytes that restoring would make of them, and in words what is in its
// way.
//
// The file has other writers: cron's table gets another job, a unit another line. What
// they wrote stays. A line is known again by its whole text with the mark before it,
// which nobody else writes; those of one rival are known together. Each must be in
// the file as often as when it was disabled, and none of them without the mark that was
// not there then: somebody who took one away, or has put it in again, meant that, and
// where a line is twice its place is the one that its order says.
func (e entry) shared(now []byte) (s state, back []byte, why string) {
	switch sumOf(now) {
	case e.Before:
		return stateUndone, now, ""
	case e.After:
		return stateDone, e.Text, ""
	}
	marked := commented(e.Text, e.Lines)
	if len(e.Lines) == 0 || sumOf(e.Text) != e.Before || sumOf(marked) != e.After {
		return stateChanged, nil, changedSince
	}
	was, aside, is := linesOf(e.Text), linesOf(marked), linesOf(now)
	unmark := map[int]bool{} // lines of is
	for _, l := range e.Lines {
		plain, comment := was[l.From-1:l.To], aside[l.From-1:l.To]
		// How many of the places with this text are ours, and which.
		ours := map[int]bool{}
		for _, o := range e.Lines {
			if slices.Equal(was[o.From-1:o.To], plain) {
				ours[o.From-1] = true
			}
		}
		then, here := places(aside, comment), places(is, comment)
		alive := len(places(is, plain))
		switch {
		case len(here) == len(then) && alive == len(places(aside, plain)):
			for i, at := range then {
				for k := range comment {
					if ours[at] {
						unmark[here[i]+k] = true
					}
				}
			}
		case len(here) == len(then)-len(ours) && alive == len(places(was, plain)):
			// Somebody has put it back.
		case alive > len(places(aside, plain)):
			return stateChanged, nil, fmt.Sprintf("its line %d, which was disabled, is in it a second time now", l.From)
		default:
			return stateChanged, nil, fmt.Sprintf("its line %d, which was disabled, is gone or another now", l.From)
		}
	}
	if len(unmark) == 0 {
		return stateUndone, now, ""
	}
	var b strings.Builder
	n := 0
	for line := range strings.Lines(string(now)) {
		if unmark[n] {
			line = strings.TrimPrefix(line, commentMark)
		}
		b.WriteString(line)
		n++
	}
	return stateDone, []byte(b.String()), ""
}
