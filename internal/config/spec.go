package config

import (
	"fmt"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v4"
)

// kind is what a key's value is, or what each element of it is.
type kind uint8

const (
	_        kind = iota
	group         // keys of its own
	text          // any text
	word          // one argument or variable: numbers and booleans are taken as written
	name          // of an agent, check or set; may become a file name
	absPath       // an absolute, clean path
	anyPath       // the same, or relative to the first root
	relPath       // a clean path beneath something else
	pattern       // files beneath a root
	keyRef        // file#path
	url           // http or https
	target        // a URL of any scheme: where messages go
	address       // host:port
	duration      // 10s
	size          // 16MiB
	integer       // whole number
	number        // number
	boolean       // true or false
	choice        // one of a closed list
	scalar        // any JSON value that is neither list nor map
)

var kindNames = [...]string{
	"", "group", "text", "text", "name", "absolute path", "path", "relative path", "pattern",
	"file#path", "URL", "target", "host:port", "duration", "size", "whole number", "number", "true or false", "one of", "value",
}

// shape is how many values of its kind a key takes.
type shape uint8

const (
	one       shape = iota
	list            // [a, b]
	command         // [program, argument…]: a list that is not empty
	named           // {name: a, name: b}
	oneOrMany       // a or [a, b]
)

// key is one row of the table. The decoder, docs/reference.md and the JSON
// Schema are all made from these rows and from nothing else.
type key struct {
	// path is dotted. `*` stands for a name that the user chooses.
	path  string
	kind  kind
	shape shape

	// def is the default as it would be written; "" is none. defNote is what
	// the reference says of one that depends on something else.
	def, defNote string
	// min and max bound the value, or each element of a list, as it would be
	// written; "" is unbounded.
	min, max string
	enum     []string // of a choice
	why      string

	// oneForm makes a group a choice between forms: exactly one of the keys
	// beneath it whose form is their own name must be there.
	oneForm bool
	// form is the form that a key belongs to; "" is any.
	form string

	required bool
	nonEmpty bool
	// later marks a key that is read, checked, and then refused, because this
	// version cannot do it yet. Clearing it is all that a later version does.
	later bool
	// secret marks a value that never appears in an excerpt.
	secret bool
}

// spec is a row in its place in the tree.
type spec struct {
	key
	name string
	kids []*spec
	// fallback is the decoded default. Its list or map may be shared: it is
	// never written to.
	fallback *value
}

// kid returns the key called name that is valid in the given form of s.
func (s *spec) kid(name, form string) *spec {
	for _, k := range s.kids {
		if k.name == name && (k.form == "" || k.form == form) {
			return k
		}
	}
	return nil
}

// group returns the key called name that has keys of its own.
func (s *spec) group(name string) *spec {
	for _, k := range s.kids {
		if k.name == name && k.kind == group {
			return k
		}
	}
	return nil
}

// forms returns the leading keys of the forms of s.
func (s *spec) forms() []*spec {
	var out []*spec
	for _, k := range s.kids {
		if k.form == k.name && k.form != "" {
			out = append(out, k)
		}
	}
	return out
}

// tables holds the compiled rows.
type tables struct {
	file  *spec // of the main file
	agent *spec // of one agent, and of defaults
}

// compiled hangs the rows under each other. A row that is wrong is a bug in
// this package, so it panics, and every test fails.
var compiled = sync.OnceValue(func() tables {
	agent := compile(key{kind: group}, agentKeys)
	file := compile(key{kind: group}, fileKeys)
	file.kid("defaults", "").kids = agent.kids
	agents := file.kid("agents", "")
	agents.kids = agent.kids
	return tables{file: file, agent: agent}
})

// defaultNode is what YAML makes of a default. Every start of the program reads
// them all, so only those that are more than a word, a number, or an empty list
// or map go through a YAML reader.
func defaultNode(def string) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: def, Line: 1, Column: 1}
	digits := strings.TrimLeft(def, "0123456789")
	letters := strings.Trim(digits, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	switch {
	case def == "[]":
		n.Kind, n.Tag, n.Value = yaml.SequenceNode, "!!seq", ""
	case def == "{}":
		n.Kind, n.Tag, n.Value = yaml.MappingNode, "!!map", ""
	case def == "true", def == "false":
		n.Tag = "!!bool"
	case digits == "" && def[0] != '0', def == "0":
		n.Tag = "!!int"
	case digits != def && digits != "" && letters == "", len(def) >= 6 && letters == "" && def == strings.ToLower(def):
		// A duration or a size, or a word longer than any of YAML's own.
		n.Tag = "!!str"
	default:
		var doc yaml.Node
		if err := yaml.Load([]byte(def), &doc); err != nil {
			return nil, err
		}
		n = doc.Content[0]
	}
	return n, nil
}

func compile(root key, rows []key) *spec {
	top := &spec{key: root}
	for _, row := range rows {
		parent, last := top, row.path
		for {
			first, rest, more := strings.Cut(last, ".")
			if !more {
				break
			}
			if first == "*" {
				last = rest
				continue
			}
			next := parent.group(first)
			if next == nil {
				panic(fmt.Sprintf("config table: %s comes before its group", row.path))
			}
			parent, last = next, rest
		}
		s := &spec{key: row, name: last}
		parent.kids = append(parent.kids, s)
		if row.def == "" {
			continue
		}
		src := newSource("default of "+row.path, []byte(row.def))
		n, err := defaultNode(row.def)
		if err != nil {
			panic(fmt.Sprintf("config table: default of %s: %v", row.path, err))
		}
		r := reader{src: src, found: &collection{}, budget: maxNodes}
		v := r.read(s, n, nil, row.path)
		if len(r.found.list) > 0 {
			panic(fmt.Sprintf("config table: default of %s: %v", row.path, r.found.list))
		}
		v.absent = true
		s.fallback = v
	}
	return top
}
