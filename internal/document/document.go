package document

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"
)

// Document is a decoded file. A nil *Document is the empty document.
type Document struct {
	root *node // nil when there is nothing in the file
	// src is kept where values are placed by offset, for Scalars to count lines.
	src []byte
}

// SyntaxError says where a file stops being what its name says. It never
// holds a piece of the file.
type SyntaxError struct {
	// Line and Column count from 1, Column in characters; 0 is unknown.
	Line, Column int
	// Message says what is wrong, e.g. "a string is not closed".
	Message string
	// Duplicate: nothing is wrong but that a key is given twice. JSON, JSON5
	// and env have readers by the dozen that take the last one without a word,
	// so of those formats it does not say that an agent cannot start.
	Duplicate bool
}

func (e *SyntaxError) Error() string {
	switch {
	case e.Line == 0:
		return "cannot parse: " + e.Message
	case e.Column == 0:
		return fmt.Sprintf("cannot parse: line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("cannot parse: line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Parse decodes src. Every error is a *SyntaxError, and comes with a nil
// document. Empty YAML, TOML, INI and env files are valid and empty; an empty
// JSON or JSON5 file is an error, as it is to every reader of those (incident
// 22). An opaque file always parses.
func Parse(f Format, src []byte) (*Document, error) {
	root, err := parse(f, src)
	if err != nil {
		return nil, err
	}
	d := &Document{root: root}
	switch f {
	case JSON, JSON5, INI, Env:
		d.src = src
	}
	return d, nil
}

func parse(f Format, src []byte) (*node, error) {
	switch f {
	case YAML:
		return parseYAML(src)
	case JSON:
		return parseJSON(src, true)
	case JSON5:
		return parseJSON(src, false)
	case TOML:
		return parseTOML(src)
	case INI:
		return parseINI(src)
	case Env:
		return parseEnv(src)
	case Opaque:
		if len(src) == 0 {
			return nil, nil
		}
		return &node{kind: rawNode, text: string(src)}, nil
	}
	return nil, &SyntaxError{Message: "the format is not known"}
}

// TopLevel returns the keys of the outermost mapping, sorted, each as it
// stands in a path. It is nil where there is none: an opaque or empty file, a
// list, several YAML documents.
func (d *Document) TopLevel() []string {
	if d == nil || d.root == nil || d.root.kind != mapNode {
		return nil
	}
	keys := make([]string, 0, len(d.root.members))
	for _, m := range d.root.members {
		keys = append(keys, appendStep("", m.step()))
	}
	slices.Sort(keys)
	return keys
}

// Scalar is one value that is not a mapping or a list.
type Scalar struct {
	Path string
	// Line and Column are where the value begins; 0 where the parser does not
	// tell (TOML).
	Line, Column int
	// Text is the decoded value. It is the one place where this package hands
	// out a value: for looking at, never for printing.
	Text string
}

// Scalars yields every scalar of the document in the order of the file (TOML:
// sorted by key). An opaque document has none.
func (d *Document) Scalars() iter.Seq[Scalar] {
	return func(yield func(Scalar) bool) {
		if d != nil && d.root != nil {
			w := walker{src: d.src, line: 1, column: 1, yield: yield}
			w.walk(d.root, "")
		}
	}
}

// walker visits scalars in the order of the file and counts lines on the way,
// so that the whole walk reads the source once.
type walker struct {
	src                  []byte
	offset, line, column int
	yield                func(Scalar) bool
}

func (w *walker) walk(n *node, path string) bool {
	switch n.kind {
	case rawNode:
		return true
	case mapNode:
		for _, m := range n.members {
			if !w.walk(m.value, appendStep(path, m.step())) {
				return false
			}
		}
		return true
	case listNode:
		for i, v := range n.items {
			if !w.walk(v, appendStep(path, itemStep(i))) {
				return false
			}
		}
		return true
	}
	s := Scalar{Path: path, Line: n.line, Column: n.column, Text: n.text}
	if w.src != nil {
		for r, size := rune(0), 0; w.offset < n.start; w.offset += size {
			r, size = utf8.DecodeRune(w.src[w.offset:])
			w.column++
			if r == '\n' {
				w.line, w.column = w.line+1, 1
			}
		}
		s.Line, s.Column = w.line, w.column
	}
	return w.yield(s)
}

// step is the member's step in a printed path. A YAML key that is itself a
// mapping or a list has no name; it prints as "?".
func (m member) step() step {
	if m.keyKind == mapNode {
		return keyStep("?")
	}
	return keyStep(m.key)
}

// position returns line and column of a byte offset, both from 1, the column
// in characters. A line ends at LF.
func position(src []byte, offset int) (line, column int) {
	offset = min(max(offset, 0), len(src))
	before := src[:offset]
	line = 1 + bytes.Count(before, []byte{'\n'})
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}

func syntaxError(src []byte, offset int, message string) *SyntaxError {
	line, column := position(src, offset)
	return &SyntaxError{Line: line, Column: column, Message: message}
}

// duplicateError says where a key is given for the second time.
func duplicateError(src []byte, offset int) *SyntaxError {
	e := syntaxError(src, offset, "a key is given twice")
	e.Duplicate = true
	return e
}
