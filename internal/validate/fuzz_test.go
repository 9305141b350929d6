package validate_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/document"
	"deadman/internal/validate"
)

// Guards object to nothing that a config has in common with the known good but a
// placeholder, NULs and a key given twice; they are a function; each finding is at
// a place in the file; and none holds a value, whether planted there or broken.
func FuzzGuards(f *testing.F) {
	const mark = "7f3a91c5Zq"
	names := []string{"c.yaml", "c.json", "c.json5", "c.toml", "c.ini", ".env", "nginx.conf"}
	for i, s := range []string{
		"a: 1\nkey: sk-...\nb: '#'\n", `{"a": "[REDACTED]", "token": "#", "token": "#"}`, "{a: '***', // #\n}", "a = '#'\n[b]\nsecret = 'xxxxxxxx'\n",
		"[s]\npassword = redacted\n# #\n", "TOKEN=***\nTOKEN=#\n", "token \"sk-ant-...#\";\n", "a: [#\n", "", "\x00\x00",
	} {
		f.Add([]byte(s), []byte(strings.Repeat("a: 1\n", 30)), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text, known []byte, which uint8) {
		name := names[int(which)%len(names)]
		make := func(b []byte) []validate.File {
			return []validate.File{{Name: name, Format: document.FormatOf(name), Bytes: bytes.ReplaceAll(b, []byte("#"), []byte(mark))}}
		}
		candidate, good := make(text), make(known)
		for _, findings := range [][]validate.Finding{validate.Guards(candidate, good), validate.Guards(candidate, nil), validate.Syntax(candidate)} {
			for _, x := range findings {
				if strings.Contains(x.Message, mark) || x.Message == "" || x.File != name {
					t.Fatalf("%+v", x)
				}
				if breaks := bytes.Count(candidate[0].Bytes, []byte("\n")) + bytes.Count(candidate[0].Bytes, []byte("\r")); x.Line < 0 || x.Column < 0 || x.Line > 1+breaks && !bytes.ContainsAny(text, "\u0085\u2028\u2029") {
					t.Fatalf("%+v is not in the file", x)
				}
			}
		}
		if diff := cmp.Diff(validate.Guards(candidate, good), validate.Guards(candidate, good)); diff != "" {
			t.Fatalf("not the same twice:\n%s", diff)
		}
		itself := []validate.Kind{validate.KindPlaceholder, validate.KindNULBytes, validate.KindDuplicateKey}
		for _, x := range validate.Guards(candidate, candidate) {
			if !slices.Contains(itself, x.Kind) {
				t.Fatalf("beside itself: %+v", x)
			}
		}
		if gone := validate.Guards(nil, good); len(gone) != 1 || gone[0].Kind != validate.KindMissing {
			t.Fatalf("without its file: %+v", gone)
		}
	})
}
