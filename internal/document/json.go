package document

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonParser reads JSON5 (json5.org, version 1.0.0) and, when strict, JSON
// (RFC 8259) with the same code, because both need what no library gives
// together: byte spans, duplicate keys as errors, numbers as text.
type jsonParser struct {
	src    []byte
	pos    int
	strict bool
	depth  int
	// twice is where a key is given for the second time, -1 for nowhere. What
	// else is wrong goes first.
	twice int
}

// jsonFailure carries a syntax error out of the recursion.
type jsonFailure struct {
	offset  int
	message string
}

func parseJSON(src []byte, strict bool) (root *node, err error) {
	p := &jsonParser{src: src, strict: strict, twice: -1}
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case jsonFailure:
			root, err = nil, syntaxError(src, failure.offset, failure.message)
		default:
			panic(failure)
		}
	}()
	p.space()
	root = p.value()
	p.space()
	if p.pos < len(src) {
		p.fail(p.pos, "there is more after the end of the value")
	}
	if p.twice >= 0 {
		return nil, duplicateError(src, p.twice)
	}
	return root, nil
}

func (p *jsonParser) fail(offset int, message string) {
	panic(jsonFailure{offset, message})
}

const endOfFile = rune(-1)

// peek returns the rune at pos and its length.
func (p *jsonParser) peek() (rune, int) {
	if p.pos >= len(p.src) {
		return endOfFile, 0
	}
	r, n := utf8.DecodeRune(p.src[p.pos:])
	if r == utf8.RuneError && n == 1 {
		p.fail(p.pos, "the text is not UTF-8")
	}
	return r, n
}

func (p *jsonParser) value() *node {
	n := &node{start: p.pos}
	c, _ := p.peek()
	switch {
	case c == '{':
		p.object(n)
	case c == '[':
		p.array(n)
	case c == '"', c == '\'' && !p.strict:
		n.kind, n.text = stringNode, p.string()
	case c == '-', c >= '0' && c <= '9':
		n.kind, n.text = numberNode, p.number()
	case !p.strict && (c == '+' || c == '.' || c == 'I' || c == 'N'):
		n.kind, n.text = numberNode, p.number()
	case c == 't', c == 'f', c == 'n':
		n.kind, n.text = p.word()
	case c == endOfFile:
		p.fail(p.pos, "the text ends where a value is expected")
	default:
		p.fail(p.pos, "a value is expected")
	}
	n.end = p.pos
	return n
}

func (p *jsonParser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.pos, "the nesting is too deep")
	}
	p.pos++
}

func (p *jsonParser) object(n *node) {
	n.kind = mapNode
	p.enter()
	seen := make(map[string]bool)
	for {
		p.space()
		c, _ := p.peek()
		if c == '}' && (!p.strict || len(n.members) == 0) {
			break
		}
		m := member{keyKind: stringNode, start: p.pos}
		switch {
		case c == '"', c == '\'' && !p.strict:
			m.key = p.string()
		case !p.strict && c != endOfFile:
			m.key = p.identifier()
		case c == endOfFile:
			p.fail(p.pos, "the text ends within an object")
		default:
			p.fail(p.pos, "a key in double quotes is expected")
		}
		m.end = p.pos
		if seen[m.key] && p.twice < 0 {
			p.twice = m.start
		}
		seen[m.key] = true
		p.space()
		if c, _ := p.peek(); c != ':' {
			p.fail(p.pos, "a ':' is expected after a key")
		}
		p.pos++
		p.space()
		m.value = p.value()
		n.members = append(n.members, m)
		p.space()
		c, _ = p.peek()
		if c == '}' {
			break
		}
		if c == endOfFile {
			p.fail(p.pos, "the text ends within an object")
		}
		if c != ',' {
			p.fail(p.pos, "a ',' or '}' is expected after a value")
		}
		p.pos++
	}
	p.pos++
	p.depth--
}

func (p *jsonParser) array(n *node) {
	n.kind = listNode
	p.enter()
	for {
		p.space()
		c, _ := p.peek()
		if c == ']' && (!p.strict || len(n.items) == 0) {
			break
		}
		n.items = append(n.items, p.value())
		p.space()
		c, _ = p.peek()
		if c == ']' {
			break
		}
		if c == endOfFile {
			p.fail(p.pos, "the text ends within a list")
		}
		if c != ',' {
			p.fail(p.pos, "a ',' or ']' is expected after a value")
		}
		p.pos++
	}
	p.pos++
	p.depth--
}

// space skips white space and, in JSON5, comments.
func (p *jsonParser) space() {
	for {
		c, n := p.peek()
		switch {
		case c == ' ', c == '\t', c == '\n', c == '\r':
		case p.strict || c == endOfFile:
			return
		case c == '/':
			n = p.comment()
		case c == '\v', c == '\f', c == '\uFEFF', c == '\u2028', c == '\u2029', unicode.Is(unicode.Zs, c):
		default:
			return
		}
		p.pos += n
	}
}

// comment returns the length of the comment at pos.
func (p *jsonParser) comment() int {
	rest := p.src[p.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		if i := bytes.IndexFunc(rest, isLineTerminator); i >= 0 {
			rest = rest[:i]
		}
	case bytes.HasPrefix(rest, []byte("/*")):
		i := bytes.Index(rest[2:], []byte("*/"))
		if i < 0 {
			p.fail(p.pos, "a comment is not closed")
		}
		rest = rest[:i+4]
	default:
		p.fail(p.pos, "a '/' that begins no comment")
	}
	if !utf8.Valid(rest) {
		p.fail(p.pos, "a comment is not UTF-8")
	}
	return len(rest)
}

func isLineTerminator(r rune) bool {
	return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029'
}

// word reads true, false or null.
func (p *jsonParser) word() (k kind, text string) {
	rest := p.src[p.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		k, text = boolNode, "true"
		p.pos += len("true")
	case bytes.HasPrefix(rest, []byte("false")):
		k, text = boolNode, "false"
		p.pos += len("false")
	case bytes.HasPrefix(rest, []byte("null")):
		k = nullNode
		p.pos += len("null")
	default:
		p.fail(p.pos, "a value is expected")
	}
	p.boundary()
	return k, text
}

// boundary fails if a number or a word runs on into something else.
func (p *jsonParser) boundary() {
	if c, _ := p.peek(); c == '\\' || isIdentifierPart(c) {
		p.fail(p.pos, "a number or word is followed by something that does not belong to it")
	}
}

// number returns the number at pos as it is written.
func (p *jsonParser) number() string {
	start := p.pos
	next := func() byte {
		if p.pos < len(p.src) {
			return p.src[p.pos]
		}
		return 0
	}
	digits := func(hex bool) int {
		from := p.pos
		for c := next(); c >= '0' && c <= '9' || hex && isHex(c); c = next() {
			p.pos++
		}
		return p.pos - from
	}
	if c := next(); c == '-' || c == '+' && !p.strict {
		p.pos++
	}
	rest := p.src[p.pos:]
	switch {
	case !p.strict && bytes.HasPrefix(rest, []byte("Infinity")):
		p.pos += len("Infinity")
	case !p.strict && bytes.HasPrefix(rest, []byte("NaN")):
		p.pos += len("NaN")
	case !p.strict && len(rest) > 1 && rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X'):
		p.pos += 2
		if digits(true) == 0 {
			p.fail(start, "a hexadecimal number has no digits")
		}
	default:
		whole := digits(false)
		if whole > 1 && rest[0] == '0' {
			p.fail(start, "a number begins with 0")
		}
		fraction := 0
		if next() == '.' && (whole > 0 || !p.strict) {
			p.pos++
			if fraction = digits(false); fraction == 0 && p.strict {
				p.fail(p.pos, "a digit is expected after the decimal point")
			}
		}
		if whole+fraction == 0 {
			p.fail(p.pos, "a digit is expected")
		}
		if c := next(); c == 'e' || c == 'E' {
			p.pos++
			if c := next(); c == '+' || c == '-' {
				p.pos++
			}
			if digits(false) == 0 {
				p.fail(p.pos, "a digit is expected in the exponent")
			}
		}
	}
	p.boundary()
	return string(p.src[start:p.pos])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// identifier reads an unquoted JSON5 key (an ECMAScript 5.1 IdentifierName;
// letters beyond the basic plane are let through, as common readers do).
func (p *jsonParser) identifier() string {
	var key strings.Builder
	for {
		at := p.pos
		c, n := p.peek()
		if c == '\\' {
			if !bytes.HasPrefix(p.src[at:], []byte(`\u`)) {
				p.fail(at, "an escape in a key without quotes is not of the form \\uXXXX")
			}
			p.pos += 2
			c, n = p.hex(4), 0
			if !isIdentifierPart(c) {
				p.fail(at, "an escape in a key without quotes is not a letter")
			}
		}
		if !isIdentifierPart(c) || key.Len() == 0 && !isIdentifierStart(c) {
			break
		}
		p.pos += n
		key.WriteRune(c)
	}
	if key.Len() == 0 {
		p.fail(p.pos, "a key is expected")
	}
	return key.String()
}

func isIdentifierStart(r rune) bool {
	return r == '$' || r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
}

func isIdentifierPart(r rune) bool {
	return isIdentifierStart(r) || r == '\u200C' || r == '\u200D' ||
		unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc)
}
