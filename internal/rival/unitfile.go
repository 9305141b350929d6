package rival

import (
	"path"
	"strings"

	"deadman/internal/lazy"
)

// section is one of a file of [sections] with key=value lines.
type section struct {
	name     string
	from, to int // lines, from 1
	keys     []setting
}

type setting struct {
	key, value string
	line       int
}

// sections reads a unit of systemd or a file of supervisord. A line that goes on
// ends in a backslash in the one, and the next is indented in the other.
func sections(text string, indented bool) []section {
	var all []section
	n, goesOn := 0, false
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case goesOn && trimmed != "" && trimmed[0] != '#' && trimmed[0] != ';', indented && trimmed != "" && line[0] != trimmed[0] && trimmed[0] != '#':
			if s := last(all); s != nil && len(s.keys) > 0 {
				k := &s.keys[len(s.keys)-1]
				k.value += " " + strings.TrimSuffix(trimmed, `\`)
				s.to = n
			}
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed[0] == '[':
			all = append(all, section{name: strings.Trim(trimmed, "[]"), from: n, to: n})
			continue
		default:
			key, value, ok := strings.Cut(trimmed, "=")
			if s := last(all); ok && s != nil {
				s.keys = append(s.keys, setting{strings.TrimSpace(key), strings.TrimSpace(strings.TrimSuffix(value, `\`)), n})
				s.to = n
			}
		}
		goesOn = !indented && strings.HasSuffix(trimmed, `\`)
	}
	return all
}

func last(all []section) *section {
	if len(all) == 0 {
		return nil
	}
	return &all[len(all)-1]
}

// execLine are the command lines of an Exec line (systemd.service(5)).
func execLine(value string, u *unit, m *manager) [][]string {
	var all [][]string
	var argv []string
	for i, word := range splitWords(value) {
		if i == 0 {
			word = strings.TrimLeft(word, "-@+!:|")
		}
		if word == ";" {
			all, argv = append(all, argv), nil
			continue
		}
		argv = append(argv, specifiers(word, u, m))
	}
	if len(argv) > 0 && argv[0] != "" {
		all = append(all, argv)
	}
	return all
}

// specifiers are those of systemd that a path has.
func specifiers(word string, u *unit, m *manager) string {
	home := m.user.home
	if m.system() {
		home = "/root"
	}
	_, instance, _ := strings.Cut(strings.TrimSuffix(u.name, path.Ext(u.name)), "@")
	if instance == "" && strings.Contains(u.name, "@") {
		instance = unknown
	}
	return strings.NewReplacer("%%", "%", "%h", home, "%n", u.name, "%N", strings.TrimSuffix(u.name, path.Ext(u.name)),
		"%i", instance, "%I", instance, "%t", "/run", "%S", "/var/lib", "%E", "/etc", "%u", m.user.name).Replace(word)
}

var environWord = lazy.Regexp(`\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?`)

func expandEnviron(argv []string, environ map[string]string) []string {
	// A shell's own variables are its own to expand.
	if len(argv) > 0 && shells[path.Base(argv[0])] {
		return argv
	}
	out := make([]string, len(argv))
	for i, word := range argv {
		out[i] = environWord().ReplaceAllStringFunc(word, func(m string) string {
			if value, ok := environ[strings.Trim(m, "${}")]; ok {
				return value
			}
			return unknown
		})
	}
	return out
}

// splitWords splits at blanks outside of quotes.
func splitWords(text string) []string {
	var words []string
	var b strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != '\'' && c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
			inWord = true
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, b.String())
	}
	return words
}
