package document

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"
)

func spliceYAML(target, source []byte, steps []step) ([]byte, error) {
	to, err := newYAMLText(target)
	if err != nil {
		return nil, err
	}
	from, err := newYAMLText(source)
	if err != nil {
		return nil, err
	}
	sources, err := from.find(steps)
	if err != nil {
		return nil, err
	}
	if len(sources) != len(steps)+1 {
		return nil, refuse("the value cannot be placed in the source")
	}
	value, err := from.cut(sources[len(steps)])
	if err != nil {
		return nil, err
	}
	if to.root == nil {
		entry, err := from.entry(sources[1:], value, 0, lineBreak(source))
		if err != nil {
			return nil, err
		}
		if len(target) > 0 && target[len(target)-1] != '\n' {
			entry = lineBreak(target) + entry
		}
		return append(bytes.Clone(target), entry+lineBreak(source)...), nil
	}
	targets, err := to.find(steps)
	if err != nil {
		return nil, err
	}
	if len(targets) == len(steps)+1 {
		return to.replace(targets[len(steps)], value)
	}
	depth := len(targets) - 1
	parent := targets[depth].value
	missing := sources[depth+1:]
	if parent.Kind != yaml.MappingNode {
		return nil, refuse("its parent is no mapping")
	}
	if parent.Style&yaml.FlowStyle != 0 {
		return to.insertFlow(parent, from, missing, value)
	}
	return to.insertBlock(parent, from, missing, value)
}

// yamlValue is a value cut out of its file: what stands on the line of the
// key, and the lines below, which are indented relative to the key.
type yamlValue struct {
	head   string
	lines  []string
	indent int // of the key; -1 where lines have nothing to be relative to
}

func (t *yamlText) cut(at yamlPlace) (yamlValue, error) {
	v := yamlValue{indent: -1}
	if !unadorned(at.value) {
		return v, refuse("the value in the source has an anchor, an alias or a tag")
	}
	indent := -1
	if at.parent != nil && at.parent.Style&yaml.FlowStyle == 0 {
		indent = at.parent.Content[0].Column - 1
		if at.key != nil {
			v.indent = indent
		}
	}
	start, err := t.start(at.value)
	if err != nil {
		return v, err
	}
	end, err := t.end(at.value, indent)
	if err != nil {
		return v, err
	}
	if at.key != nil && at.key.Line != at.value.Line {
		// The value begins on a line of its own: take the whole lines.
		blank, ok := indentBefore(t.src, start)
		if !ok {
			return v, refuse("the value in the source does not begin its line")
		}
		start -= len(blank)
		v.lines = strings.Split(string(t.src[start:end]), "\n")
	} else {
		v.lines = strings.Split(string(t.src[start:end]), "\n")
		v.head, v.lines = strings.TrimSuffix(v.lines[0], "\r"), v.lines[1:]
	}
	if len(v.lines) > 0 && v.indent < 0 {
		return v, refuse("a value of several lines stands in a list or in brackets")
	}
	for i, line := range v.lines {
		v.lines[i] = strings.TrimSuffix(line, "\r")
	}
	return v, nil
}

// below returns the lines under the key, each begun by a line break, for a
// key at the given indent.
func (v yamlValue) below(indent int, nl string) (string, error) {
	var b strings.Builder
	for _, line := range v.lines {
		b.WriteString(nl)
		switch shift := indent - v.indent; {
		case strings.Trim(line, " \t") == "":
		case shift >= 0:
			b.WriteString(strings.Repeat(" ", shift) + line)
		case strings.HasPrefix(line, strings.Repeat(" ", -shift)):
			b.WriteString(line[-shift:])
		default:
			return "", refuse("the value in the source is indented in a way that does not fit")
		}
	}
	return b.String(), nil
}

// afterColon is what follows `key:`.
func (v yamlValue) afterColon(indent int, nl string) (string, error) {
	below, err := v.below(indent, nl)
	if v.head != "" {
		below = " " + v.head + below
	}
	return below, err
}

// colon returns the offset behind the ':' of a key.
func (t *yamlText) colon(key *yaml.Node) (int, error) {
	pos, err := t.end(key, -1)
	if err != nil {
		return 0, err
	}
	for pos < len(t.src) && (t.src[pos] == ' ' || t.src[pos] == '\t') {
		pos++
	}
	if pos == len(t.src) || t.src[pos] != ':' {
		return 0, refuse("a key is not followed by a colon")
	}
	return pos + 1, nil
}

func (t *yamlText) replace(at yamlPlace, v yamlValue) ([]byte, error) {
	if !unadorned(at.value) {
		return nil, refuse("the value in the target has an anchor, an alias or a tag")
	}
	indent := -1
	if at.parent != nil && at.parent.Style&yaml.FlowStyle == 0 {
		indent = at.parent.Content[0].Column - 1
	}
	start, err := t.start(at.value)
	if err != nil {
		return nil, err
	}
	end, err := t.end(at.value, indent)
	if err != nil {
		return nil, err
	}
	if at.key == nil {
		if len(v.lines) > 0 || bytes.IndexByte(t.src[start:end], '\n') >= 0 {
			return nil, refuse("a list item of several lines is not replaced")
		}
		return replaceBytes(t.src, start, end, v.head), nil
	}
	colon, err := t.colon(at.key)
	if err != nil {
		return nil, err
	}
	sameLine := at.key.Line == at.value.Line
	if sameLine && len(v.lines) == 0 {
		if start == colon && v.head != "" {
			v.head = " " + v.head
		}
		return replaceBytes(t.src, start, end, v.head), nil
	}
	if indent < 0 {
		return nil, refuse("a value of several lines does not go into brackets")
	}
	below, err := v.below(indent, lineBreak(t.src))
	if err != nil {
		return nil, err
	}
	head := v.head
	if head != "" {
		head = " " + head
	}
	// The comment on the line of the key stays there.
	comment, eol := "", lineEnd(t.src, colon)
	if sameLine {
		eol = lineEnd(t.src, end)
		comment, end = string(t.src[end:eol]), eol
	} else {
		comment = string(t.src[colon:eol])
	}
	if c := strings.TrimLeft(comment, " \t"); c != "" && c[0] != '#' {
		return nil, refuse("more than a comment stands on the line of the key")
	}
	return replaceBytes(t.src, colon, end, head+comment+below), nil
}

// keyText is a key as the source spells it.
func (t *yamlText) keyText(key *yaml.Node) (string, error) {
	if key == nil {
		return "", refuse("a list item is not inserted")
	}
	if !unadorned(key) {
		return "", refuse("a key has an anchor or a tag")
	}
	start, err := t.start(key)
	if err != nil {
		return "", err
	}
	end, err := t.end(key, -1)
	if err != nil {
		return "", err
	}
	text := string(t.src[start:end])
	if strings.Contains(text, "\n") {
		return "", refuse("a key stands on several lines")
	}
	return text, nil
}

// entry writes the keys of missing, one under the other, and the value. Its
// first line is not indented.
func (t *yamlText) entry(missing []yamlPlace, v yamlValue, indent int, nl string) (string, error) {
	var b strings.Builder
	for i, at := range missing {
		key, err := t.keyText(at.key)
		if err != nil {
			return "", err
		}
		if i > 0 {
			indent += 2
			b.WriteString(nl + strings.Repeat(" ", indent))
		}
		b.WriteString(key + ":")
	}
	rest, err := v.afterColon(indent, nl)
	return b.String() + rest, err
}

func (t *yamlText) insertBlock(parent *yaml.Node, from *yamlText, missing []yamlPlace, v yamlValue) ([]byte, error) {
	indent := parent.Content[0].Column - 1
	nl := lineBreak(t.src)
	entry, err := from.entry(missing, v, indent, nl)
	if err != nil {
		return nil, err
	}
	end, err := t.end(parent, -1)
	if err != nil {
		return nil, err
	}
	eol := lineEnd(t.src, end)
	if rest := strings.TrimLeft(string(t.src[end:eol]), " \t"); rest != "" && rest[0] != '#' {
		return nil, refuse("more than a comment follows the last key of its parent")
	}
	return replaceBytes(t.src, eol, eol, nl+strings.Repeat(" ", indent)+entry), nil
}

func (t *yamlText) insertFlow(parent *yaml.Node, from *yamlText, missing []yamlPlace, v yamlValue) ([]byte, error) {
	if len(v.lines) > 0 {
		return nil, refuse("a value of several lines does not go into brackets")
	}
	text := v.head
	for i := len(missing) - 1; i >= 0; i-- {
		key, err := from.keyText(missing[i].key)
		if err != nil {
			return nil, err
		}
		text = key + ": " + text
		if i > 0 {
			text = "{" + text + "}"
		}
	}
	if len(parent.Content) > 0 {
		end, err := t.end(parent.Content[len(parent.Content)-1], -1)
		if err != nil {
			return nil, err
		}
		return replaceBytes(t.src, end, end, ", "+text), nil
	}
	start, err := t.start(parent)
	if err == nil {
		start, err = t.skipProperties(parent, start)
	}
	if err != nil {
		return nil, err
	}
	return replaceBytes(t.src, start+1, start+1, text), nil
}
