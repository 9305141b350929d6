package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Error is one thing that is wrong in a file, and where.
//
// Message and hint name keys, agents and places, never a value. An excerpt
// shows the line, but not what might be a secret in it.
type Error struct {
	File string
	// Line and Column count from 1; Column counts characters. Both are 0 if
	// the error is not at a place in the file.
	Line, Column int
	// Message begins with "cannot".
	Message string

	hint    string
	excerpt string

	// What the excerpt is made from once the whole file has been read, because
	// only then is it known which lines may be shown.
	src *source
	cut cut
}

// Error is "file:line:column: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Hint is what to do about it, or "".
func (e *Error) Hint() string { return e.hint }

// Excerpt is the line of the file with a caret under the column, in two lines
// without a final newline, or "". It may hold a value that was refused, so it
// is for the terminal of the person who wrote the file, and not for a log.
func (e *Error) Excerpt() string { return e.excerpt }

// Problems are all errors of all files, in the order of the files and then of
// their lines. It is nil if there are none.
type Problems []*Error

// Error is one error a line, without excerpts and hints.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors.
func (p Problems) Unwrap() []error {
	out := make([]error, len(p))
	for i, e := range p {
		out[i] = e
	}
	return out
}

// Err returns p as an error, which is nil if p is empty.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Print writes every error with its excerpt and its hint on lines of their
// own.
func (p Problems) Print(w io.Writer) error {
	var b strings.Builder
	for _, e := range p {
		fmt.Fprintln(&b, e.Error())
		if e.excerpt != "" {
			fmt.Fprintln(&b, e.excerpt)
		}
		if e.hint != "" {
			fmt.Fprintf(&b, "hint: %s\n", e.hint)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// maxProblems is where a file is so wrong that more errors help nobody.
const maxProblems = 200

// collection gathers errors. What is found twice (a default that is wrong for
// two agents) is kept once.
type collection struct {
	list  []*Error
	count int // how many were found, those kept once counted again
}

func (c *collection) add(e *Error) {
	c.count++
	if len(c.list) < maxProblems && !slices.ContainsFunc(c.list, func(o *Error) bool {
		return o.File == e.File && o.Line == e.Line && o.Column == e.Column && o.Message == e.Message
	}) {
		c.list = append(c.list, e)
	}
}

// problems returns what was found, sorted by place within files that come in
// the given order.
func (c *collection) problems(files []string) Problems {
	if len(c.list) == 0 {
		return nil
	}
	for _, e := range c.list {
		if e.src != nil {
			e.excerpt = e.src.excerpt(e.Line, e.Column, e.cut)
			e.src = nil
		}
	}
	slices.SortStableFunc(c.list, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
	return c.list
}
