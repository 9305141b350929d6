package document_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"deadman/internal/document"
)

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]document.Format{
		"config.yaml": document.YAML, "conf.d/A.YML": document.YAML, "x.json": document.JSON, "x.json5": document.JSON5,
		"home/openclaw.json": document.JSON5, "settings.jsonc": document.JSON5,
		"config.toml": document.TOML, "a.ini": document.INI, ".env": document.Env, "home/.env": document.Env,
		".env.local": document.Env, "prod.env": document.Env,
		"nginx.conf": document.Opaque, "haproxy.cfg": document.Opaque, "config.yaml.bak": document.Opaque,
		".envrc": document.Opaque, "yaml": document.Opaque, "json/README": document.Opaque,
	} {
		if got := document.FormatOf(name); got != want {
			t.Errorf("FormatOf(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestKeyAndPaths(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"config.yaml#onboarding.seen", `d/a.json#hosts."example.org".port`, "a.yaml#agents.list[3].model",
		"a.yaml#[1].kind", `a.yaml#"with space"`, `a.yaml#"a\"b"[0]`, "a.yaml#ключ", `a.yaml#"#"`, `a.yaml#""`,
	} {
		var k document.Key
		if err := k.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if back, err := k.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%s: came back as %s (%v)", text, back, err)
		}
	}
	b, err := json.Marshal(document.Key{File: "a.yaml", Path: "b.c"})
	if err != nil || string(b) != `"a.yaml#b.c"` {
		t.Errorf("as JSON: %s, %v", b, err)
	}
	for _, text := range []string{
		"", "config.yaml", "#a", "a.yaml#", "a.yaml#.a", "a.yaml#a.", "a.yaml#a..b", "a.yaml#a[", "a.yaml#a[x]",
		"a.yaml#a[01]", "a.yaml#a[-1]", "a.yaml#a[1]b", `a.yaml#"a`, `a.yaml#"a"b`, `a.yaml#a"b`, "a.yaml#a b", "a.yaml#a.[1]", "a.yaml#a]",
	} {
		before := document.Key{File: "f", Path: "p"}
		k := before
		if err := k.UnmarshalText([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "cannot ") || k != before {
			t.Errorf("%q: got %v and error %v, want an error and no change", text, k, err)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		format document.Format
		source string
		keys   []string
	}{
		{document.YAML, "", nil},
		{document.YAML, "# only a comment\n", nil},
		{document.YAML, "---\n", nil},
		{document.YAML, "b: 1\na: {c: 2}\n", []string{"a", "b"}},
		{document.YAML, "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n", []string{"a", "c", "d"}},
		{document.YAML, "a: 1\n---\nb: 2\n", nil},
		{document.YAML, "- a\n", nil},
		{document.YAML, "1: a\n\"1\": b\n[x, y]: c\n", []string{"1", "1", "?"}},
		{document.TOML, "", nil},
		{document.TOML, "a = 1\n[b.c]\nd = [1, 2]\n[[e]]\nf = 1979-05-27\n", []string{"a", "b", "e"}},
		{document.INI, "", nil},
		{document.INI, "; c\ntop = 1\n[s.t]\nk: v\n  more\n# c\nk2 =\n", []string{`"s.t"`, "top"}},
		{document.INI, "[a]\n\tx = 1\n\ty = 2\n[b] ; c\n", []string{"a", "b"}},
		{document.Env, "", nil},
		{
			document.Env, "\uFEFF# c\nexport A=1\nB = 'x # y' # c\nC=\"a\nb\"\r\nD\nE=\nF=a#b\nG=\"a\"b\nexport=1\n",
			[]string{"A", "B", "C", "D", "E", "F", "G", "export"},
		},
		{document.JSON, `{"a.b":1,"c":2}`, []string{`"a.b"`, "c"}},
		{document.Opaque, "\x00\xff{", nil},
		{document.Opaque, "", nil},
	}
	for _, tt := range tests {
		doc, err := document.Parse(tt.format, []byte(tt.source))
		if err != nil {
			t.Errorf("%s %q: %v", tt.format, tt.source, err)
			continue
		}
		if got := doc.TopLevel(); !slices.Equal(got, tt.keys) {
			t.Errorf("%s %q: top level %q, want %q", tt.format, tt.source, got, tt.keys)
		}
	}
	if (*document.Document)(nil).TopLevel() != nil {
		t.Error("a nil document has keys")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		format       document.Format
		source       string
		line, column int
		message      string
	}{
		{document.YAML, "a: 1\nb: 2\na: 3\n", 3, 1, "a key is given twice"},
		{document.YAML, "a:\n  b: 1\n  \"b\": 2\n", 3, 3, "a key is given twice"},
		{document.YAML, "a: 1\n\tb: 2\n", 2, 1, "tab character"},
		{document.YAML, "a: [1, 2\n", 2, 1, ""},
		{document.YAML, "a: b: c\n", 1, 5, "not allowed"}, // incident 17, roughly
		{document.YAML, "a: *nope\n", 1, 4, "an alias names no anchor"},
		{document.YAML, "a: &x [*x]\n", 1, 8, "an alias stands for something that contains it"},
		{document.TOML, "[a]\nx = 1\n[a]\ny = 2\n", 3, 2, "defined twice"}, // codex#13464
		{document.TOML, "a = 1\na = 2\n", 2, 1, "defined twice"},
		{document.TOML, "a = 1\n'é' = nope\n", 2, 7, "expected keyword"},
		{document.TOML, "path = \"C:\\Users\"\n", 1, 11, ""}, // codex#33790
		{document.INI, "[a]\nx = 1\nx = 2\n", 3, 1, "a key is given twice"},
		{document.INI, "[a]\n[b]\n[a]\n", 3, 1, "a section is given twice"},
		{document.INI, "[a\n", 1, 1, "a section header is not closed"},
		{document.INI, "[a]\ngarbage\n", 2, 1, "a line is no section"},
		{document.Env, "A=1\nA=2\n", 2, 1, "a key is given twice"},
		{document.Env, "A=\"x\nB=1\n", 1, 3, "a quoted value is not closed"},
		{document.Env, "A=1\n=2\n", 2, 1, "a name is expected"},
		{document.Env, "A B\n", 1, 3, "a '=' is expected after a name"},
		{document.Env, "A='x\ny' z\n", 2, 4, "there is more on the line"},
		{document.Env, "A=\xff\n", 0, 0, "the text is not UTF-8"},
		{"nonsense", "", 0, 0, "the format is not known"},
	}
	for _, tt := range tests {
		wantError(t, tt.format, tt.source, tt.line, tt.column, tt.message)
	}
}

// Ten lines of YAML that stand for 10^9 values, and a deep nest, end in an
// error and not in the out-of-memory killer.
func TestYAMLBombs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	for _, source := range []string{b.String(), strings.Repeat("[", 20000), strings.Repeat("- ", 20000)} {
		if doc, err := document.Parse(document.YAML, []byte(source)); err == nil || doc != nil {
			t.Errorf("%.20q…: no error", source)
		}
	}
}

// A secret is planted where parsers are known to quote what they find.
func TestErrorsNeverQuoteTheFile(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for format, sources := range map[document.Format][]string{
		document.YAML: {
			"a: *hunter2\n", "hunter2: 1\nhunter2: 2\n", "a: !!int hunter2\n", "a: !hunter2! x\n", "a: !<hunter2> x\n", "%hunter2\n",
			"a: 'hunter2\n", "a: \"\\hunter2\"\n", "hunter2\nb: 1\n", "a: &hunter2\n*hunter2 : b\n- hunter2", "a: !!float hunter2\n",
			"!!hunter2,{ a\n", "a: !!binary hunter2\n", "a: !!timestamp hunter2",
		},
		document.TOML: {
			"a = hunter2\n", "[hunter2]\n[hunter2]\n", "hunter2 = 1\nhunter2 = 2\n", "a = \"hunter2\n", "a = 1hunter2\n", "\"hunter2 is\" = 1\n\"hunter2 is\" = 2\n",
			"a.hunter2 = 1\na.hunter2.b = 2\n", "a = 1 hunter2", "a = 2020-hunter2", "hunter2", "[[hunter2]]\n[hunter2]\n", "hunter2=1\n[hunter2]\n", "hunter2=[]\n[[hunter2]]",
		},
		document.INI:   {"hunter2\n", "[hunter2\n", "[hunter2]\n[hunter2]\n", "hunter2=1\nhunter2=2\n"},
		document.Env:   {"A B hunter2\n", "A='hunter2\n", "hunter2=\nhunter2=\n", "=hunter2"},
		document.JSON:  {"hunter2", `{"hunter2":1,"hunter2":2}`, `"hunter2`, `{"a":hunter2}`, "[1hunter2"},
		document.JSON5: {"hunter2", `{hunter2:1,hunter2:2}`, `'hunter2`, `{a:hunter2}`, "[+hunter2"},
	} {
		for _, source := range sources {
			_, err := document.Parse(format, []byte(source))
			if err == nil {
				continue // some of them are fine
			}
			for n := len(secret); n >= 3; n-- { // no part of it either
				if strings.Contains(err.Error(), secret[:n]) || strings.Contains(err.Error(), secret[len(secret)-n:]) {
					t.Errorf("%s %q: the error quotes the file: %v", format, source, err)
					break
				}
			}
		}
	}
}

// go-toml needs seconds for this one, and minutes for a larger one.
func TestTOMLWithTooManyKeys(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 21_000 {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	wantError(t, document.TOML, b.String(), 0, 0, "there are more than 20000 keys")
}

func TestScalars(t *testing.T) {
	t.Parallel()
	const text = "[{Path:a Line:1 Column:%d Text:x} {Path:l[0] Line:%d Column:%d Text:1} {Path:l[1].\"b.c\" Line:%d Column:%d Text:yes}]"
	tests := []struct {
		format document.Format
		source string
		want   string
	}{
		{document.YAML, "a: x\nl:\n- 1\n- b.c: yes\n", fmt.Sprintf(text, 4, 3, 3, 4, 8)},
		{document.JSON, "{\"a\": \"x\",\n\"l\": [1,\n{\"b.c\": \"yes\"}]}", fmt.Sprintf(text, 7, 2, 7, 3, 9)},
		{document.TOML, "a = 'x'\nl = [1, {'b.c' = 'yes'}]", "[{Path:a Line:0 Column:0 Text:x} {Path:l[0] Line:0 Column:0 Text:1} {Path:l[1].\"b.c\" Line:0 Column:0 Text:yes}]"},
		{document.Env, "# é\nA='x y' # c\n\nB = z # c\n", "[{Path:A Line:2 Column:3 Text:x y} {Path:B Line:4 Column:5 Text:z}]"},
		{document.INI, "[s]\nk = v\n  w\n", "[{Path:s.k Line:2 Column:1 Text:v\nw}]"},
		{document.Opaque, "a = b", "[]"},
	}
	for _, tt := range tests {
		doc, err := document.Parse(tt.format, []byte(tt.source))
		if err != nil {
			t.Errorf("%s: %v", tt.format, err)
			continue
		}
		if got := fmt.Sprintf("%+v", slices.Collect(doc.Scalars())); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.format, got, tt.want)
		}
		for range doc.Scalars() {
			break // stopping early must not panic
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		f    document.Format
		a, b string
		want []string
	}{
		{"nothing but layout", document.YAML, "a: 1\nb: [x, y]\n", "# c\nb:\n- x\n- y\na: 1\n", nil},
		{"types count", document.YAML, "a: 1\nb: yes\nc: null\n", "a: \"1\"\nb: \"yes\"\nc: ~\n", []string{"changed a", "changed b"}},
		{"a subtree is one entry", document.YAML, "a: {b: 1}\n", "a: {b: 1, c: {d: {e: 1}}}\n", []string{"added a.c"}},
		{
			"incident 26", document.JSON, `{"gateway":{"mode":"local","auth":{"t":1}},"agents":{},"model":1}`, `{"gateway":{"mode":"local"}}`,
			[]string{"removed agents", "removed gateway.auth", "removed model"},
		},
		{"from empty", document.YAML, "", "b: 1\na: {c: 1}\n", []string{"added a", "added b"}},
		{"to empty", document.YAML, "b: 1\n", "", []string{"removed b"}},
		{"list items", document.JSON, `{"l":[1,2,3,4]}`, `{"l":[1,2,9,3,4]}`, []string{"added l[2]"}},
		{"list item changed within", document.JSON, `[{"m":1,"n":1},{"m":2}]`, `[{"m":1,"n":2},{"m":2}]`, []string{"changed [0].n"}},
		{"list item gone", document.JSON, `[1,2,3]`, `[1,3]`, []string{"removed [1]"}},
		{"another kind", document.JSON, `{"a":{"b":1}}`, `{"a":[1]}`, []string{"changed a"}},
		{"outermost kind", document.JSON, `{"a":1}`, `[1]`, []string{"changed "}},
		{"dotted key", document.JSON, `{"a.b":{"c d":1}}`, `{"a.b":{"c d":2}}`, []string{`changed "a.b"."c d"`}},
		{"big integers", document.JSON, `[9007199254740992]`, `[9007199254740993]`, []string{"changed [0]"}},
		{"opaque", document.Opaque, "a", "b", []string{"changed "}},
		{"opaque from empty", document.Opaque, "", "b", []string{"added "}},
		{"toml", document.TOML, "a = 1\n[b]\nc = 1.0\nd = 2020-01-01\n", "a = 1.0\n[b]\nc = 1.0\nd = 2020-01-02\n", []string{"changed a", "changed b.d"}},
		{"ini", document.INI, "[a]\nx=1\n", "[a]\nx=2\n[b]\n", []string{"changed a.x", "added b"}},
		{"env", document.Env, "A=1\nB=2\n", "export A='1'\nC=3\n", []string{"removed B", "added C"}},
		{"yaml keys of two types", document.YAML, "1: a\n", "\"1\": a\n", []string{"removed 1", "added 1"}},
		{"yaml documents", document.YAML, "a: 1\n---\nb: 1\n", "a: 1\n---\nb: 2\n", []string{"changed [1].b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range document.Changes(mustParse(t, tt.f, tt.a), mustParse(t, tt.f, tt.b)) {
				got = append(got, string(c.Kind)+" "+c.Path)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := document.Changes(nil, mustParse(t, document.JSON, `{"a":1}`)); len(got) != 1 || got[0].Path != "a" {
		t.Errorf("a nil document: %v", got)
	}
}

// A change at the bottom of lists in lists is found by reading each once.
func TestChangesInDeepLists(t *testing.T) {
	t.Parallel()
	nest := func(last string) string {
		return strings.Repeat("[", 900) + strings.Repeat("1,", 10_000) + last + strings.Repeat("]", 900)
	}
	got := document.Changes(mustParse(t, document.JSON, nest("1")), mustParse(t, document.JSON, nest("2")))
	if want := strings.Repeat("[0]", 899) + "[10000]"; len(got) != 1 || got[0].Path != want {
		t.Errorf("got %d changes, want the one at the bottom", len(got))
	}
}

func mustParse(t *testing.T, f document.Format, source string) *document.Document {
	t.Helper()
	doc, err := document.Parse(f, []byte(source))
	if err != nil {
		t.Fatalf("%s %q: %v", f, source, err)
	}
	return doc
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	seen := []string{"onboarding.seen"}
	tests := []struct {
		f     document.Format
		paths []string
		a, b  string
		same  bool
	}{
		{document.YAML, nil, "a: 1\nb: 2\n", "b: 2 # c\n\na: 1", true},
		{document.YAML, nil, "a: 1\n", "a: '1'\n", false},
		{document.YAML, nil, "a: [1, 2]\n", "a: [2, 1]\n", false},
		{document.YAML, nil, "a: off\n", "a: 'off'\n", false}, // incident 72
		{document.YAML, nil, "a: true\n", "a: True\n", true},
		{document.YAML, nil, "a: 010\n", "a: 8\n", false},
		{document.YAML, nil, "a: !x 1\n", "a: !y 1\n", false},
		{document.YAML, nil, "a: !!set {x: }\n", "a: {x: }\n", false},
		{document.YAML, nil, "a: x\n", "a: |-\n  x\n", true},
		{document.YAML, nil, "a: &q {b: 1}\nc: *q\n", "a: {b: 1}\nc: {b: 1}\n", true},
		{document.YAML, seen, "m: 1\nonboarding: {seen: true}\n", "m: 1\n", true}, // incident 45
		{document.YAML, seen, "m: 1\nonboarding: {}\n", "m: 1\n", true},
		{document.YAML, seen, "m: 1\nonboarding: {seen: {a: 1}, x: 1}\n", "m: 1\nonboarding: {x: 1}\n", true},
		{document.YAML, seen, "m: 1\nonboarding: {seen: 1, x: 1}\n", "m: 1\nonboarding: {seen: 1, x: 2}\n", false},
		{document.YAML, seen, "m: 1\nonboarding: {seenx: 1}\n", "m: 1\n", false},
		{document.YAML, seen, "onboarding: {seen: 1}\n", "# nothing\n", true},
		{document.YAML, seen, "e: {}\n", "", false},
		{document.JSON, []string{"l[0]", "l[2].x"}, `{"l":[1,2,{"x":1,"y":1}]}`, `{"l":[5,2,{"y":1}]}`, true},
		{document.TOML, []string{"a.b"}, "[a]\nb = 1\n", "", true},
		{document.Env, []string{"SEEN"}, "SEEN=1\nK=2\n", "K=2\n", true},
		{document.Opaque, nil, "a # c", "a", false},
		{document.JSON, nil, `["\ud800"]`, `["\ud801"]`, false},
		{document.JSON, nil, `["ab","c"]`, `["a","bc"]`, false},
	}
	for _, tt := range tests {
		a, okA := document.Identity(tt.f, []byte(tt.a), tt.paths)
		b, okB := document.Identity(tt.f, []byte(tt.b), tt.paths)
		if !okA || !okB || (string(a) == string(b)) != tt.same {
			t.Errorf("%s %q and %q without %q: same must be %v; got %q, %q", tt.f, tt.a, tt.b, tt.paths, tt.same, a, b)
		}
	}
	if id, ok := document.Identity(document.JSON, []byte("{"), nil); ok || id != nil {
		t.Error("a broken file has an identity")
	}
	if _, ok := document.Identity(document.JSON, []byte("{}"), []string{"a..b"}); ok {
		t.Error("a broken path was accepted")
	}
}
