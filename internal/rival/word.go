package rival

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"deadman/internal/lazy"
)

// unknown stands in a word for what cannot be known without running it. Where a
// command would have printed it, its number among the printed is between the two.
const unknown = "\x00\x00"

var gap = lazy.Regexp("\x00[0-9]*\x00")

// open reports whether a part of a word cannot be known.
func open(word string) bool { return strings.Contains(word, "\x00") }

// wild is a word as a pattern, in which * is what cannot be known.
func wild(word string) string { return gap().ReplaceAllString(word, "*") }

// commands are the command lines that words may become.
func (j *judge) commands(words []*syntax.Word, s *scope) [][]string {
	all := [][]string{nil}
	for _, w := range words {
		values := j.values(w, s)
		if len(values) == 0 {
			values = []string{unknown}
		}
		var next [][]string
		for _, argv := range all {
			for _, v := range values {
				if len(next) == valuesMax {
					break
				}
				more := []string{v}
				if bare(w) && strings.ContainsAny(v, " \t\n") {
					more = strings.Fields(v)
				}
				next = append(next, append(slices.Clip(argv), more...))
			}
		}
		all = next
	}
	return slices.DeleteFunc(all, func(argv []string) bool { return len(argv) == 0 || argv[0] == "" })
}

// fields are the words that others become when the shell splits them.
func (j *judge) fields(words []*syntax.Word, s *scope) []string {
	var out []string
	for _, w := range words {
		for _, v := range j.values(w, s) {
			if bare(w) || arrayed(w) {
				out = append(out, strings.Fields(v)...)
			} else {
				out = append(out, v)
			}
		}
	}
	return out
}

// bare reports whether a word is one expansion without quotes, which is split.
func bare(w *syntax.Word) bool {
	if len(w.Parts) != 1 {
		return false
	}
	switch w.Parts[0].(type) {
	case *syntax.ParamExp, *syntax.CmdSubst:
		return true
	}
	return arrayed(w)
}

// arrayed reports whether a word is "${NAME[@]}" or "$@", which is split though quoted.
func arrayed(w *syntax.Word) bool {
	if len(w.Parts) != 1 {
		return false
	}
	part := w.Parts[0]
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part = q.Parts[0]
	}
	p, ok := part.(*syntax.ParamExp)
	return ok && (p.Index != nil || p.Param != nil && p.Param.Value == "@")
}

// values are the texts that a word may have.
func (j *judge) values(w *syntax.Word, s *scope) []string {
	if w == nil {
		return nil
	}
	words := []*syntax.Word{w}
	var all []string
	for _, w := range words {
		for i, v := range j.parts(w.Parts, s) {
			if i < valuesMax {
				all = append(all, s.tilde(v, w))
			}
		}
	}
	return all
}

// tilde expands ~ at the beginning of a word that is not quoted.
func (s *scope) tilde(v string, w *syntax.Word) string {
	if lit, ok := w.Parts[0].(*syntax.Lit); ok && (lit.Value == "~" || strings.HasPrefix(lit.Value, "~/")) {
		return s.home + v[1:]
	}
	return v
}

func (j *judge) parts(parts []syntax.WordPart, s *scope) []string {
	all := []string{""}
	for _, part := range parts {
		var values []string
		switch p := part.(type) {
		case *syntax.Lit:
			values = []string{unescape(p.Value)}
		case *syntax.SglQuoted:
			values = []string{p.Value}
		case *syntax.DblQuoted:
			values = j.parts(p.Parts, s)
		case *syntax.ParamExp:
			values = j.param(p, s)
		case *syntax.CmdSubst:
			values = []string{j.substitute(p.Stmts, s)}
		case *syntax.ProcSubst:
			j.stmts(p.Stmts, s)
			values = []string{unknown}
		case *syntax.ExtGlob:
			values = []string{"*"}
		default:
			values = []string{unknown}
		}
		var next []string
		for _, a := range all {
			for _, v := range values {
				if len(next) < valuesMax {
					next = append(next, a+v)
				}
			}
		}
		all = next
	}
	return all
}

func unescape(lit string) string {
	if !strings.Contains(lit, `\`) {
		return lit
	}
	var b strings.Builder
	for i := 0; i < len(lit); i++ {
		if lit[i] == '\\' && i+1 < len(lit) {
			i++
			if lit[i] == '\n' {
				continue
			}
		}
		b.WriteByte(lit[i])
	}
	return b.String()
}

// param is what a variable may hold.
func (j *judge) param(p *syntax.ParamExp, s *scope) []string {
	if p.Param == nil || p.Length || p.Excl {
		return []string{unknown}
	}
	name := p.Param.Value
	values, ok := s.vars[name]
	switch n, err := strconv.Atoi(name); {
	case err == nil && n < len(s.args):
		values, ok = []string{s.args[n]}, true
	case err == nil:
		ok = false
	case name == "@" || name == "*":
		values, ok = []string{strings.Join(s.args[min(1, len(s.args)):], " ")}, true
	case name == "HOME" && !ok:
		values, ok = []string{s.home}, true
	case name == "PWD":
		values, ok = []string{s.dir}, true
	case (name == "USER" || name == "LOGNAME") && !ok:
		values, ok = []string{s.user}, true
	case name == "BASH_SOURCE" && len(s.args) > 0:
		values, ok = []string{s.args[0]}, true
	}
	if p.Exp != nil {
		switch p.Exp.Op {
		case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
			if !ok || len(values) == 1 && values[0] == "" {
				values, ok = j.values(p.Exp.Word, s), true
			}
		case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		default:
			values = trimmed(values, p.Exp.Op, j.values(p.Exp.Word, s))
		}
	} else if p.Repl != nil || p.Slice != nil {
		return []string{unknown}
	}
	if !ok || len(values) == 0 {
		return []string{unknown}
	}
	return values
}

// trimmed are values without a prefix or a suffix that is literal, or */.
func trimmed(values []string, op syntax.ParExpOperator, what []string) []string {
	if len(what) != 1 {
		return []string{unknown}
	}
	var out []string
	for _, v := range values {
		switch {
		case op == syntax.RemLargePrefix && what[0] == "*/":
			v = path.Base(v)
		case op == syntax.RemSmallSuffix && what[0] == "/*":
			v = path.Dir(v)
		case op == syntax.RemSmallPrefix || op == syntax.RemLargePrefix:
			v = strings.TrimPrefix(v, what[0])
		case op == syntax.RemSmallSuffix || op == syntax.RemLargeSuffix:
			v = strings.TrimSuffix(v, what[0])
		default:
			v = unknown
		}
		out = append(out, v)
	}
	return out
}

// substitute judges what is run in $(…), and says what it prints where that can be
// told.
func (j *judge) substitute(stmts []*syntax.Stmt, s *scope) string {
	inner := *s
	inner.vars = maps.Clone(s.vars)
	outer := j.trace
	var ran [][]string
	j.trace = &ran
	j.stmts(stmts, &inner)
	j.trace = outer
	if outer != nil {
		*outer = append(*outer, ran...)
	}
	// cd DIR && pwd
	if len(ran) == 1 && ran[0][0] == "pwd" {
		return inner.dir
	}
	if len(ran) == 1 && len(ran[0]) > 1 {
		last := ran[0][len(ran[0])-1]
		switch ran[0][0] {
		case "dirname":
			return path.Dir(last)
		case "basename":
			return path.Base(last)
		case "echo", "realpath", "readlink", "which":
			return last
		case "command":
			if ran[0][1] == "-v" {
				return last
			}
		}
	}
	j.printed = append(j.printed, ran)
	return "\x00" + strconv.Itoa(len(j.printed)-1) + "\x00"
}

// behind are the commands whose output stands in a word.
func (j *judge) behind(word string) [][]string {
	var all [][]string
	for i, part := range strings.Split(word, "\x00") {
		if n, err := strconv.Atoi(part); i%2 == 1 && err == nil && n < len(j.printed) {
			all = append(all, j.printed[n]...)
		}
	}
	return all
}

// path is a word as an absolute path, "" if it is none.
func (s *scope) path(p string) string {
	switch {
	case p == "" || strings.HasPrefix(p, "\x00") || strings.HasPrefix(p, "-"):
		return ""
	case path.IsAbs(p):
		return path.Clean(p)
	case p == "~" || strings.HasPrefix(p, "~/"):
		return path.Join(s.home, p[1:])
	case s.dir == "" || open(s.dir):
		return ""
	}
	return path.Join(s.dir, p)
}
