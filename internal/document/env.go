package document

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// envParser reads what the common readers of .env files agree on: KEY=VALUE
// with an optional `export`, comments, values in single quotes (as they
// stand) or double quotes (with escapes), both over several lines if need be,
// values without quotes up to the line's end or a '#' after white space. A
// name alone is a key without a value.
type envParser struct {
	src []byte
	pos int
}

func parseEnv(src []byte) (*node, error) {
	if !utf8.Valid(src) {
		return nil, &SyntaxError{Message: "the text is not UTF-8"}
	}
	p := &envParser{src: src, pos: len(src) - len(bytes.TrimPrefix(src, []byte(byteOrderMark)))}
	root := &node{kind: mapNode}
	seen := make(map[string]bool)
	twice := -1
	for {
		p.skip(" \t\r\n\f\v")
		if p.pos == len(src) {
			break
		}
		if src[p.pos] == '#' {
			p.line()
			continue
		}
		m, err := p.assignment()
		if err != nil {
			return nil, err
		}
		if seen[m.key] && twice < 0 {
			twice = m.start
		}
		seen[m.key] = true
		root.members = append(root.members, m)
	}
	if twice >= 0 {
		return nil, duplicateError(src, twice)
	}
	if len(root.members) == 0 {
		return nil, nil
	}
	return root, nil
}

func (p *envParser) skip(chars string) {
	for p.pos < len(p.src) && strings.IndexByte(chars, p.src[p.pos]) >= 0 {
		p.pos++
	}
}

// line moves to the end of the line and returns the offset of its last byte
// that is not white space, plus one.
func (p *envParser) line() (end int) {
	rest := p.src[p.pos:]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	end = p.pos + len(bytes.TrimRight(rest, " \t\r\f\v"))
	p.pos += len(rest)
	return end
}

func (p *envParser) name() string {
	start := p.pos
	for p.pos < len(p.src) && isEnvName(p.src[p.pos], p.pos > start) {
		p.pos++
	}
	return string(p.src[start:p.pos])
}

func isEnvName(c byte, inside bool) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' ||
		inside && (c >= '0' && c <= '9' || c == '.' || c == '-')
}

func (p *envParser) assignment() (member, error) {
	m := member{keyKind: stringNode, start: p.pos}
	m.key = p.name()
	if m.key == "export" && p.pos < len(p.src) && (p.src[p.pos] == ' ' || p.src[p.pos] == '\t') {
		p.skip(" \t")
		if name := p.name(); name != "" {
			m.key = name
		}
	}
	if m.key == "" {
		return m, syntaxError(p.src, p.pos, "a name is expected")
	}
	m.end = p.pos
	p.skip(" \t")
	atEnd := p.pos == len(p.src) || strings.IndexByte("\r\n#", p.src[p.pos]) >= 0
	if atEnd {
		m.value = &node{kind: nullNode, start: m.end, end: m.end}
		p.line()
		return m, nil
	}
	if p.src[p.pos] != '=' {
		return m, syntaxError(p.src, p.pos, "a '=' is expected after a name")
	}
	p.pos++
	afterSign := p.pos
	p.skip(" \t")
	v := &node{kind: stringNode, start: p.pos}
	m.value = v
	if p.pos < len(p.src) && (p.src[p.pos] == '"' || p.src[p.pos] == '\'') {
		done, err := p.quoted(v)
		if done || err != nil {
			return m, err
		}
	}
	end := p.line()
	for i := afterSign; i < end; i++ {
		if p.src[i] == '#' && (i > 0 && (p.src[i-1] == ' ' || p.src[i-1] == '\t')) {
			end = i
		}
	}
	if end <= v.start {
		v.start, v.end = afterSign, afterSign
		return m, nil
	}
	v.text = strings.TrimRight(string(p.src[v.start:end]), " \t\r\f\v")
	v.end = v.start + len(v.text)
	return m, nil
}

// quoted reads a value in quotes. done is false, and nothing is consumed,
// when more than a comment follows the closing quote on the line where the
// value began: KEY="a"b is a value without quotes to most readers.
func (p *envParser) quoted(v *node) (done bool, err error) {
	quote := p.src[v.start]
	var text []byte
	i := v.start + 1
	for ; ; i++ {
		if i >= len(p.src) {
			return false, syntaxError(p.src, v.start, "a quoted value is not closed")
		}
		c := p.src[i]
		if c == quote {
			break
		}
		if c == '\\' && quote == '"' && i+1 < len(p.src) {
			i++
			text = append(text, envEscape(p.src[i])...)
			continue
		}
		text = append(text, c)
	}
	p.pos = i + 1
	p.skip(" \t\r")
	if p.pos < len(p.src) && p.src[p.pos] != '\n' && p.src[p.pos] != '#' {
		if bytes.IndexByte(p.src[v.start:i], '\n') >= 0 {
			return false, syntaxError(p.src, p.pos, "there is more on the line after a quoted value")
		}
		p.pos = v.start
		return false, nil
	}
	v.text, v.end = string(text), i+1
	p.line()
	return true, nil
}

// envEscape is what a backslash and c stand for in double quotes; an escape
// that readers disagree about stays as it is.
func envEscape(c byte) []byte {
	switch c {
	case 'n':
		return []byte{'\n'}
	case 'r':
		return []byte{'\r'}
	case 't':
		return []byte{'\t'}
	case '"', '\\', '$', '`':
		return []byte{c}
	}
	return []byte{'\\', c}
}
