package config

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// chooseForm finds which form of v the keys of n are.
func (r *reader) chooseForm(v *value, n *yaml.Node) {
	leads := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		leads[n.Content[i].Value] = n.Content[i]
	}
	var present []*spec
	for _, f := range v.spec.forms() {
		if leads[f.name] != nil {
			present = append(present, f)
		}
	}
	// A key that leads one form may be an ordinary key of another: `command`
	// beside `tmux`.
	for i := 0; i < len(present); i++ {
		for _, other := range present {
			if k := v.spec.kid(present[i].name, other.name); other != present[i] && k != nil {
				present = append(present[:i:i], present[i+1:]...)
				i--
				break
			}
		}
	}
	switch {
	case len(present) == 0:
		v.bad = true
		// A misspelt key is reported by itself, and nearer to the point.
		for i := 0; i+1 < len(n.Content); i += 2 {
			if v.spec.anyForm(n.Content[i].Value) == nil && nearest(n.Content[i].Value, names(v.spec.forms())) != "" {
				return
			}
		}
		r.found.add(v.at.keyError("cannot use "+v.path+": it does not say which kind it is", "add one of "+words(builtForms(v.spec))))
	case len(present) > 1:
		v.bad = true
		first, second := leads[present[0].name], leads[present[1].name]
		if first.Line > second.Line || (first.Line == second.Line && first.Column > second.Column) {
			first, second = second, first
		}
		r.failKey(second, "keep one of them", "cannot use %s.%s together with %s on line %d", v.path, second.Value, first.Value, first.Line)
	default:
		v.form = present[0].name
	}
}

// anyForm returns a key of s by name, whatever form it belongs to.
func (s *spec) anyForm(name string) *spec {
	for _, k := range s.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

func names(specs []*spec) []string {
	var out []string
	for _, s := range specs {
		out = append(out, s.name)
	}
	return out
}

// builtForms names the forms of s that this version has.
func builtForms(s *spec) []string {
	var out []string
	for _, f := range s.forms() {
		if !f.later {
			out = append(out, f.name)
		}
	}
	return out
}

// unknown reports a key that the table does not have at this place, with the
// one that was probably meant.
func (r *reader) unknown(v *value, k *yaml.Node) {
	where := orTop(v.path)
	if other := v.spec.anyForm(k.Value); other != nil && v.form != "" {
		if other.form == other.name {
			return // two forms at once: reported there
		}
		r.failKey(k, "", "cannot use %s in %s: it belongs to %s, not to %s", quoted("key", k.Value), where, other.form, v.form)
		return
	}
	var here []string
	for _, s := range v.spec.kids {
		if s.form == "" || v.form == "" || s.form == v.form {
			here = append(here, s.name)
		}
	}
	hint := ""
	if guess := nearest(k.Value, here); guess != "" {
		hint = fmt.Sprintf("did you mean %q?", guess)
	} else if path := elsewhere(k.Value); path != "" {
		hint = fmt.Sprintf("the key of this name is %s", path)
		if !strings.Contains(path, ".") {
			hint = fmt.Sprintf("%s stands at the top of the main file, beside agents", path)
		}
	} else if len(here) == 0 {
		hint = "it takes no keys: write {}"
	} else if len(here) <= 8 {
		hint = "it takes " + words(here)
	}
	r.failKey(k, hint, "cannot use %s in %s: there is no such key", quoted("key", k.Value), where)
}

// elsewhere returns where a key of this name would be right, if that is only
// one place.
func elsewhere(name string) string {
	found := ""
	for prefix, rows := range map[string][]key{"": fileKeys, "agents.*.": agentKeys} {
		for _, k := range rows {
			if k.path == name || strings.HasSuffix(k.path, "."+name) {
				if found != "" {
					return ""
				}
				found = prefix + k.path
			}
		}
	}
	return found
}

// refuseLater says that a key is known and not built, and what to use instead.
func (r *reader) refuseLater(v *value, k *yaml.Node) {
	what, hint := "key "+k.Value, "delete the key"
	if v.spec.oneForm {
		what = v.spec.name + " " + k.Value
		hint = "use " + words(builtForms(v.spec))
	}
	r.failKey(k, hint, "cannot use %s: not in this version", what)
}
