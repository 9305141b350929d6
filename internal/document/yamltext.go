package document

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// yamlText finds byte spans in YAML. The parser tells where a node begins;
// where it ends is found here, and only where there is no doubt.
type yamlText struct {
	src   []byte
	lines []int // offset of each line
	root  *yaml.Node
}

// newYAMLText reads src, which holds one document or (root nil) none.
func newYAMLText(src []byte) (*yamlText, error) {
	// The parser counts these as line breaks, or skips them; we do not.
	if !utf8.Valid(src) || bytes.ContainsAny(src, "\u0085\u2028\u2029\uFEFF") ||
		bytes.Count(src, []byte{'\r'}) != bytes.Count(src, []byte("\r\n")) {
		return nil, refuse("the text has line breaks or marks of a rare kind")
	}
	docs, err := loadYAML(src)
	if err != nil {
		return nil, refuse("%v", err)
	}
	if len(docs) > 1 {
		return nil, refuse("there are several documents in the file")
	}
	t := &yamlText{src: src, lines: []int{0}}
	for i, c := range src {
		if c == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	if len(docs) == 1 {
		t.root = docs[0]
	}
	return t, nil
}

// yamlPlace is a value and what it hangs from.
type yamlPlace struct {
	parent *yaml.Node // nil at the root
	key    *yaml.Node // nil for a list item and at the root
	value  *yaml.Node
}

// find follows steps as far as they lead: places[i] is behind i steps.
func (t *yamlText) find(steps []step) (places []yamlPlace, err error) {
	at := yamlPlace{value: t.root}
	places = []yamlPlace{at}
	for _, s := range steps {
		n := at.value
		next := yamlPlace{parent: n}
		switch {
		case n.Kind == yaml.AliasNode:
			return nil, refuse("the path leads through an alias")
		case s.index >= 0 && n.Kind == yaml.SequenceNode && s.index < len(n.Content):
			next.value = n.Content[s.index]
		case s.index < 0 && n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == s.key {
					if next.value != nil {
						return nil, refuse("two keys of different types have the same text")
					}
					next.key, next.value = k, n.Content[i+1]
				}
			}
		}
		if next.value == nil {
			return places, nil
		}
		at = next
		places = append(places, at)
	}
	return places, nil
}

// start is the offset at which n begins, with its anchor or tag.
func (t *yamlText) start(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(t.lines) || n.Column < 1 {
		return 0, refuse("a value cannot be placed")
	}
	pos := t.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(t.src[pos:])
		pos += size
	}
	return pos, nil
}

// end is the offset behind n. indent is that of the mapping or list that
// holds n, -1 at the root.
func (t *yamlText) end(n *yaml.Node, indent int) (int, error) {
	pos, err := t.start(n)
	if err != nil {
		return 0, err
	}
	if n.Kind == yaml.AliasNode {
		return t.literal(pos, "*"+n.Value)
	}
	if n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle == 0 {
		if len(n.Content) == 0 {
			return 0, refuse("an empty block cannot be placed")
		}
		return t.end(n.Content[len(n.Content)-1], n.Content[0].Column-1)
	}
	if pos, err = t.skipProperties(n, pos); err != nil {
		return 0, err
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		return t.flowEnd(n, pos)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return t.quotedEnd(pos, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return t.quotedEnd(pos, '\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.blockScalarEnd(pos, indent)
	}
	// A plain scalar over several lines has another text than its value.
	return t.literal(pos, n.Value)
}

func (t *yamlText) literal(pos int, text string) (int, error) {
	if !bytes.HasPrefix(t.src[pos:], []byte(text)) {
		return 0, refuse("a value does not stand in the file as it reads")
	}
	return pos + len(text), nil
}

// skipProperties moves past an anchor and a tag on the same line.
func (t *yamlText) skipProperties(n *yaml.Node, pos int) (int, error) {
	if n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 {
		return pos, nil
	}
	for pos < len(t.src) && (t.src[pos] == '&' || t.src[pos] == '!') {
		for pos < len(t.src) && !strings.ContainsRune(" \t\r\n", rune(t.src[pos])) {
			pos++
		}
		for pos < len(t.src) && (t.src[pos] == ' ' || t.src[pos] == '\t') {
			pos++
		}
	}
	if n.Value != "" && (pos == len(t.src) || t.src[pos] == '\r' || t.src[pos] == '\n') {
		return 0, refuse("a value does not stand on the line of its anchor or tag")
	}
	return pos, nil
}

func (t *yamlText) quotedEnd(pos int, quote byte) (int, error) {
	if pos >= len(t.src) || t.src[pos] != quote {
		return 0, refuse("a quoted value cannot be placed")
	}
	for i := pos + 1; i < len(t.src); i++ {
		switch {
		case t.src[i] == '\\' && quote == '"':
			i++
		case t.src[i] == quote && quote == '\'' && i+1 < len(t.src) && t.src[i+1] == quote:
			i++
		case t.src[i] == quote:
			return i + 1, nil
		}
	}
	return 0, refuse("a quoted value cannot be placed")
}

// flowEnd goes from the last child to the closing bracket.
func (t *yamlText) flowEnd(n *yaml.Node, pos int) (int, error) {
	open, shut := byte('['), byte(']')
	if n.Kind == yaml.MappingNode {
		open, shut = '{', '}'
	}
	if pos >= len(t.src) || t.src[pos] != open {
		return 0, refuse("a bracket cannot be placed")
	}
	pos++
	if len(n.Content) > 0 {
		var err error
		if pos, err = t.end(n.Content[len(n.Content)-1], -1); err != nil {
			return 0, err
		}
	}
	for ; pos < len(t.src); pos++ {
		switch c := t.src[pos]; {
		case c == shut:
			return pos + 1, nil
		case c == '#' && strings.ContainsRune(" \t\n", rune(t.src[pos-1])):
			pos = lineEnd(t.src, pos) - 1
		case !strings.ContainsRune(" \t\r\n,", rune(c)):
			return 0, refuse("a bracket cannot be placed")
		}
	}
	return 0, refuse("a bracket cannot be placed")
}

// blockScalarEnd returns the end of the last line with text in it. A scalar
// that keeps trailing empty lines (|+) is refused: its end is not visible.
func (t *yamlText) blockScalarEnd(pos, indent int) (int, error) {
	end := lineEnd(t.src, pos)
	header, _, _ := strings.Cut(string(t.src[pos:end]), "#")
	if strings.Contains(header, "+") {
		return 0, refuse("a block keeps its trailing empty lines")
	}
	content := -1
	if i := strings.IndexAny(header, "123456789"); i >= 0 {
		n, _ := strconv.Atoi(header[i : i+1])
		content = max(indent, 0) + n
	}
	for next := end; ; {
		i := bytes.IndexByte(t.src[next:], '\n')
		if i < 0 {
			return end, nil
		}
		next += i + 1
		eol := lineEnd(t.src, next)
		line := t.src[next:eol]
		trimmed := bytes.TrimLeft(line, " ")
		if len(bytes.TrimRight(trimmed, " \t")) == 0 {
			continue
		}
		width := len(line) - len(trimmed)
		if content < 0 {
			content = width
		}
		if width <= indent || width < content {
			return end, nil
		}
		end = eol
	}
}

// unadorned reports whether nothing under n ties it to the rest of the file
// or to a type of its own: no anchor, alias or tag.
func unadorned(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return false
	}
	for _, c := range n.Content {
		if !unadorned(c) {
			return false
		}
	}
	return true
}
