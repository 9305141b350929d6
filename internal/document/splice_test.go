package document_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"deadman/internal/document"
)

func TestSplice(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                 string
		f                    document.Format
		target, source, path string
		want                 string
	}{
		{
			"yaml: plain value, comments stay", document.YAML,
			"# top\na: 1 # one\nonboarding:\n  # note\n  seen: false   # c\nz: 9\n", "onboarding: {seen: true}\n", "onboarding.seen",
			"# top\na: 1 # one\nonboarding:\n  # note\n  seen: true   # c\nz: 9\n",
		},
		{"yaml: quotes of the source", document.YAML, "a: 'it''s'\nb: 1\n", "a: \"x # \\\" y\"\n", "a", "a: \"x # \\\" y\"\nb: 1\n"},
		{"yaml: quoted key", document.YAML, "\"a.b\": 1\n'c': 2\n", "a.b: 3\n", `"a.b"`, "\"a.b\": 3\n'c': 2\n"},
		{
			"yaml: insert beside siblings", document.YAML,
			"onboarding:\n    first: 1 # f\n\n# next\nz: 1\n", "onboarding:\n  seen: true\n", "onboarding.seen",
			"onboarding:\n    first: 1 # f\n    seen: true\n\n# next\nz: 1\n",
		},
		{
			"yaml: insert with parents", document.YAML, "a:\n  b: |\n    text\n", "x:\n    y:\n        'z z': 1\n", `x.y."z z"`,
			"a:\n  b: |\n    text\nx:\n  y:\n    'z z': 1\n",
		},
		{"yaml: insert without final newline", document.YAML, "a: 1", "a: 1\nb: 2\n", "b", "a: 1\nb: 2"},
		{"yaml: insert into nothing", document.YAML, "# empty\n", "a:\n  b: 2\n", "a.b", "# empty\na:\n  b: 2\n"},
		{"yaml: into nothing, no newline", document.YAML, "# empty", "b: 2", "b", "# empty\nb: 2\n"},
		{"yaml: crlf", document.YAML, "a: 1\r\nb:\r\n  c: 1\r\n", "b:\n  d:\n    - 1\n    - 2\n", "b.d", "a: 1\r\nb:\r\n  c: 1\r\n  d:\r\n    - 1\r\n    - 2\r\n"},
		{"yaml: empty value gets one", document.YAML, "a:\nb: # c\nc: 1\n", "b: x\n", "b", "a:\nb: x # c\nc: 1\n"},
		{"yaml: value becomes empty", document.YAML, "a: 1\nb: 2\n", "a:\n", "a", "a: \nb: 2\n"},
		{
			"yaml: list for list", document.YAML, "allow: # ok\n  - a\n  - b\n\nz: 1\n", "allow:\n- a\n- b\n- c # new\n", "allow",
			"allow: # ok\n- a\n- b\n- c\n\nz: 1\n",
		},
		{
			"yaml: list for inline", document.YAML, "o:\n  allow: [] # ok\nz: 1\n", "o:\n    allow:\n        - a\n        - b: 1\n          c: 2\n", "o.allow",
			"o:\n  allow: # ok\n      - a\n      - b: 1\n        c: 2\nz: 1\n",
		},
		{"yaml: inline for block", document.YAML, "a:  # why\n  b: 1\n  c:\n  - 1\nz: 1\n", "a: {}\n", "a", "a: {}  # why\nz: 1\n"},
		{
			"yaml: block scalar for block scalar", document.YAML, "m: |\n  old\n  text\n\nz: 1\n", "m: >-\n    new\n\n    lines\nq: 1\n", "m",
			"m: >-\n    new\n\n    lines\n\nz: 1\n",
		},
		{
			"yaml: block scalar moves in", document.YAML, "o:\n  m: x\nz: 1\n", "o:\n    m: |\n      one\n        two\n", "o.m",
			"o:\n  m: |\n    one\n      two\nz: 1\n",
		},
		{"yaml: flow", document.YAML, "o: {a: 1, b: [x], c: 3} # c\n", "o:\n  b: [y, z]\n", "o.b", "o: {a: 1, b: [y, z], c: 3} # c\n"},
		{"yaml: insert into flow", document.YAML, "o: {a: 1} # c\np: {}\n", "o: {n: {m: 2}}\n", "o.n.m", "o: {a: 1, n: {m: 2}} # c\np: {}\n"},
		{"yaml: insert into empty flow", document.YAML, "p: {}\n", "p:\n  q: 1\n", "p.q", "p: {q: 1}\n"},
		{"yaml: flow over lines", document.YAML, "o: {\n  a: [1, # c\n    2],\n}\nz: 1\n", "o: 5\n", "o", "o: 5\nz: 1\n"},
		{"yaml: in a list", document.YAML, "l:\n- n: a\n  seen: 0\n- n: b\n  seen: 0\n", "l: [{}, {seen: 1}]\n", "l[1].seen", "l:\n- n: a\n  seen: 0\n- n: b\n  seen: 1\n"},
		{"yaml: insert in a list", document.YAML, "l:\n- n: a\n- n: b\nz: 1\n", "l: [{seen: 2}]\n", "l[0].seen", "l:\n- n: a\n  seen: 2\n- n: b\nz: 1\n"},
		{"yaml: list item", document.YAML, "l:\n- a # c\n- b\n", "l: [x]\n", "l[0]", "l:\n- x # c\n- b\n"},
		{"yaml: anchors elsewhere", document.YAML, "base: &b {u: 1}\nother:\n  <<: *b\nx: 1\n", "x: 2\ny: 3\n", "x", "base: &b {u: 1}\nother:\n  <<: *b\nx: 2\n"},
		{"yaml: insert after an alias", document.YAML, "base: &b\n  u: 1\no:\n  <<: *b\n", "o: {x: 2}\n", "o.x", "base: &b\n  u: 1\no:\n  <<: *b\n  x: 2\n"},
		{"yaml: number keys", document.YAML, "chans:\n  1: a\n", "chans:\n  1: a\n  2: b\n", "chans.2", "chans:\n  1: a\n  2: b\n"},
		{"yaml: not ascii", document.YAML, "é: ü\nö: 1\n", "ö: ß\n", "ö", "é: ü\nö: ß\n"},
		{"yaml: document marks", document.YAML, "---\na: 1\n...\n", "b: 2\n", "b", "---\na: 1\nb: 2\n...\n"},

		{"json: value", document.JSON, "{\n  \"a\": 1,\n  \"b\": {\"c\": [1, 2]}\n}\n", `{"b":{"c":"x\ty"}}`, "b.c", "{\n  \"a\": 1,\n  \"b\": {\"c\": \"x\\ty\"}\n}\n"},
		{"json: insert a line", document.JSON, "{\n  \"a\": 1\n}", `{"b" :true}`, "b", "{\n  \"a\": 1,\n  \"b\": true\n}"},
		{"json: insert crlf", document.JSON, "{\r\n  \"a\": 1\r\n}", `{"b":{"c":1}}`, "b.c", "{\r\n  \"a\": 1,\r\n  \"b\": {\"c\": 1}\r\n}"},
		{"json: insert inline", document.JSON, `{"a":1}`, `{"b":2}`, "b", `{"a":1, "b": 2}`},
		{"json: insert into empty", document.JSON, `{"o":{}}`, `{"o":{"x":2}}`, "o.x", `{"o":{"x": 2}}`},
		{"json: in a list", document.JSON, `{"l":[{"n":1},{"n":2}]}`, `{"l":[0,{"s":3}]}`, "l[1].s", `{"l":[{"n":1},{"n":2, "s": 3}]}`},
		{
			"json5: comments", document.JSON5, "{\n  // top\n  a: 1, // one\n  b: 'x', /* two */ // three\n}\n", "{seen: 'y'}", "seen",
			"{\n  // top\n  a: 1, // one\n  b: 'x', /* two */ // three\n  seen: 'y',\n}\n",
		},
		{"json5: comment, no comma", document.JSON5, "{\n\ta: 1 // one\n}\n", "{seen: 'y'}", "seen", "{\n\ta: 1, // one\n\tseen: 'y'\n}\n"},
		{"json5: value with comment", document.JSON5, "{a: /* c */ 1 /* d */}", "{a:[1,/*x*/]}", "a", "{a: /* c */ [1,/*x*/] /* d */}"},
		{"json5: brace on the line", document.JSON5, "{\n a: 1}", "{b:2}", "b", "{\n a: 1,\n b: 2}"},

		{"env: value", document.Env, "# c\nexport A=1 # one\nB=2\n", "A='x y'\n", "A", "# c\nexport A='x y' # one\nB=2\n"},
		{"env: insert", document.Env, "A=1", "export B=\"x\"\n", "B", "A=1\nexport B=\"x\""},
		{"env: insert crlf", document.Env, "A=1\r\n", "B=2\n", "B", "A=1\r\nB=2\r\n"},
		{"env: into nothing", document.Env, "", "B=2\n", "B", "B=2\n"},
		{"env: to empty", document.Env, "A = 1 # c\n", "A=\n", "A", "A = # c\n"},
		{"env: from empty", document.Env, "A= # c\nB=1\n", "A=x\n", "A", "A=x # c\nB=1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, source := []byte(tt.target), []byte(tt.source)
			out, missed, err := document.Splice(tt.f, target, source, []string{tt.path})
			if err != nil || len(missed) > 0 {
				t.Fatalf("got error %v, missed %q", err, missed)
			}
			if string(out) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", out, tt.want)
			}
			if string(target) != tt.target || string(source) != tt.source {
				t.Error("an argument was changed")
			}
		})
	}
}

func TestSpliceRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                 string
		f                    document.Format
		target, source, path string
	}{
		{"format", document.TOML, "a = 1\n", "a = 2\n", "a"},
		{"broken target", document.YAML, "a: [\n", "a: 2\n", "a"},
		{"broken source", document.JSON, "{}", "{", "a"},
		{"broken path", document.JSON, "{}", "{}", "a..b"},
		{"parent is a scalar", document.YAML, "a: 1\n", "a: {b: 2}\n", "a.b"},
		{"parent is null", document.YAML, "a:\n", "a: {b: 2}\n", "a.b"},
		{"list too short", document.JSON, `{"l":[]}`, `{"l":[1]}`, "l[0]"},
		{"missing list", document.JSON, `{}`, `{"l":[1]}`, "l[0]"},
		{"value with an anchor", document.YAML, "a: &x 1\nb: *x\n", "a: 2\n", "a"},
		{"source with an alias", document.YAML, "a: 1\n", "x: &x 2\na: *x\n", "a"},
		{"source with a tag", document.YAML, "a: 1\n", "a: !!str 2\n", "a"},
		{"path through an alias", document.YAML, "x: &x {a: 1}\ny: *x\n", "y: {a: 2}\n", "y.a"},
		{"inside an anchored value", document.YAML, "x: &x {a: 1}\ny: *x\n", "x: {a: 2}\n", "x.a"},
		{"plain over lines", document.YAML, "a: one\n  two\nb: 1\n", "a: x\n", "a"},
		{"block that keeps its end", document.YAML, "a: |+\n  x\n\n", "b: 1\n", "b"},
		{"lines into brackets", document.YAML, "o: {a: 1}\n", "o:\n  a:\n  - 1\n", "o.a"},
		{"several documents", document.YAML, "a: 1\n---\nb: 1\n", "a: 1\n---\nb: 2\n", "[1].b"},
		{"rare line break", document.YAML, "a: 1 # \u2028\nb: 1\n", "b: 2\n", "b"},
		{"explicit key", document.YAML, "? a\n: 1\n", "a: 2\n", "a"},
		{"document mark", document.YAML, "---\n", "a: 2\n", "a"},
	}
	for _, tt := range tests {
		out, _, err := document.Splice(tt.f, []byte(tt.target), []byte(tt.source), []string{tt.path})
		if !errors.Is(err, document.ErrSplice) || out != nil {
			t.Errorf("%s: got %q and error %v, want ErrSplice and nothing", tt.name, out, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "cannot splice: ") {
			t.Errorf("%s: error reads %q", tt.name, err)
		}
	}
}

func TestSpliceManyPaths(t *testing.T) {
	t.Parallel()
	target := "a: 1\no:\n  seen: 0\n  keep: 1\nonly-here: 5\n"
	source := "a: 2\no:\n  seen: 1\n  more: {x: 1}\n"
	out, missed, err := document.Splice(document.YAML, []byte(target), []byte(source),
		[]string{"only-here", "o.seen", "o.more.x", "o.more", "o.more", "gone.x"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "a: 1\no:\n  seen: 1\n  keep: 1\n  more: {x: 1}\nonly-here: 5\n"; string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if !slices.Equal(missed, []string{"only-here", "gone.x"}) {
		t.Errorf("missed %q", missed)
	}
	// A value that is the same in both is not touched, however it is written.
	out, _, err = document.Splice(document.YAML, []byte("a: &x 'v'\nb: *x\n"), []byte("a: v\n"), []string{"a"})
	if err != nil || string(out) != "a: &x 'v'\nb: *x\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
