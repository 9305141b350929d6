package document

import (
	"unicode/utf16"
	"unicode/utf8"
)

// string reads the string at pos, in single or double quotes.
func (p *jsonParser) string() string {
	start := p.pos
	quote := rune(p.src[p.pos])
	p.pos++
	var text []byte
	for {
		at := p.pos
		c, n := p.peek()
		p.pos += n
		switch {
		case c == quote:
			return string(text)
		case c == endOfFile:
			p.fail(start, "a string is not closed")
		case c == '\n', c == '\r':
			p.fail(start, "a string is not closed on its line")
		case p.strict && c < 0x20:
			p.fail(at, "a control character in a string")
		case c == '\\':
			text = p.escape(text, at)
		default:
			text = utf8.AppendRune(text, c)
		}
	}
}

// escape appends what the escape sequence that began at `at` stands for; pos
// is behind its backslash.
func (p *jsonParser) escape(text []byte, at int) []byte {
	c, n := p.peek()
	p.pos += n
	switch c {
	case '"', '\\', '/':
		return append(text, byte(c))
	case 'b':
		return append(text, '\b')
	case 'f':
		return append(text, '\f')
	case 'n':
		return append(text, '\n')
	case 'r':
		return append(text, '\r')
	case 't':
		return append(text, '\t')
	case 'u':
		return p.unicodeEscape(text)
	}
	if p.strict || c == endOfFile {
		p.fail(at, "an escape that the format does not know")
	}
	switch {
	case c == 'v':
		return append(text, '\v')
	case c == 'x':
		return utf8.AppendRune(text, p.hex(2))
	case c == '0':
		if next, _ := p.peek(); next >= '0' && next <= '9' {
			p.fail(at, "an octal escape")
		}
		return append(text, 0)
	case c >= '1' && c <= '9':
		p.fail(at, "an octal escape")
	case c == '\r':
		if next, _ := p.peek(); next == '\n' {
			p.pos++
		}
		return text
	case isLineTerminator(c):
		return text
	}
	return utf8.AppendRune(text, c)
}

// unicodeEscape reads XXXX, and the second half of a surrogate pair with it.
// Half a pair alone is legal; it is kept in the three bytes that UTF-8 would
// give it were it a character, so that two different halves stay different.
func (p *jsonParser) unicodeEscape(text []byte) []byte {
	r := p.hex(4)
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(text, r)
	}
	if next := p.pos; r < 0xDC00 && next+1 < len(p.src) && p.src[next] == '\\' && p.src[next+1] == 'u' {
		p.pos += 2
		if pair := utf16.DecodeRune(r, p.hex(4)); pair != utf8.RuneError {
			return utf8.AppendRune(text, pair)
		}
		p.pos = next
	}
	return append(text, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
}

// hex reads exactly n hexadecimal digits.
func (p *jsonParser) hex(n int) rune {
	var r rune
	for range n {
		if p.pos >= len(p.src) || !isHex(p.src[p.pos]) {
			p.fail(p.pos, "a hexadecimal digit is expected")
		}
		c := p.src[p.pos]
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r, p.pos = r<<4|rune(c), p.pos+1
	}
	return r
}
