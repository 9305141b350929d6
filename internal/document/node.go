package document

import (
	"cmp"
	"slices"
	"strconv"
)

// kind is the decoded type of a node. It is part of a value: the string "1"
// and the number 1 differ.
type kind byte

const (
	nullNode   kind = 'n'
	boolNode   kind = 'b'
	numberNode kind = '1'
	timeNode   kind = 't'
	stringNode kind = 's'
	// plainNode is an unquoted YAML string that other readers of YAML take
	// for a truth value or a number: yes, off, 012, 12:30.
	plainNode kind = 'p'
	// taggedNode is a YAML scalar of a type we do not know.
	taggedNode kind = '!'
	// rawNode is the whole of an opaque file.
	rawNode  kind = 'r'
	mapNode  kind = 'm'
	listNode kind = 'l'
)

// maxDepth bounds nesting, so that no file can exhaust the stack.
const maxDepth = 1000

// A node is one decoded value. Nodes are not changed once built: documents
// share them.
type node struct {
	kind    kind
	text    string // of a scalar: unquoted, numbers as written
	tag     string // YAML: an explicit type of the file's own, if any
	members []member
	items   []*node

	// Where the value stands in the source: YAML by line and column from 1,
	// JSON, env and INI by byte offsets, TOML not at all.
	line, column int
	start, end   int
}

// A member is one key of a mapping with its value.
type member struct {
	key     string
	keyKind kind // stringNode but for YAML
	value   *node
	// start and end span the key as written, start with what belongs to it
	// on the left (env: "export "); JSON and env only.
	start, end int
}

func (n *node) isContainer() bool { return n.kind == mapNode || n.kind == listNode }

// isEmptyContainer: a mapping or list with nothing in it.
func (n *node) isEmptyContainer() bool {
	return n.isContainer() && len(n.members) == 0 && len(n.items) == 0
}

// child follows one step; nil if it leads nowhere. Two keys with the same
// text and different types (YAML: 1 and "1") cannot be told apart by a path,
// so neither is found.
func (n *node) child(s step) *node {
	if n == nil {
		return nil
	}
	if s.index >= 0 {
		if n.kind == listNode && s.index < len(n.items) {
			return n.items[s.index]
		}
		return nil
	}
	if i := n.memberIndex(s.key); i >= 0 {
		return n.members[i].value
	}
	return nil
}

func (n *node) memberIndex(key string) int {
	found := -1
	if n.kind != mapNode {
		return found
	}
	for i, m := range n.members {
		if m.key == key && m.keyKind != mapNode {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

func (n *node) at(steps []step) *node {
	for _, s := range steps {
		n = n.child(s)
	}
	return n
}

// with returns n with the value at steps taken from source, where it exists;
// mappings are made where parents are missing. ok is false where a parent is
// in the way that is not a mapping, or a list is too short. n nil is the empty
// document.
func (n *node) with(steps []step, source *node) (_ *node, ok bool) {
	if len(steps) == 0 {
		return source, true
	}
	s, rest, from := steps[0], steps[1:], source.child(steps[0])
	switch {
	case n == nil:
		n = &node{kind: mapNode}
	case s.index >= 0 && (n.kind != listNode || s.index >= len(n.items)):
		return nil, false
	case s.index < 0 && n.kind != mapNode:
		return nil, false
	}
	dup := *n
	if s.index >= 0 {
		if len(n.items) == 0 {
			return nil, false
		}
		dup.items = slices.Clone(n.items)
		dup.items[s.index], ok = n.items[s.index].with(rest, from)
		return &dup, ok
	}
	dup.members = slices.Clone(n.members)
	i := n.memberIndex(s.key)
	if i < 0 {
		i = len(dup.members)
		dup.members = append(dup.members, member{key: s.key, keyKind: source.members[source.memberIndex(s.key)].keyKind})
	}
	dup.members[i].value, ok = dup.members[i].value.with(rest, from)
	return &dup, ok
}

// without returns n less the subtrees at paths, and less every mapping or
// list above one of them that is empty then: with `seen` left out of account,
// `onboarding: {seen: true}`, `onboarding: {}` and no onboarding are one.
// nil means that nothing is left of n itself.
func (n *node) without(paths [][]step) *node {
	if n == nil || len(paths) == 0 {
		return n
	}
	dup := *n
	dup.members, dup.items = nil, nil
	keep := func(s step, v *node) *node {
		var under [][]step
		for _, p := range paths {
			if p[0] == s {
				if len(p) == 1 {
					return nil
				}
				under = append(under, p[1:])
			}
		}
		return v.without(under)
	}
	for _, m := range n.members {
		if m.value = keep(keyStep(m.key), m.value); m.value != nil {
			dup.members = append(dup.members, m)
		}
	}
	for i, v := range n.items {
		if v = keep(itemStep(i), v); v != nil {
			dup.items = append(dup.items, v)
		}
	}
	if dup.isEmptyContainer() {
		return nil
	}
	return &dup
}

// equal compares values: types, texts, keys in any order, items in order.
func equal(a, b *node) bool {
	return string(appendCanonical(nil, a)) == string(appendCanonical(nil, b))
}

// appendCanonical appends the one encoding of n. Every text is preceded by
// its length, so no two values share an encoding.
func appendCanonical(b []byte, n *node) []byte {
	if n == nil {
		return append(b, '0')
	}
	b = append(b, byte(n.kind))
	if n.tag != "" {
		b = appendText(append(b, '!'), n.tag)
	}
	switch n.kind {
	case mapNode:
		b = strconv.AppendInt(b, int64(len(n.members)), 10)
		b = append(b, ':')
		for _, m := range slices.SortedFunc(slices.Values(n.members), compareKeys) {
			b = appendText(append(b, byte(m.keyKind)), m.key)
			b = appendCanonical(b, m.value)
		}
	case listNode:
		b = strconv.AppendInt(b, int64(len(n.items)), 10)
		b = append(b, ':')
		for _, v := range n.items {
			b = appendCanonical(b, v)
		}
	default:
		b = appendText(b, n.text)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	return append(append(b, ':'), s...)
}

func compareKeys(a, b member) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.keyKind, b.keyKind))
}
