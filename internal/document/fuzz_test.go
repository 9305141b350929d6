package document_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"deadman/internal/document"
)

var formats = []document.Format{document.YAML, document.JSON, document.JSON5, document.TOML, document.INI, document.Env, document.Opaque}

var seeds = []string{
	"", "a: 1\nb: {c: [x, 'y']}\n", "a: &x |\n  t\nb: *x\n", "a:\r\n- b:\r\n  c: >-\r\n    t\r\n", "a: 1\n---\nb: 2\n", "? a\n: b\n", "{a: 1, \"b\": [2]}",
	`{"a":1,"b":{"c":[1,2,{"d":null}]}}`, "{a:.5,/* c */'b':+0x1F,// d\n}", "[1,\n2]", `"\ud800\u0041"`, "\uFEFF{}",
	"a = 1\n[b]\nc = [1.5, 'x']\n[[d]]\ne = 2020-01-01T00:00:00Z\n", "[s]\nk = v\n  w\n; c\n", "export A='x\ny'\nB=\"\\n\" # c\nC\nD=a#b\n", "A=1\nA=2",
	"a:\n  b: 1\n# c\n\n  d:\n", "\"a\": 'it''s'\n", "a: \"x\\\n  y\"\n", "- - a\n  - b\n", "o:\n- n: 1\n  s: |\n   x\n",
}

// within reports whether line and column are a place in src, or just behind it,
// or unknown. Where some formats have more line breaks than others, all count.
func within(src []byte, line, column int) bool {
	if line == 0 {
		return column == 0
	}
	text := strings.ReplaceAll(string(src), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	if strings.ContainsAny(text, "\r\u0085\u2028\u2029") {
		return line > 0 && column >= 0 && line <= 1+utf8.RuneCount(src) && column <= 1+utf8.RuneCount(src)
	}
	return 0 < line && line <= len(lines) && 0 <= column && column <= 1+utf8.RuneCountInString(lines[line-1])
}

// Whatever the bytes: a document or an error and never both, no panic, the
// same answer twice, and every error and every value is at a place in the file.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, format := range formats {
			doc, err := document.Parse(format, src)
			var bad *document.SyntaxError
			if (doc == nil) != (err != nil) || err != nil && (!errors.As(err, &bad) || bad.Message == "") {
				t.Fatalf("%s: document %v, error %v", format, doc, err)
			}
			if bad != nil && !within(src, bad.Line, bad.Column) {
				t.Fatalf("%s: %v, which is not in the file", format, err)
			}
			first, ok := document.Identity(format, src, nil)
			if ok != (err == nil) {
				t.Fatalf("%s: Identity says %v, Parse %v", format, ok, err)
			}
			if err != nil {
				continue
			}
			again, _ := document.Identity(format, src, nil)
			if string(first) != string(again) {
				t.Fatalf("%s: two identities of one file", format)
			}
			if changes := document.Changes(doc, doc); len(changes) != 0 {
				t.Fatalf("%s: differs from itself: %v", format, changes)
			}
			for s := range doc.Scalars() {
				if err := document.ValidPath(s.Path); s.Path != "" && err != nil {
					t.Fatalf("%s: %v", format, err)
				}
				if s.Text != "" && !within(src, s.Line, s.Column) { // What is not written has no place.
					t.Fatalf("%s: %s is at %d:%d, which is not in the file", format, s.Path, s.Line, s.Column)
				}
			}
		}
	})
}

// An error holds nothing of the file: what is planted anywhere in it, in a value,
// a key, a comment or right where it breaks, is not in what is said.
func FuzzSecret(f *testing.F) {
	const mark = "7f3a91c5Zq"
	for _, s := range append(seeds, "a: [1\n", "{\"a\": \"", "a = \"\n", "[s\n", "A='x\n", "a: &b *c\n", "a: !!int x\n", "<<: 1\n", "a = 1979-99-99\n") {
		f.Add([]byte(s), uint16(len(s)/2))
	}
	f.Fuzz(func(t *testing.T, src []byte, at uint16) {
		i := int(at) % (len(src) + 1)
		planted := append(append(bytes.Clone(src[:i]), mark...), src[i:]...)
		for _, format := range formats {
			if _, err := document.Parse(format, planted); err != nil && strings.Contains(err.Error(), mark) {
				t.Fatalf("%s: %v", format, err)
			}
			// The paths are the caller's and may be named; here they are fixed.
			_, missed, err := document.Splice(format, planted, src, []string{"a", "b.c"})
			if err != nil && strings.Contains(err.Error(), mark) || strings.Contains(strings.Join(missed, " "), mark) {
				t.Fatalf("%s: %v", format, err)
			}
			if _, _, err = document.Splice(format, src, planted, []string{"a", "b.c"}); err != nil && strings.Contains(err.Error(), mark) {
				t.Fatalf("%s: %v", format, err)
			}
		}
	})
}

// What JSON is, Go's own decoder knows as well: both take the same files, but
// for a key that is given twice, and find the same values in them.
func FuzzJSONAsGo(f *testing.F) {
	for _, s := range append(seeds, `{"a":1e400}`, `[[[["\u00e9\n"]]],-0.0]`, `{"a":{"a":{"b":[]}}}`, "\"\xff\"") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, err := document.Parse(document.JSON, src)
		var bad *document.SyntaxError
		if errors.As(err, &bad) && bad.Duplicate {
			return
		}
		// Go mends what is not UTF-8, and nests deeper.
		if !utf8.Valid(src) || bytes.Count(src, []byte("["))+bytes.Count(src, []byte("{")) > 900 {
			return
		}
		if ours, theirs := err == nil, json.Valid(src); ours != theirs {
			t.Fatalf("we say %v (%v), Go says %v", ours, err, theirs)
		}
		if err != nil {
			return
		}
		texts := map[string]bool{}
		for s := range doc.Scalars() {
			texts[s.Text] = true
		}
		decoder := json.NewDecoder(bytes.NewReader(src))
		decoder.UseNumber()
		for {
			token, err := decoder.Token()
			if err != nil {
				break
			}
			if number, ok := token.(json.Number); ok && !texts[number.String()] {
				t.Fatalf("the number %s is not among the values %v", number, texts)
			}
		}
	})
}

// A path that is read prints to one that is read as the same.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"a", "a.b[0].c", `"a b"."\n"[1][2]`, "a..b", "a[", `""`, "config.yaml#a.b", "#a", "a#b#c", `x#"#"`} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := document.ParseKey(text); err == nil {
			again, err := document.ParseKey(key.String())
			if err != nil || again != key || key.File == "" || document.ValidPath(key.Path) != nil {
				t.Fatalf("%+v became %+v (%v)", key, again, err)
			}
			b, _ := key.MarshalText()
			var read document.Key
			if read.UnmarshalText(b) != nil || read != key {
				t.Fatalf("%+v became %+v", key, read)
			}
		}
		// A key of whatever name is found again by the path that is printed for it.
		name, _ := json.Marshal(strings.ToValidUTF8(text, "?"))
		doc, err := document.Parse(document.JSON, []byte(`{`+string(name)+`: 1}`))
		if err != nil {
			t.Fatal(err)
		}
		for s := range doc.Scalars() {
			source := []byte(`{` + string(name) + `: 2}`)
			out, missed, err := document.Splice(document.JSON, []byte(`{`+string(name)+`: 1}`), source, []string{s.Path})
			if err != nil || len(missed) > 0 || string(out) != string(source) {
				t.Fatalf("the key %s has the path %s, which leads nowhere: %q, %q, %v", name, s.Path, out, missed, err)
			}
		}
	})
}

// JSON is a part of JSON5 and means the same there.
func FuzzJSONIsJSON5(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		strict, ok := document.Identity(document.JSON, src, nil)
		if !ok {
			return
		}
		if loose, ok := document.Identity(document.JSON5, src, nil); !ok || string(strict) != string(loose) {
			t.Fatalf("JSON %q, JSON5 %q (%v)", strict, loose, ok)
		}
	})
}

// Splice makes exactly the target with one value replaced, or nothing. Seen
// from outside: without the path, out is the target; the path alone changes,
// and to what source has there; doing it twice changes nothing more.
func FuzzSplice(f *testing.F) {
	for _, s := range seeds {
		for _, path := range []string{"a", "b.c", "o[0].s", "n.e.w"} {
			f.Add([]byte(s), []byte("a: {z: 1}\nb: {c: |\n  x}\n"), path)
			f.Add([]byte(s), []byte("a:\n- 1\nb:\n  c:\n  - x\n  - y: 1\nn:\n  e:\n    w: 'q'\no:\n- s: 2\n"), path)
			f.Add([]byte(s), []byte(`{"a":[1],"b":{"c":{"d":"e"}},"n":{"e":{"w":[]}},"o":[{"s":3}]}`), path)
			f.Add([]byte(s), []byte("a='x y'\n"), path)
		}
	}
	f.Fuzz(func(t *testing.T, target, source []byte, path string) {
		for _, format := range []document.Format{document.YAML, document.JSON, document.JSON5, document.Env} {
			paths := []string{path}
			out, missed, err := document.Splice(format, target, source, paths)
			if err != nil {
				if !errors.Is(err, document.ErrSplice) || out != nil || missed != nil {
					t.Fatalf("%s: %q, %q, %v", format, out, missed, err)
				}
				continue
			}
			if len(missed) > 0 {
				if string(out) != string(target) {
					t.Fatalf("%s: nothing to carry over, and the target changed", format)
				}
				continue
			}
			before, okBefore := document.Identity(format, target, paths)
			after, okAfter := document.Identity(format, out, paths)
			if !okBefore || !okAfter || string(before) != string(after) {
				t.Fatalf("%s: something besides %s changed:\n%q\n%q", format, path, target, out)
			}
			unmoved(t, format, target, out, path)
			again, missed, err := document.Splice(format, out, source, paths)
			if err != nil || len(missed) > 0 || string(again) != string(out) {
				t.Fatalf("%s: done twice: %q, then %q (%v)", format, out, again, err)
			}
		}
	})
}

// unmoved: where the path was a single value in target, every byte before it, and
// every byte from the next value on, is as it was: comments and order stay.
func unmoved(t *testing.T, format document.Format, target, out []byte, path string) {
	t.Helper()
	doc, err := document.Parse(format, target)
	if err != nil || bytes.ContainsAny(target, "\r\u0085\u2028\u2029\uFEFF") {
		return
	}
	end := len(target)
	for s := range doc.Scalars() {
		begin := offset(target, s.Line, s.Column)
		switch {
		case end < len(target): // the value was the one before
			if tail := target[begin:]; !bytes.HasSuffix(out, tail) {
				t.Fatalf("%s: what stands after %s changed:\n%q\n%q", format, path, target, out)
			}
			return
		case s.Path == path:
			if !bytes.HasPrefix(out, bytes.TrimRight(target[:begin], " \n=")) {
				t.Fatalf("%s: what stands before %s changed:\n%q\n%q", format, path, target, out)
			}
			end = begin
		}
	}
}

// offset is where line and column, both from 1, are in src.
func offset(src []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at += bytes.IndexByte(src[at:], '\n') + 1
	}
	for ; column > 1; column-- {
		_, size := utf8.DecodeRune(src[at:])
		at += size
	}
	return at
}
