package validate

import (
	"bytes"
	"strings"

	"deadman/internal/document"
	"deadman/internal/lazy"
)

// What redaction leaves behind when a program writes back what it was shown
// (incidents 33 and 34). A text counts only as a whole value: prompts and
// comments talk about placeholders, secrets are placeholders.
var (
	// [REDACTED], <redacted: token>, ***REDACTED***, __OPENCLAW_REDACTED__,
	// (redacted). A bare "redacted" may be a log level; see secretKey.
	sentinel = lazy.Regexp(`(?i)^(_{2,}([a-z0-9]+_)*redacted(_[a-z0-9]+)*_{2,}|[\[<({*•]+ ?redacted\b[^\[\]<>(){}\n]{0,40}[\]>)}*•]+)$`)
	// ***, ••••••••
	mask = lazy.Regexp(`^([*]{3,}|[•●∙]{3,})$`)
	// sk-..., sk-ant-…wxyz, ghp_***1234: a known kind of token, cut out in the middle.
	cutToken = lazy.Regexp(`^((sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs]|xapp|hf|gsk|npm|pplx|nvapi)[-_]|AIza|AKIA)[-_A-Za-z0-9]*(\.{3,}|…|[*•]{3,})[-_A-Za-z0-9]*$`)
	// 123456:AA...xyz, xxxxxxxx, redacted: as the value of a key that says it
	// is a secret.
	cutSecret = lazy.Regexp(`^(\S*(\.{3,}|…|[*•]{3,})\S*|x{8,}|X{8,}|(?i:redacted))$`)
	// Bearer ***, and the password of a URL.
	scheme      = lazy.Regexp(`(?i)^(bearer|basic|token|bot)\s+(\S.*)$`)
	urlPassword = lazy.Regexp(`^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s@:]*:([^/?#\s@]+)@`)

	secretKey = lazy.Regexp(`(?i)(api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|token|secret|passw(or)?d|passphrase|credentials?)$`)
	// Keys that configure redaction have every right to name a placeholder.
	redactionKey = lazy.Regexp(`(?i)(redact|mask|saniti[sz]|scrub|placeholder|replacement)`)
)

// isPlaceholder reports whether value, of a key whose last name is key, is
// what a redaction leaves behind.
func isPlaceholder(key, value string) bool {
	value = strings.TrimSpace(value)
	if m := scheme().FindStringSubmatch(value); m != nil {
		value = m[2]
	} else if m := urlPassword().FindStringSubmatch(value); m != nil {
		value, key = m[1], "password"
	}
	return sentinel().MatchString(value) || mask().MatchString(value) || cutToken().MatchString(value) ||
		secretKey().MatchString(key) && cutSecret().MatchString(value)
}

// placeholders looks at each value of f. A file that does not parse has no
// values; Syntax speaks of it.
func placeholders(f File) []Finding {
	if f.Format == document.Opaque {
		return opaquePlaceholders(f)
	}
	doc, err := document.Parse(f.Format, f.Bytes)
	if err != nil {
		return nil
	}
	var out []Finding
	for s := range doc.Scalars() {
		if redactionKey().MatchString(s.Path) || !isPlaceholder(lastName(s.Path), s.Text) {
			continue
		}
		out = append(out, Finding{
			Kind: KindPlaceholder, File: f.Name, Line: s.Line, Column: s.Column, Key: s.Path,
			Message: "the value is a redaction placeholder",
		})
	}
	return out
}

// lastName is the last key of a path; that of a list, for its items.
func lastName(path string) string {
	for strings.HasSuffix(path, "]") {
		path = path[:strings.LastIndexByte(path, '[')]
	}
	if name, quoted := strings.CutSuffix(path, `"`); quoted {
		return name[strings.LastIndexByte(name, '"')+1:]
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

// assignment is a line of an opaque file that gives a name a value: `key =
// value`, `key: value`, `key value;`.
var assignment = lazy.Regexp(`^([\w."'-]*[\w"'])(?:\s*[:=]\s*|\s+)(\S.*?)[;,]?$`)

// opaquePlaceholders goes by line and knows no grammar, so it takes less for
// a placeholder: a line must give a name a value (or end in a name and a
// value, as `set $token "sk-...";` does), and stars alone count only if the
// name is that of a secret. Comments and binary files are left out.
func opaquePlaceholders(f File) []Finding {
	if bytes.IndexByte(f.Bytes, 0) >= 0 {
		return nil
	}
	var out []Finding
	number := 0
	for line := range bytes.Lines(f.Bytes) {
		number++
		text := string(bytes.TrimSpace(line))
		if comment := strings.IndexAny(text, "#;/*"); comment == 0 {
			continue
		}
		text, _, _ = strings.Cut(text, " #")
		m := assignment().FindStringSubmatch(strings.TrimRight(text, " \t"))
		if m == nil {
			continue
		}
		found := opaqueValue(m[1], m[2])
		if words := strings.Fields(m[2]); len(words) > 1 {
			name, value := words[len(words)-2], words[len(words)-1]
			found = found || opaqueValue(name, value) || opaqueValue(name, name+" "+value)
		}
		if found {
			out = append(out, Finding{Kind: KindPlaceholder, File: f.Name, Line: number, Message: "the value is a redaction placeholder"})
		}
	}
	return out
}

func opaqueValue(key, value string) bool {
	key, value = strings.Trim(key, `"' `), strings.Trim(value, `"' `)
	switch {
	case redactionKey().MatchString(key), mask().MatchString(value) && !secretKey().MatchString(key):
		return false
	}
	return isPlaceholder(key, value)
}
