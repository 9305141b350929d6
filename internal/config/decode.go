package config

import (
	"errors"
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"deadman/internal/lazy"
)

// maxNodes bounds the values of one file after its aliases are expanded, so
// that a few lines of aliases of aliases cannot fill the memory.
const maxNodes = 100_000

// reader decodes one file.
type reader struct {
	src    *source
	found  *collection
	budget int
}

var plainKey = lazy.Regexp(`^[A-Za-z0-9_./-]{1,64}$`)

// quoted names a key, or a name, in a message. What does not look like one
// could be anything, so it is not repeated.
func quoted(what, key string) string {
	if plainKey().MatchString(key) {
		return fmt.Sprintf("%s %q", what, key)
	}
	return "a " + what
}

// place is where n begins. A value that is left out at the end of the file is
// placed after it, on a line that is not there.
func (r *reader) place(n *yaml.Node) place {
	return place{src: r.src, line: min(n.Line, len(r.src.lines)), column: n.Column}
}

func (r *reader) fail(n *yaml.Node, hint, format string, args ...any) {
	r.found.add(r.place(n).error(fmt.Sprintf(format, args...), hint))
}

func (r *reader) failKey(n *yaml.Node, hint, format string, args ...any) {
	e := r.place(n).keyError(fmt.Sprintf(format, args...), hint)
	if n.Kind != yaml.ScalarNode || !plainKey().MatchString(n.Value) {
		e.cut = nothing
		r.src.taint(n.Line, n.Line)
	}
	r.found.add(e)
}

// lastLine is the last line on which a node beneath n begins.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// document returns the top node of the file, or nil if the file is empty or
// does not parse.
func (r *reader) document(data []byte) *yaml.Node {
	loader, err := yaml.NewLoader(strings.NewReader(string(data)))
	if err != nil {
		r.found.add(&Error{File: r.src.file, Message: "cannot read YAML: " + err.Error()})
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil {
		r.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		r.fail(&second, "put everything in one document", "cannot use a second YAML document in one file")
		return nil
	case !isEOF(err):
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

func (r *reader) syntax(err error) {
	if isEOF(err) {
		return
	}
	e := &Error{File: r.src.file, Message: "cannot read YAML", src: r.src, cut: firstKey}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		mark := load.Mark
		if load.ContextMark.Line > 0 && mark.Line >= len(r.src.lines) {
			mark = load.ContextMark // where it was opened says more than the end
		}
		e.Line, e.Column = max(mark.Line, 0), max(mark.Column, 0)
		if e.Line > len(r.src.lines) {
			e.Line, e.Column = len(r.src.lines), 1
		}
		e.Message += ": " + load.Message
		if load.ContextMsg != "" {
			e.Message += " " + load.ContextMsg
		}
		if i := mark.Line - 1; i >= 0 && i < len(r.src.lines) && strings.Contains(r.src.lines[i][:indent(r.src.lines[i])], "\t") {
			e.hint = "indent with spaces, not with tabs"
		}
	}
	r.found.add(e)
}

// read decodes n as the value of s. The key that led there is at, or nil.
// What is wrong is reported, and marked bad in the result.
func (r *reader) read(s *spec, n, at *yaml.Node, path string) *value {
	v := &value{spec: s, path: path}
	if at == nil {
		at = n
	}
	v.at = r.place(at)
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if r.budget--; r.budget < 0 {
		if r.budget == -1 {
			r.fail(at, "", "cannot read more than %d values in one file", maxNodes)
		}
		v.bad = true
		return v
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && !(s.kind == scalar && s.shape == one) {
		v.bad = true
		hint := "delete the key, or give it a value"
		switch {
		case s.kind == absPath && s.shape == one && n.Value == "~":
			hint = "write the whole path: a bare ~ is YAML for nothing, and under cron or sudo another home" // incident 50
		case s.shape == list:
			hint = "write [] for an empty list"
		case s.name == "agents" && s.shape == named:
			hint = "write agents beneath it, as `deadman init` does; {} is for a main file whose agents are in conf.d"
		case s.name == "agents":
			hint = "write its keys beneath it: config and supervisor at least"
		case s.kind == group || s.shape == named:
			hint = "write {} for no keys"
		}
		r.fail(at, hint, "cannot use %s: it has no value", orTop(path))
		return v
	}
	switch s.shape {
	case list, command:
		r.readList(v, n)
	case named:
		r.readNamed(v, n)
	case oneOrMany:
		if n.Kind != yaml.SequenceNode {
			r.readGroup(v, n)
			break
		}
		v.elems = []*value{}
		for i, item := range n.Content {
			e := r.read(&spec{key: single(s.key), name: s.name, kids: s.kids}, item, nil, fmt.Sprintf("%s[%d]", path, i))
			v.elems = append(v.elems, e)
		}
		if len(n.Content) == 0 {
			v.bad = true
			r.fail(at, "", "cannot use %s: the list is empty", path)
		}
	default:
		if s.kind == group {
			r.readGroup(v, n)
		} else {
			r.readScalar(v, n)
		}
	}
	return v
}

// single is the row of one element of a row that takes several.
func single(k key) key {
	k.shape = one
	k.def = ""
	return k
}

func (r *reader) wrongType(v *value, n *yaml.Node, want, hint string) {
	v.bad = true
	r.fail(n, hint, "cannot use %s: it is %s, and should be %s", orTop(v.path), describe(n), want)
}

// describe names what n is, without its value.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a value with a tag"
}

func (r *reader) readList(v *value, n *yaml.Node) {
	s := v.spec
	if n.Kind != yaml.SequenceNode {
		hint := "write [a, b]"
		if s.shape == command {
			hint = "write [program, argument]: no shell splits it"
		}
		r.wrongType(v, n, "a list", hint)
		return
	}
	item := &spec{key: single(s.key), name: s.name}
	for i, c := range n.Content {
		e := r.read(item, c, nil, fmt.Sprintf("%s[%d]", v.path, i))
		v.bad = v.bad || e.bad
		v.elems = append(v.elems, e)
	}
	switch {
	case len(n.Content) == 0 && (s.nonEmpty || s.shape == command):
		v.bad = true
		r.found.add(v.at.error("cannot use "+v.path+": the list is empty", ""))
	case s.shape == command && !v.bad && v.elems[0].text == "":
		v.bad = true
		r.fail(n.Content[0], "", "cannot use %s: the program has no name", v.path)
	}
}

// entries calls yield for each key of the map n that is text and there for the
// first time.
func (r *reader) entries(v *value, n *yaml.Node, yield func(key, val *yaml.Node)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind != yaml.ScalarNode:
			v.bad = true
			r.failKey(n.Content[i], "", "cannot use a key in %s: it is %s, and should be text", orTop(v.path), describe(k))
			continue
		case k.ShortTag() == "!!merge":
			v.bad = true
			r.failKey(k, "keys for every agent go under `defaults:`", "cannot merge keys in %s", orTop(v.path))
			continue
		}
		if there, twice := first[k.Value]; twice {
			v.bad = true
			r.failKey(k, "", "cannot use %s twice in %s: first on line %d", quoted("key", k.Value), orTop(v.path), there.Line)
			if kid := v.kids[k.Value]; kid != nil {
				kid.bad = true // which of two agents is meant cannot be told
			}
			continue
		}
		first[k.Value] = k
		yield(k, val)
	}
}

func orTop(path string) string {
	if path == "" {
		return "this file"
	}
	return path
}

func (r *reader) readNamed(v *value, n *yaml.Node) {
	s := v.spec
	if n.Kind != yaml.MappingNode {
		r.wrongType(v, n, "a map", "write {name: value}")
		return
	}
	item := &spec{key: single(s.key), name: s.name, kids: s.kids}
	v.kids = map[string]*value{}
	r.entries(v, n, func(k, val *yaml.Node) {
		path := join(v.path, k.Value)
		if why, hint := wrongName(s, k.Value); why != "" {
			v.bad = v.bad || s.kind != group
			r.failKey(k, hint, "cannot use %s in %s: %s", quoted("name", k.Value), v.path, why)
			if !plainKey().MatchString(k.Value) {
				path = v.path + ".…"
			}
		}
		e := r.read(item, val, k, path)
		if s.kind != group {
			v.bad = v.bad || e.bad
		} else if !validName(k.Value) {
			e.bad = true // v stays good: the other entries are served
		}
		v.names = append(v.names, k.Value)
		v.kids[k.Value] = e
	})
}

func (r *reader) readGroup(v *value, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		want, hint := "a map", ""
		if forms := builtForms(v.spec); len(forms) > 0 {
			hint = "write {" + forms[0] + ": …}, where the key is " + words(forms)
		}
		if v.spec.shape == oneOrMany {
			want = "a map, or a list of maps"
		}
		r.wrongType(v, n, want, hint)
		return
	}
	v.kids = map[string]*value{}
	if v.spec.oneForm {
		r.chooseForm(v, n)
	}
	r.entries(v, n, func(k, val *yaml.Node) {
		s := v.spec.kid(k.Value, v.form)
		switch {
		case s != nil:
		case v.bad && v.spec.oneForm && v.form == "" && v.spec.anyForm(k.Value) != nil:
			return // which form is meant has been asked already
		default:
			v.bad = true
			r.src.taint(k.Line, lastLine(val))
			r.unknown(v, k)
			return
		}
		e := r.read(s, val, k, join(v.path, k.Value))
		if s.later {
			v.bad, e.bad = true, true
			r.refuseLater(v, k)
		}
		v.names = append(v.names, k.Value)
		v.kids[k.Value] = e
	})
}
