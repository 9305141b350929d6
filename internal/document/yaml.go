package document

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxAliased bounds the values that the aliases of one file may stand for.
// Nine aliases of nine each, ten levels deep, are a few hundred bytes and 10^9
// values.
const maxAliased = 1 << 16

func parseYAML(src []byte) (*node, error) {
	docs, err := loadYAML(src)
	if err != nil {
		return nil, err
	}
	b := yamlBuilder{open: make(map[*yaml.Node]bool)}
	var roots []*node
	for _, doc := range docs {
		root, err := b.build(doc, 0)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	switch {
	case len(roots) == 0:
		return nil, nil
	case len(roots) > 1:
		return &node{kind: listNode, items: roots}, nil
	case roots[0].kind == nullNode && roots[0].tag == "":
		return nil, nil // "---" and nothing, or comments only
	}
	return roots[0], nil
}

// loadYAML returns the outermost node of each document in src.
func loadYAML(src []byte) (docs []*yaml.Node, err error) {
	// A file may be hostile, and the parser is not ours: what it panics on is
	// a broken file and must not take the switch down.
	defer func() {
		if recover() != nil {
			docs, err = nil, &SyntaxError{Message: "the YAML parser failed on this file"}
		}
	}()
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, &SyntaxError{Message: "the YAML parser cannot be set up"}
	}
	for {
		var doc yaml.Node
		switch err := loader.Load(&doc); {
		case err == io.EOF:
			return docs, nil
		case err != nil:
			return nil, yamlError(src, err)
		}
		if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
			docs = append(docs, doc.Content[0])
		}
	}
}

func yamlError(src []byte, err error) *SyntaxError {
	var several *yaml.LoadErrors
	if errors.As(err, &several) && len(several.Errors) > 0 {
		err = several.Errors[0]
	}
	var one *yaml.LoadError
	if !errors.As(err, &one) {
		return &SyntaxError{Message: "the YAML cannot be read"}
	}
	e := &SyntaxError{Line: one.Mark.Line, Column: one.Mark.Column, Message: yamlWording(one)}
	// The parser ends a last line that has no end: what is missing there is
	// missing behind the last character, and not on a line that nobody can see.
	if last, _ := position(src, len(src)); e.Line == last+1 && !bytes.ContainsAny(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), "\r\u0085\u2028\u2029") {
		e.Line, e.Column = position(src, len(src))
	}
	return e
}

// yamlBuilder turns the parser's nodes into ours, with aliases written out.
type yamlBuilder struct {
	open    map[*yaml.Node]bool // nodes being built: an alias to one is a loop
	within  int                 // aliases that are being written out, one in another
	aliased int
}

func (b *yamlBuilder) build(y *yaml.Node, depth int) (*node, error) {
	fail := func(message string) (*node, error) {
		return nil, &SyntaxError{Line: y.Line, Column: y.Column, Message: message}
	}
	if b.within > 0 {
		if b.aliased++; b.aliased > maxAliased {
			return fail("the aliases stand for too many values")
		}
	}
	if depth > maxDepth {
		return fail("the nesting is too deep")
	}
	if y.Kind == yaml.AliasNode {
		if y.Alias == nil || b.open[y.Alias] {
			return fail("an alias stands for something that contains it")
		}
		b.within++
		n, err := b.build(y.Alias, depth+1)
		b.within--
		if err != nil {
			return nil, err
		}
		here := *n
		here.line, here.column = y.Line, y.Column
		return &here, nil
	}
	b.open[y] = true
	defer delete(b.open, y)

	n := &node{line: y.Line, column: y.Column}
	switch y.Kind {
	case yaml.ScalarNode:
		n.kind, n.text, n.tag = yamlScalar(y)
		return n, nil
	case yaml.SequenceNode:
		n.kind, n.tag = listNode, ownTag(y, "!!seq")
		for _, item := range y.Content {
			v, err := b.build(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, v)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind, n.tag = mapNode, ownTag(y, "!!map")
	default:
		return fail("the structure is broken")
	}
	type id struct {
		kind kind
		key  string
	}
	seen := make(map[id]bool)
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, err := b.build(y.Content[i], depth+1)
		if err != nil {
			return nil, err
		}
		m := member{key: k.text, keyKind: k.kind}
		if k.isContainer() {
			m.key, m.keyKind = string(appendCanonical(nil, k)), mapNode
		}
		if m.keyKind == plainNode {
			m.keyKind = stringNode // `on:` and `"on":` collide in most readers
		}
		if seen[id{m.keyKind, m.key}] {
			return nil, &SyntaxError{Line: y.Content[i].Line, Column: y.Content[i].Column, Message: "a key is given twice"}
		}
		seen[id{m.keyKind, m.key}] = true
		if m.value, err = b.build(y.Content[i+1], depth+1); err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
	return n, nil
}

// yamlScalar returns type and text. Spellings of null and of truth are one;
// numbers and dates keep theirs.
func yamlScalar(y *yaml.Node) (k kind, text, tag string) {
	quoted := y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch short := y.ShortTag(); short {
	case "!!null":
		return nullNode, "", ""
	case "!!bool":
		return boolNode, strings.ToLower(y.Value), ""
	case "!!int":
		return numberNode, y.Value, ""
	case "!!float":
		return numberNode, y.Value, ""
	case "!!timestamp":
		return timeNode, y.Value, ""
	case "!!str":
		if !quoted && y.Style&yaml.TaggedStyle == 0 && ambiguous(y.Value) {
			return plainNode, y.Value, ""
		}
		return stringNode, y.Value, ""
	case "!!merge":
		return stringNode, y.Value, ""
	default:
		return taggedNode, y.Value, short
	}
}

// ambiguous reports whether YAML 1.1 readers (PyYAML among them) may take the
// plain scalar s for something other than a string.
func ambiguous(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "=", "<<":
		return true
	}
	return s != "" && strings.ContainsRune("0123456789+-.", rune(s[0]))
}

// ownTag is the tag of a collection unless it is the usual one.
func ownTag(y *yaml.Node, usual string) string {
	if tag := y.ShortTag(); tag != usual && tag != "" {
		return tag
	}
	return ""
}
