package rival

import (
	"path"
	"slices"
	"strings"

	"deadman/internal/lazy"
)

// token is a word of a program that is no shell's.
type token struct {
	text   string
	string bool // a literal; otherwise a name or one character
}

// tokens reads a program of Python, JavaScript, Perl or Ruby into names, literals
// and punctuation. Comments and texts that stand alone as a statement are left out.
func tokens(text, lang string) []token {
	var out []token
	slashes := slices.Contains([]string{"node", "nodejs", "deno", "bun", "php"}, lang)
	lineStart := true
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '#' && !slashes, slashes && strings.HasPrefix(text[i:], "//"):
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case slashes && strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return out
			}
			i += end + 4
		case c == '"' || c == '\'' || c == '`':
			quote := string(c)
			if c != '`' && strings.HasPrefix(text[i:], strings.Repeat(quote, 3)) {
				quote = strings.Repeat(quote, 3)
			}
			literal, n := scanLiteral(text[i+len(quote):], quote)
			i += len(quote) + n
			if !(lineStart && len(quote) == 3) {
				if last := len(out) - 1; last >= 0 && !out[last].string && slices.Contains([]string{"f", "F", "rf", "fr"}, out[last].text) {
					out = out[:last]
					literal = braces().ReplaceAllString(literal, unknown)
				} else if c == '`' {
					literal = dollarBraces().ReplaceAllString(literal, unknown)
				}
				out = append(out, token{literal, true})
			}
			lineStart = false
		case wordByte(c) && c != '-' || c == '.' || c == '$' || c == '@':
			start := i
			for i < len(text) && (wordByte(text[i]) && text[i] != '-' || text[i] == '.' || text[i] == '$' || text[i] == '@') {
				i++
			}
			out = append(out, token{text[start:i], false})
			lineStart = false
		default:
			if c == '\n' {
				lineStart = true
				out = append(out, token{"\n", false})
			} else if c != ' ' && c != '\t' && c != '\r' {
				lineStart = false
				out = append(out, token{string(c), false})
			}
			i++
		}
	}
	return out
}

var (
	braces       = lazy.Regexp(`\{[^{}]*\}`)
	dollarBraces = lazy.Regexp(`\$\{[^{}]*\}`)
)

// scanLiteral reads to the closing quote, and says how many bytes that took.
func scanLiteral(text, quote string) (string, int) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], quote):
			return b.String(), i + len(quote)
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == '\n' && len(quote) == 1 && quote != "`":
			return b.String(), i // an apostrophe, not a quote
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), len(text)
}

// telling are functions whose words are for people.
var telling = lazy.Regexp(`(?i)(^|\.)(print|println|log|info|warn|warning|error|debug|critical|exception|puts|say|add_argument|send\w*|notify\w*|alert\w*|post|exit|die|raise|\w*Error|\w*Exception)$`)

// foreign judges the text of a program that is no shell's by its literals: those
// that are given to a function, or are a list, are taken for the words of a command,
// and those that are paths for files that it writes. What comes of it is likely at
// most.
func (j *judge) foreign(text, lang string, s *scope) {
	inner := *s
	inner.guess = true
	inner.text = text
	if endless().MatchString(text) {
		inner.loop = true
	}
	all := tokens(text, lang)
	consts := map[string]string{"HOME": s.home}
	lists := map[string][]string{}
	for i := 0; i+2 < len(all); i++ {
		if all[i+1].text != "=" || all[i].string || all[i+1].string || i > 0 && !slices.Contains([]string{"\n", "const", "let", "var", ";", "my"}, all[i-1].text) {
			continue
		}
		name := strings.TrimLeft(all[i].text, "$@")
		if all[i+2].text == "[" && !all[i+2].string {
			lists[name] = wordsIn(group(all, i+2), consts, lists)
		} else {
			end := i + 2
			for depth := 0; end < len(all) && (depth > 0 || all[end].text != "\n" || all[end].string); end++ {
				depth += nesting(all[end])
			}
			if v := expression(all[i+2:end], consts, s); v != "" {
				consts[name] = v
			}
		}
	}
	for i := range all {
		if all[i].string || all[i].text != "(" && all[i].text != "[" {
			// A backquoted text is a command in Ruby and Perl.
			continue
		}
		function := ""
		if i > 0 && !all[i-1].string && all[i].text == "(" {
			function = all[i-1].text
		}
		if function == "" && all[i].text == "(" || telling().MatchString(function) {
			continue
		}
		arguments := group(all, i)
		j.fileCall(function, arguments, consts, &inner)
		words := wordsIn(arguments, consts, lists)
		if len(words) == 0 {
			continue
		}
		switch {
		case len(words) > 1 && !strings.Contains(words[0], " "):
			if known(words[0]) {
				j.command(words, &inner)
			}
		case function != "" && strings.Contains(words[0], " "):
			if first := strings.Fields(words[0]); len(first) > 0 && (known(first[0]) || shellish().MatchString(function)) {
				j.inner(strings.ReplaceAll(words[0], unknown, "$UNKNOWN"), &inner)
			}
		}
	}
}

var (
	endless  = lazy.Regexp(`while\s*\(?\s*(True|1|true)\b|setInterval\s*\(|for\s*\(;;\)|loop do`)
	shellish = lazy.Regexp(`(?i)system|popen|exec|spawn|shell|subprocess|run|call|sh$|cmd`)
)

// known reports whether a word is a program whose deeds are judged.
func known(word string) bool {
	name := path.Base(word)
	_, wrapper := wrappers[name]
	_, verb := verbs[name]
	return wrapper || verb || shells[name] || interpreter(name) || path.IsAbs(word) || strings.HasPrefix(word, "~/")
}

func nesting(t token) int {
	switch {
	case t.string:
		return 0
	case t.text == "(" || t.text == "[" || t.text == "{":
		return 1
	case t.text == ")" || t.text == "]" || t.text == "}":
		return -1
	}
	return 0
}

// group are the tokens between a bracket and its partner.
func group(all []token, open int) []token {
	depth := 0
	for i := open; i < len(all); i++ {
		if depth += nesting(all[i]); depth == 0 {
			return all[open+1 : i]
		}
	}
	return all[open+1:]
}

// wordsIn are the words of a call or a list: those of the list that comes first in
// it, if one does.
func wordsIn(arguments []token, consts map[string]string, lists map[string][]string) []string {
	if len(arguments) > 0 && !arguments[0].string && arguments[0].text == "[" {
		return wordsIn(group(arguments, 0), consts, lists)
	}
	var words []string
	for i := 0; i < len(arguments); i++ {
		t := arguments[i]
		name := strings.TrimLeft(t.text, "$@")
		switch {
		case t.string:
			words = append(words, t.text)
		case t.text == "," || t.text == "\n":
		case t.text == "[": // execFile("systemctl", ["restart", …])
			inner := group(arguments, i)
			words = append(words, wordsIn(inner, consts, lists)...)
			i += len(inner) + 1
		case i+1 < len(arguments) && arguments[i+1].text == "=":
			return words // arguments by name come last
		case nesting(t) != 0:
			return words
		case lists[name] != nil:
			words = append(words, lists[name]...)
		case consts[name] != "":
			words = append(words, consts[name])
		default:
			words = append(words, unknown)
		}
	}
	return words
}

// expression is the text that a literal, a constant, or paths joined to each other
// make; "" if it is none.
func expression(e []token, consts map[string]string, s *scope) string {
	var parts []string
	join, home := false, false
	for _, t := range e {
		switch {
		case t.string:
			parts = append(parts, t.text)
		case strings.HasSuffix(t.text, "join"), t.text == "/":
			join = true
		case strings.HasSuffix(t.text, "home"), strings.HasSuffix(t.text, "homedir"), strings.HasSuffix(t.text, "HOME"):
			home = true
		case consts[t.text] != "":
			parts = append(parts, consts[t.text])
		}
	}
	if home && s.home != "" {
		parts, join = append([]string{s.home}, slices.DeleteFunc(parts, func(p string) bool { return p == "HOME" })...), true
	}
	if len(parts) == 0 {
		return ""
	}
	text := strings.Join(parts, "")
	if join {
		text = strings.Join(parts, "/")
	}
	if strings.HasPrefix(text, "~/") {
		text = s.home + text[1:]
	}
	return text
}

// fileCall judges a function that writes a file.
func (j *judge) fileCall(function string, arguments []token, consts map[string]string, s *scope) {
	var each [][]token
	depth, start := 0, 0
	for i, t := range arguments {
		if depth += nesting(t); depth == 0 && !t.string && t.text == "," {
			each = append(each, arguments[start:i])
			start = i + 1
		}
	}
	each = append(each, arguments[start:])
	at := func(i int) string {
		if i >= len(each) {
			return ""
		}
		return s.path(expression(each[i], consts, s))
	}
	receiver, method := path.Split(strings.ReplaceAll(function, ".", "/"))
	receiver = strings.TrimSuffix(receiver, "/")
	switch method {
	case "open":
		mode := ""
		if len(each) > 1 {
			mode = expression(each[1], consts, s)
		}
		if strings.ContainsAny(mode, "wax+") && len(mode) < 4 {
			j.writes(at(0), s, "opens for writing")
		}
	case "writeFile", "writeFileSync", "file_put_contents", "unlink", "unlinkSync", "remove":
		j.writes(at(0), s, "writes")
	case "write_text", "write_bytes":
		j.writes(s.path(consts[receiver]), s, "writes")
	case "copy", "copy2", "copyfile", "copyFile", "copyFileSync", "move", "rename", "renameSync", "replace", "cp":
		j.writes(at(1), s, method)
	}
}
