package document

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// parseINI reads the dialect of Python's ConfigParser, the common ground of
// INI readers: [section], key = value or key: value, comments on lines of
// their own after '#' or ';', a line indented deeper than its key continues
// the value. A section or key given twice is an error. A section becomes a
// mapping; keys before the first section stand at the top.
func parseINI(src []byte) (*node, error) {
	if !utf8.Valid(src) {
		return nil, &SyntaxError{Message: "the text is not UTF-8"}
	}
	root := &node{kind: mapNode}
	section := root
	sections, keys := make(map[string]bool), make(map[string]bool)
	var value *node // of the last key, which an indented line continues
	var valueLines []string
	keyIndent := 0
	flush := func() {
		if value != nil {
			value.text = strings.Join(valueLines, "\n")
		}
		value = nil
	}
	body := bytes.TrimPrefix(src, []byte(byteOrderMark))
	offset := len(src) - len(body)
	for line := range bytes.Lines(body) {
		indent := len(line) - len(bytes.TrimLeft(line, " \t"))
		start := offset + indent
		offset += len(line)
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case value != nil && indent > keyIndent:
			valueLines = append(valueLines, text)
			continue
		}
		flush()
		if text[0] == '[' {
			name, rest, closed := strings.Cut(text[1:], "]")
			rest = strings.TrimSpace(rest)
			if !closed || rest != "" && rest[0] != '#' && rest[0] != ';' {
				return nil, syntaxError(src, start, "a section header is not closed")
			}
			if sections[name] {
				return nil, syntaxError(src, start, "a section is given twice")
			}
			sections[name] = true
			section, keys = &node{kind: mapNode, start: start}, make(map[string]bool)
			root.members = append(root.members, member{key: name, keyKind: stringNode, value: section})
			continue
		}
		i := strings.IndexAny(text, "=:")
		if i <= 0 {
			return nil, syntaxError(src, start, "a line is no section, no key with a value and no comment")
		}
		key := strings.TrimSpace(text[:i])
		if keys[key] {
			return nil, syntaxError(src, start, "a key is given twice")
		}
		keys[key] = true
		if section == root {
			sections[key] = true // a section of that name would be the same path
		}
		value = &node{kind: stringNode, start: start}
		valueLines, keyIndent = []string{strings.TrimSpace(text[i+1:])}, indent
		section.members = append(section.members, member{key: key, keyKind: stringNode, value: value})
	}
	flush()
	if len(root.members) == 0 {
		return nil, nil
	}
	return root, nil
}

const byteOrderMark = "\uFEFF"
