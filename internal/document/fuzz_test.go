package document_test

import (
	"errors"
	"testing"

	"deadman/internal/document"
)

var formats = []document.Format{document.YAML, document.JSON, document.JSON5, document.TOML, document.INI, document.Env, document.Opaque}

var seeds = []string{
	"", "a: 1\nb: {c: [x, 'y']}\n", "a: &x |\n  t\nb: *x\n", "a:\r\n- b:\r\n  c: >-\r\n    t\r\n", "a: 1\n---\nb: 2\n", "? a\n: b\n", "{a: 1, \"b\": [2]}",
	`{"a":1,"b":{"c":[1,2,{"d":null}]}}`, "{a:.5,/* c */'b':+0x1F,// d\n}", "[1,\n2]", `"\ud800\u0041"`, "\uFEFF{}",
	"a = 1\n[b]\nc = [1.5, 'x']\n[[d]]\ne = 2020-01-01T00:00:00Z\n", "[s]\nk = v\n  w\n; c\n", "export A='x\ny'\nB=\"\\n\" # c\nC\nD=a#b\n", "A=1\nA=2",
	"a:\n  b: 1\n# c\n\n  d:\n", "\"a\": 'it''s'\n", "a: \"x\\\n  y\"\n", "- - a\n  - b\n", "o:\n- n: 1\n  s: |\n   x\n",
}

// Whatever the bytes: a document or an error and never both, no panic, the
// same answer twice, and the first error is about a place in the file.
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
			again, missed, err := document.Splice(format, out, source, paths)
			if err != nil || len(missed) > 0 || string(again) != string(out) {
				t.Fatalf("%s: done twice: %q, then %q (%v)", format, out, again, err)
			}
		}
	})
}
