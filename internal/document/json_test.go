package document_test

import (
	"strings"
	"testing"

	"deadman/internal/document"
)

// The conformance table of JSON5 1.0.0, by section of the specification.
func TestJSON5Conformance(t *testing.T) {
	t.Parallel()
	valid := map[string]string{ // source: the JSON that says the same
		"{}":                            `{}`,
		"[]":                            `[]`,
		"{a:1}":                         `{"a":1}`,
		"{a:1,}":                        `{"a":1}`,
		"[1,2,]":                        `[1,2]`,
		"{$_a9:1}":                      `{"$_a9":1}`,
		`{"a":1,'b':2}`:                 `{"a":1,"b":2}`,
		"{ünïcödé:1}":                   `{"ünïcödé":1}`,
		`{\u0061b:1}`:                   `{"ab":1}`,
		"{a\u200Cb:1}":                  `{"a\u200cb":1}`,
		"{while:1,null:2,Infinity:3}":   `{"while":1,"null":2,"Infinity":3}`,
		`'it'`:                          `"it"`,
		`'say "hi"'`:                    `"say \"hi\""`,
		`"it's"`:                        `"it's"`,
		`'\x41\v\f\b\0'`:                `"A\u000b\f\b\u0000"`,
		`'\q\'\/'`:                      `"q'/"`,
		`"\ud83d\ude00"`:                `"😀"`,
		"'a\\\nb'":                      `"ab"`,
		"'a\\\r\nb'":                    `"ab"`,
		"'a\\\u2028b'":                  `"ab"`,
		"'a\u2028b'":                    `"a\u2028b"`,
		"'tab\there'":                   `"tab\there"`,
		"// c\n1":                       `1`,
		"/* c\n * d */ 1 // e":          `1`,
		"/**/1":                         `1`,
		"/* * / */ 1":                   `1`,
		"\uFEFF{\u00A0a:\v\f1\u2003}":   `{"a":1}`,
		"{\"a\"\n:\n1\u2028,b:2}":       `{"a":1,"b":2}`,
		"true":                          `true`,
		"[null,false]":                  `[null,false]`,
		"9007199254740993":              `9007199254740993`,
		"{a:{b:[{c:[]}]}}":              `{"a":{"b":[{"c":[]}]}}`,
		"{\"__proto__\":1,'':2, a : 3}": `{"__proto__":1,"":2,"a":3}`,
	}
	for source, same := range valid {
		got, ok := document.Identity(document.JSON5, []byte(source), nil)
		want, wantOK := document.Identity(document.JSON, []byte(same), nil)
		if !ok || !wantOK || string(got) != string(want) {
			t.Errorf("%q: got %q (%v), want the same as %s (%v)", source, got, ok, same, wantOK)
		}
	}
	numbers := []string{
		"0", "-0", "+1", "1.5", ".5", "5.", "-.5", "5.e3", "1e10", "1E+10", "1e-7", "0xdecaf", "-0XC0FFEE",
		"Infinity", "-Infinity", "+Infinity", "NaN", "-NaN",
	}
	for i, a := range numbers {
		for _, b := range numbers[i+1:] {
			x, okX := document.Identity(document.JSON5, []byte(a), nil)
			y, okY := document.Identity(document.JSON5, []byte(b), nil)
			if !okX || !okY || string(x) == string(y) {
				t.Errorf("numbers %s and %s: %q (%v), %q (%v)", a, b, x, okX, y, okY)
			}
		}
	}
}

func TestJSONSyntaxErrors(t *testing.T) {
	t.Parallel()
	const both, jsonOnly = true, false
	tests := []struct {
		source  string
		json5   bool // an error in JSON5 as well
		line    int
		column  int
		message string
	}{
		{"", both, 1, 1, "the text ends where a value is expected"}, // incident 22
		{"  \n ", both, 2, 2, "the text ends where a value is expected"},
		{"{", both, 1, 2, "the text ends within an object"},
		{"{\"a\": 1,\n \"b\": [1, 2", both, 2, 12, "the text ends within a list"}, // incident 27
		{"{\"a\":1,\n\"a\":2}", both, 2, 1, "a key is given twice"},
		{`{"a":1,"\u0061":2}`, both, 1, 8, "a key is given twice"},
		{`{"a" 1}`, both, 1, 6, "a ':' is expected after a key"},
		{`{"a":1 "b":2}`, both, 1, 8, "a ',' or '}' is expected after a value"},
		{`[1 2]`, both, 1, 4, "a ',' or ']' is expected after a value"},
		{`[,]`, both, 1, 2, "a value is expected"},
		{`{,}`, both, 1, 2, "a key"},
		{`{"a":1,,}`, both, 1, 8, "a key"},
		{`"abc`, both, 1, 1, "a string is not closed"},
		{"\"ab\nc\"", both, 1, 1, "a string is not closed on its line"},
		{`"\u12g4"`, both, 1, 6, "a hexadecimal digit is expected"},
		{`"\1"`, both, 1, 2, "escape"},
		{`"\01"`, both, 1, 2, "escape"},
		{`01`, both, 1, 1, "a number begins with 0"},
		{`1e`, both, 1, 3, "a digit is expected in the exponent"},
		{`-`, both, 1, 2, "a digit is expected"},
		{`1a`, both, 1, 2, "followed by something"},
		{`truex`, both, 1, 5, "followed by something"},
		{`nul`, both, 1, 1, "a value is expected"},
		{`1 2`, both, 1, 3, "there is more after the end of the value"},
		{"\"\xff\"", both, 1, 2, "the text is not UTF-8"},
		{"{\"é\":\n\"ü\" x}", both, 2, 5, "a ',' or '}'"},
		{strings.Repeat("[", 5000), both, 1, 1001, "the nesting is too deep"},
		{strings.Repeat(`{"a":`, 5000), both, 1, 5001, "the nesting is too deep"},
		{"/* never closed", both, 1, 1, "a"},
		{"-0xg", both, 1, 3, ""},
		{".", both, 1, 1, ""},
		{`{\u0020a:1}`, both, 1, 2, ""},

		{"\uFEFF{}", jsonOnly, 1, 1, "a value is expected"},
		{"{a:1}", jsonOnly, 1, 2, "a key in double quotes is expected"},
		{"{'a':1}", jsonOnly, 1, 2, "a key in double quotes is expected"},
		{"[1,]", jsonOnly, 1, 4, "a value is expected"},
		{"{\"a\":1,}", jsonOnly, 1, 8, "a key in double quotes is expected"},
		{"// c\n1", jsonOnly, 1, 1, "a value is expected"},
		{"'a'", jsonOnly, 1, 1, "a value is expected"},
		{"+1", jsonOnly, 1, 1, "a value is expected"},
		{".5", jsonOnly, 1, 1, "a value is expected"},
		{"5.", jsonOnly, 1, 3, "a digit is expected after the decimal point"},
		{"NaN", jsonOnly, 1, 1, "a value is expected"},
		{"0x10", jsonOnly, 1, 2, "followed by something"},
		{"\"a\tb\"", jsonOnly, 1, 3, "a control character in a string"},
		{`"\x41"`, jsonOnly, 1, 2, "an escape that the format does not know"},
	}
	for _, tt := range tests {
		name := tt.source[:min(20, len(tt.source))]
		wantError(t, document.JSON, tt.source, tt.line, tt.column, tt.message)
		if _, err := document.Parse(document.JSON5, []byte(tt.source)); (err != nil) != tt.json5 {
			t.Errorf("JSON5 %q: error %v, want one: %v", name, err, tt.json5)
		}
	}
}

func wantError(t *testing.T, f document.Format, source string, line, column int, message string) {
	t.Helper()
	doc, err := document.Parse(f, []byte(source))
	bad, ok := err.(*document.SyntaxError)
	name := source[:min(40, len(source))]
	if !ok || doc != nil {
		t.Errorf("%s %q: got document %v and error %v, want a *SyntaxError only", f, name, doc, err)
		return
	}
	if bad.Line != line || bad.Column != column || !strings.Contains(bad.Message, message) {
		t.Errorf("%s %q: got %v, want line %d, column %d: …%s…", f, name, bad, line, column, message)
	}
}
