package validate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"deadman/internal/document"
	"deadman/internal/validate"
)

func file(name, text string) validate.File {
	return validate.File{Name: name, Format: document.FormatOf(name), Bytes: []byte(text)}
}

// verdict is kind, file and key of each finding.
func verdict(found []validate.Finding) []string {
	var out []string
	for _, f := range found {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Kind, f.File, f.Key)))
	}
	return out
}

// The files of incidents 15, 25, 26, 30 and 22, each against what it replaced.
func TestGuardsAgainstKnownGood(t *testing.T) {
	t.Parallel()
	big := `{"gateway":{"mode":"local","auth":{"token":"t0ken"}},"agents":{"list":[1,2,3]},"channels":{"x":"` + strings.Repeat("y", 500) + `"}}`
	codex := "model = 'x'\napproval_policy = 'never'\n[mcp_servers.a]\ncommand = 'c'\n[tui]\n" + strings.Repeat("# padding\n", 50)
	tests := []struct {
		name                 string
		candidate, knownGood []validate.File
		want                 []string
	}{
		{
			"incident 15: a valid stub",
			[]validate.File{file("openclaw.json", `{"gateway":{"mode":"local"}}`)},
			[]validate.File{file("openclaw.json", big)},
			[]string{"shrank openclaw.json", "keys-lost openclaw.json agents", "keys-lost openclaw.json channels"},
		},
		{
			"incident 25: 12,899 to 6,247 bytes",
			[]validate.File{file("a.conf", strings.Repeat("x", 6247))},
			[]validate.File{file("a.conf", strings.Repeat("x", 12899))},
			[]string{"shrank a.conf"},
		},
		{"a little more than half stays", []validate.File{file("a.conf", strings.Repeat("x", 6450))}, []validate.File{file("a.conf", strings.Repeat("x", 12899))}, nil},
		{"exactly half", []validate.File{file("a.conf", strings.Repeat("x", 50))}, []validate.File{file("a.conf", strings.Repeat("x", 100))}, []string{"shrank a.conf"}},
		{"a tiny file", []validate.File{file("a.yaml", "a: 1\n")}, []validate.File{file("a.yaml", "a: "+strings.Repeat("1", 60))}, nil},
		{
			"incident 26: 43 bytes",
			[]validate.File{file("openclaw.json", "{\"gateway\":{\"mode\":\"local\"}}\n")},
			[]validate.File{file("openclaw.json", `{"gateway":{},"x":"`+strings.Repeat("y", 7000)+`"}`)},
			[]string{"shrank openclaw.json", "keys-lost openclaw.json x"},
		},
		{
			"incident 30: keys the writer does not own",
			[]validate.File{file("config.toml", "[tui]\n"+strings.Repeat("# padding\n", 50))},
			[]validate.File{file("config.toml", codex)},
			[]string{"keys-lost config.toml approval_policy", "keys-lost config.toml mcp_servers", "keys-lost config.toml model"},
		},
		{"a key twice in .env", []validate.File{file(".env", "A=1\nA=2\n")}, nil, []string{"duplicate-key .env"}},
		{"a key twice in JSON", []validate.File{file("a.json", `{"a":1,"a":2}`)}, nil, []string{"duplicate-key a.json"}},
		{"keys won are fine", []validate.File{file("a.yaml", "a: 1\nb: 2\n")}, []validate.File{file("a.yaml", "a: 1\n")}, nil},
		{
			"incident 11: a token gone from .env",
			[]validate.File{file("c.yaml", "a: 1\n"), file(".env", "A=1\n")},
			[]validate.File{file(".env", "A=1\nDISCORD_BOT_TOKEN=2\n"), file("c.yaml", "a: 1\n")},
			[]string{"keys-lost .env DISCORD_BOT_TOKEN"},
		},
		{"incident 22: zero bytes", []validate.File{file("openclaw.json", "")}, []validate.File{file("openclaw.json", big)}, []string{"empty-file openclaw.json"}},
		{"white space only", []validate.File{file("a.yaml", " \n\n")}, []validate.File{file("a.yaml", "a: 1\n")}, []string{"empty-file a.yaml"}},
		{"empty as before", []validate.File{file("a.yaml", "\n")}, []validate.File{file("a.yaml", "")}, nil},
		{"empty, nothing known", []validate.File{file("a.yaml", ""), file(".env", ""), file("a.conf", "")}, nil, []string{"empty-file a.yaml"}},
		{".env emptied", []validate.File{file(".env", "")}, []validate.File{file(".env", "A=1\n")}, []string{"empty-file .env"}},
		{"NULs", []validate.File{file("a.yaml", strings.Repeat("\x00", 700))}, nil, []string{"nul-bytes a.yaml"}},
		{"a tail of NULs", []validate.File{file("a.conf", "a b\n\x00\x00")}, []validate.File{file("a.conf", "a b\nc\n")}, []string{"nul-bytes a.conf"}},
		{"binary is binary", []validate.File{file("a.bin", "a\x00b")}, []validate.File{file("a.bin", "a\x00c")}, nil},
		{"binary, nothing known", []validate.File{file("a.bin", "a\x00b")}, nil, nil},
		{"all NULs", []validate.File{file("a.bin", "\x00\x00")}, []validate.File{file("a.bin", "\x00a")}, []string{"nul-bytes a.bin"}},
		{"a file is gone", []validate.File{file("a.yaml", "a: 1\n")}, []validate.File{file("a.yaml", "a: 1\n"), file(".env", "A=1\n")}, []string{"missing .env"}},
		{"a new file", []validate.File{file("a.yaml", "a: 1\n"), file("b.yaml", "b: 1\n")}, []validate.File{file("a.yaml", "a: 1\n")}, nil},
		{"broken candidates are for Syntax", []validate.File{file("a.yaml", "b: [\n")}, []validate.File{file("a.yaml", "a: 1\n")}, nil},
		{"links are not judged", []validate.File{{Name: "a.yaml", Format: document.YAML, Link: true}}, []validate.File{file("a.yaml", "a: 1\n"+strings.Repeat("#\n", 99))}, nil},
		{"nor is a file that was a link", []validate.File{file("a.yaml", "a: 1\n")}, []validate.File{{Name: "a.yaml", Bytes: []byte(strings.Repeat("x", 999)), Link: true}}, nil},
	}
	for _, tt := range tests {
		if got := verdict(validate.Guards(tt.candidate, tt.knownGood)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlaceholderValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key, value string
		want       bool
	}{
		{"model.api_key", "sk-...", true}, // incident 33
		{"model.api_key", "sk-…", true},
		{"x", "sk-ant-api03-...wXyZ", true},
		{"x", "sk-***", true},
		{"x", "ghp_****1234", true},
		{"gateway.auth.token", "__OPENCLAW_REDACTED__", true}, // incident 34
		{"x", "__REDACTED__", true},
		{"x", "[REDACTED]", true},
		{"x", "[REDACTED:api_key]", true},
		{"x", "<redacted>", true},
		{"x", "***REDACTED***", true},
		{"x", "***", true},
		{"x", "••••••••", true},
		{"x", " *** ", true},
		{"discord.botToken", "MTk4...abc", true},
		{"password", "xxxxxxxx", true},
		{"secret", "redacted", true},
		{"headers.Authorization", "Bearer ***", true},
		{"headers.Authorization", "Bearer [REDACTED]", true},
		{"db", "postgres://app:***@db/app", true},
		{"db", "postgres://app:[REDACTED]@db/app", true},

		{"model.api_key", "sk-proj-abcdef0123456789", false},
		{"model.api_key", "${OPENAI_API_KEY}", false},
		{"x", "", false},
		{"token", "", false},
		{"x", "redacted", false},
		{"log.mode", "redacted", false},
		{"prompt", "Replace every secret by [REDACTED] or ***.", false},
		{"prompt", "Write sk-... where the key was", false},
		{"glob", "**/*.go", false},
		{"glob", "**", false},
		{"cron", "* * * * *", false},
		{"x", "...", false},
		{"path", "a/.../b", false},
		{"x", "xxxxxxxx", false},
		{"max_tokens", "...", false},
		{"redact.replacement", "[REDACTED]", false},
		{"logging.mask", "***", false},
		{"sentinel", "__init__", false},
		{"db", "postgres://app:hunter2@db/app", false},
		{"x", "skip...", false},
		{"hf_note", "hf stands for ...", false},
	}
	for _, tt := range tests {
		keys := strings.Split(tt.key, ".")
		source := ""
		for depth, key := range keys {
			source += "\n" + strings.Repeat(" ", depth) + key + ":"
		}
		source += fmt.Sprintf(" %q # sk-... [REDACTED] ***\n", tt.value)
		found := validate.Guards([]validate.File{file("a.yaml", source)}, nil)
		if (len(found) == 1) != tt.want || len(found) > 1 {
			t.Errorf("%s = %q: found %q, want a finding: %v", tt.key, tt.value, verdict(found), tt.want)
			continue
		}
		if tt.want && (found[0].Kind != validate.KindPlaceholder || found[0].Key != tt.key || found[0].Line == 0) {
			t.Errorf("%s = %q: found %+v", tt.key, tt.value, found[0])
		}
	}
}

func TestPlaceholdersByFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string // line and key
	}{
		{".env", "# A=***\nOPENAI_API_KEY=sk-...\nB='***'\nC=1 # [REDACTED]\n", []string{"2 OPENAI_API_KEY", "3 B"}},
		{"a.json", `{"***": 1, "l": ["a", "[REDACTED]"], "k.e": {"token": "a…b"}}`, []string{`1 l[1]`, `1 "k.e".token`}},
		{"openclaw.json", "{\n// sk-...\ntoken: '__OPENCLAW_REDACTED__',}", []string{"3 token"}},
		{"a.toml", "[a]\nb = '***' # x\n", []string{"0 a.b"}},
		{"a.ini", "[a]\nb = ***\n", []string{"2 a.b"}},
		{"broken.json", `{"a":"***"`, nil},
		{"nginx.conf", strings.Join([]string{
			"# *** sk-... [REDACTED] ***", "#***", "  # token ***;", "/* *** */", "location ~ ^/a(.*)*$ { # ***", "server_name *** ;",
			"log_format main '$remote_addr ...';", "add_header X-Note \"a ... b\";", "mask = [REDACTED]", "note [REDACTED] is what we write", "}",
		}, "\n"), nil},
		{
			"app.conf", "auth_token ***;\nset $key \"sk-...\";\npassword = [REDACTED]\nproxy_set_header Authorization \"Bearer ***\";\nurl = redis://u:***@h\n\"api_key\": \"sk-…\",\n",
			[]string{"1", "2", "3", "4", "5", "6"},
		},
		{"a.bin", "token = ***\n\x00", nil},
	}
	for _, tt := range tests {
		var got []string
		for _, f := range validate.Guards([]validate.File{file(tt.name, tt.text)}, nil) {
			if f.Kind != validate.KindPlaceholder {
				t.Errorf("%s: %v", tt.name, f)
			}
			if strings.Contains(f.String(), "sk-") || strings.Contains(f.Message, "***") {
				t.Errorf("%s: the finding quotes the value: %v", tt.name, f)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s", f.Line, f.Key)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSyntax(t *testing.T) {
	t.Parallel()
	found := validate.Syntax([]validate.File{
		file("ok.yaml", "a: 1\n"),
		file("openclaw.json", ""), // incident 22
		file("config.yaml", "a: 1\n b: secret\n"),
		{Name: "link.yaml", Format: document.YAML, Bytes: []byte("["), Link: true},
		file("nginx.conf", "{{{"),
	})
	var got []string
	for _, f := range found {
		got = append(got, f.String())
	}
	want := []string{
		"openclaw.json:1:1: cannot parse: the text ends where a value is expected",
		"config.yaml:2:3: cannot parse: mapping values are not allowed in this context",
	}
	if !slices.Equal(verdict(found), []string{"syntax openclaw.json", "syntax config.yaml"}) || got[0] != want[0] || !strings.HasPrefix(got[1], "config.yaml:2:") || strings.Contains(got[1], "secret") {
		t.Errorf("got %q, want %q", got, want)
	}
	if f := (validate.Finding{File: "a", Key: "b.c", Message: "m"}); f.String() != "a: b.c: m" {
		t.Errorf("got %q", f)
	}
}
