package config

import (
	"fmt"
	"math"
	"net"
	neturl "net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"deadman/internal/document"
	"deadman/internal/lazy"
)

const (
	namePattern     = `^[a-z0-9][a-z0-9._-]{0,62}$`
	durationPattern = `^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+(B|KiB|MiB|GiB)$`
)

var (
	validSize = lazy.Regexp(sizePattern)
	// Variables and header names end up in an environment and on the wire.
	validVariable = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)
	validHeader   = lazy.Regexp(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)
)

// readScalar decodes one value that is neither list nor map.
func (r *reader) readScalar(v *value, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		r.wrongType(v, n, kindPhrase(v.spec.key), "")
		return
	}
	tag := n.ShortTag()
	v.text = n.Value
	if !utf8.ValidString(v.text) || strings.ContainsRune(v.text, 0) {
		v.bad = true
		r.fail(n, "", "cannot use %s: it holds bytes that are not text", v.path)
		return
	}
	known := slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}, tag)
	mistyped := func(hint string) { r.wrongType(v, n, kindPhrase(v.spec.key), hint) }
	switch v.spec.kind {
	case word:
		if !known {
			mistyped("")
			return
		}
	case scalar:
		if !r.readJSON(v, n) {
			mistyped("")
			return
		}
	case integer, number:
		f, err := strconv.ParseFloat(n.Value, 64)
		// A leading zero is octal to some readers of YAML and decimal to others.
		octal := len(n.Value) > 1 && n.Value[0] == '0' && n.Value[1] != '.'
		whole := err == nil && f == math.Trunc(f) && !strings.ContainsAny(n.Value, ".eE")
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || octal || (tag != "!!int" && tag != "!!float") || (v.spec.kind == integer && !whole) {
			hint := ""
			if tag == "!!str" && err == nil {
				hint = "write it without quotes"
			}
			if octal {
				hint = "write a decimal number without leading zeros"
			}
			v.bad = true
			r.fail(n, hint, "cannot use %s: it is not a %s", v.path, kindNames[v.spec.kind])
			return
		}
		v.num = f
	case boolean:
		if tag != "!!bool" {
			mistyped("write true or false, without quotes")
			return
		}
		v.flag = n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case duration, size:
		if !known {
			mistyped("")
			return
		}
	default:
		if tag != "!!str" {
			hint := ""
			if known && v.spec.kind != choice {
				hint = "put it in quotes"
			}
			mistyped(hint)
			return
		}
	}
	if why, hint := v.judge(); why != "" {
		v.bad = true
		r.fail(n, hint, "cannot use %s: %s", v.path, why)
		return
	}
	if why := v.outOfRange(); why != "" {
		v.bad = true
		r.fail(n, "", "cannot use %s: %s", v.path, why)
	}
}

// readJSON sets v.json as encoding/json would have decoded it.
func (r *reader) readJSON(v *value, n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		v.json = n.Value
	case "!!bool":
		v.json = strings.EqualFold(n.Value, "true")
	case "!!null":
		v.json = nil
	case "!!int", "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return false
		}
		v.json = f
	default:
		return false
	}
	return true
}

// kindPhrase names a kind in a sentence.
func kindPhrase(k key) string {
	switch k.kind {
	case text, word:
		return "text"
	case boolean:
		return "true or false"
	case choice:
		return words(k.enum)
	case integer:
		return "a whole number"
	case group:
		return "a map"
	case keyRef:
		return "text of the form file#path"
	case absPath, address:
		return "an " + map[kind]string{absPath: "absolute path", address: "address, host:port"}[k.kind]
	case size:
		return "a size such as 16MiB"
	case duration:
		return "a duration such as 10s"
	}
	return "a " + kindNames[k.kind]
}

// judge says why the text of v is not of its kind, and fills in what the text
// stands for.
func (v *value) judge() (why, hint string) {
	switch v.spec.kind {
	case name:
		if !validName(v.text) {
			return "it is not a name", nameHint
		}
	case absPath:
		return wrongPath(v.text, true)
	case anyPath:
		return wrongPath(v.text, false)
	case relPath:
		if strings.HasPrefix(v.text, "/") {
			return "it is not a relative path", ""
		}
		if v.text != "" {
			return wrongPath(v.text, false)
		}
	case pattern:
		return wrongPattern(v.text)
	case keyRef:
		if _, err := document.ParseKey(v.text); err != nil {
			return "it is not of the form file#path", `for example config.yaml#onboarding.seen, or config.yaml#"a.b"[0].c`
		}
	case url:
		return wrongURL(v.text)
	case target:
		return wrongTarget(v.text)
	case address:
		host, port, err := net.SplitHostPort(v.text)
		if err != nil || host == "" {
			return "it is not host:port", "for example 127.0.0.1:8080 or [::1]:8080"
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "its port is not a number from 1 to 65535", ""
		}
	case duration:
		d, ok := parseDuration(v.text)
		if !ok {
			if _, err := strconv.ParseFloat(v.text, 64); err == nil {
				return "it is a duration without a unit", "add ms, s, m or h"
			}
			return "it is not a duration", "for example 10s, 5m or 1h30m"
		}
		v.span = d
	case size:
		n, ok := parseSize(v.text)
		if !ok {
			return "it is not a size", "for example 512KiB or 16MiB"
		}
		v.num = float64(n)
	case choice:
		if !slices.Contains(v.spec.enum, v.text) {
			hint := ""
			if guess := nearest(v.text, v.spec.enum); guess != "" {
				hint = fmt.Sprintf("did you mean %q?", guess)
			}
			return "it is not " + words(v.spec.enum), hint
		}
	}
	return "", ""
}

// outOfRange says which bound of its row v breaks, or "".
func (v *value) outOfRange() string {
	k := v.spec.key
	below := func(bound string) (less, more bool) {
		switch k.kind {
		case duration:
			b, _ := parseDuration(bound)
			return v.span < b, v.span > b
		case size:
			b, _ := parseSize(bound)
			return v.num < float64(b), v.num > float64(b)
		default:
			b, _ := strconv.ParseFloat(bound, 64)
			return v.num < b, v.num > b
		}
	}
	if k.min != "" {
		if less, _ := below(k.min); less {
			return "it is less than " + k.min
		}
	}
	if k.max != "" {
		if _, more := below(k.max); more {
			return "it is more than " + k.max
		}
	}
	return ""
}

// validName is namePattern. It and parseDuration are written out because every
// start of the program reads names and durations, and to compile a pattern costs
// more than to read a whole config.
func validName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', i > 0 && strings.IndexByte("._-", c) >= 0:
		default:
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// parseDuration reads what durationPattern describes: [time.ParseDuration] with
// neither signs, nor units below a millisecond, nor numbers that begin or end
// with a point.
func parseDuration(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	for i, c := range []byte(s) {
		digit := func(i int) bool { return i >= 0 && i < len(s) && '0' <= s[i] && s[i] <= '9' }
		switch {
		case digit(i), c == 'm', c == 'h':
		case c == '.' && digit(i-1) && digit(i+1):
		case c == 's' && (digit(i-1) || i > 0 && s[i-1] == 'm'):
		default:
			return 0, false
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func parseSize(s string) (int64, bool) {
	if !validSize().MatchString(s) {
		return 0, false
	}
	digits := strings.TrimRight(s, "BKMGi")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[s[len(digits):]]
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

const nameHint = "use up to 63 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit"

// wrongName judges a name that the user chose for an entry of s.
func wrongName(s *spec, chosen string) (why, hint string) {
	switch {
	case s.kind == group:
		if !validName(chosen) {
			return "it is not a name", nameHint
		}
	case s.kind == choice: // formats
		return wrongPath(chosen, false)
	case s.kind == scalar: // json
		if document.ValidPath(chosen) != nil {
			return "it is not a key path", "for example status or checks[0].ok"
		}
	case s.name == "headers":
		if !validHeader().MatchString(chosen) {
			return "it is not the name of a header", ""
		}
	default: // env
		if !validVariable().MatchString(chosen) {
			return "it is not the name of a variable", ""
		}
	}
	return "", ""
}

// wrongPath judges the form of a path. Nothing is looked up.
func wrongPath(p string, absolute bool) (why, hint string) {
	switch {
	case p == "":
		return "it is empty", ""
	case p == "~" || strings.HasPrefix(p, "~/"):
		// Incident 50: the switch runs as another user than the agent, and
		// guards the wrong home for ever.
		return "~ is not expanded", "write the whole path: under cron or sudo ~ is another home"
	case strings.Contains(p, "${"):
		return "${…} is not expanded", "write the whole path"
	case absolute && !strings.HasPrefix(p, "/"):
		return "it is not an absolute path", "begin it with /"
	case strings.ContainsFunc(p, unicode.IsControl):
		return "it holds a control character", ""
	case path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return "it is not a clean path", "leave out `.`, `..`, doubled slashes and a slash at the end"
	}
	return "", ""
}

// wrongTarget judges the form of a target without repeating it. Which services
// there are is not known here, and an agent must not go unguarded for a target.
func wrongTarget(s string) (why, hint string) {
	scheme, rest, ok := strings.Cut(s, "://")
	if _, err := neturl.Parse(s); err != nil || !ok || scheme == "" || rest == "" {
		return "it is not the URL of a target", "for example https://HOST/PATH or ntfy://HOST/TOPIC"
	}
	return "", ""
}

// wrongURL judges a URL without repeating it: its query may hold a token.
func wrongURL(s string) (why, hint string) {
	u, err := neturl.Parse(s)
	switch {
	case err != nil:
		return "it is not a URL", ""
	case u.Scheme != "http" && u.Scheme != "https":
		return "it does not begin with http:// or https://", ""
	case u.Hostname() == "":
		return "it names no host", ""
	case u.User != nil:
		return "it holds a user or password, which would reach the log", "send an Authorization header instead"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return "its port is not a number from 1 to 65535", ""
		}
	}
	return "", ""
}
