package config

import (
	"fmt"
	"strings"
)

// owned is one pattern of files that an agent captures and restores.
type owned struct {
	agent, root string
	glob        glob
	value       *value
	set         *ownedSet
}

// ownedSet is what takes files away from the patterns of one set.
type ownedSet struct {
	root   string
	except []glob    // exclude and reads
	base   []element // exclude without a slash: at any depth beneath root
}

// ownership returns the patterns of a decoded and correct agent.
func ownership(agent string, v *value) []owned {
	var out []owned
	for _, s := range v.kid("config").sets() {
		root := s.kid("root").text
		set := &ownedSet{root: root}
		for _, e := range s.kid("exclude").elems {
			set.except = append(set.except, absolute(root, e.text))
			if !strings.Contains(e.text, "/") {
				set.base = append(set.base, element{text: e.text, tokens: tokens(e.text), deep: e.text == "**"})
			}
		}
		for _, e := range s.kid("reads").elems {
			set.except = append(set.except, absolute(root, e.text))
		}
		for _, e := range s.kid("files").elems {
			out = append(out, owned{agent: agent, root: root, glob: absolute(root, e.text), value: e, set: set})
		}
	}
	return out
}

// spares reports whether s surely leaves every file of g to others.
func (s *ownedSet) spares(g glob) bool {
	for _, x := range s.except {
		if covers(x, g) {
			return true
		}
	}
	beneath := len(literal(s.root))
	for i, e := range g {
		for _, b := range s.base {
			if i >= beneath && b.covers(e) {
				return true
			}
		}
	}
	return false
}

// overlap reports whether some file can be matched by both and is not surely
// excluded from one of them. Roots are compared as written: links are not
// followed here.
func overlap(a, b owned) bool {
	nested := func(outer, inner string) bool {
		return outer == "/" || outer == inner || strings.HasPrefix(inner, outer+"/")
	}
	if a.set == b.set || !(nested(a.root, b.root) || nested(b.root, a.root)) || !meet(a.glob, b.glob) {
		return false
	}
	return !a.set.spares(a.glob) && !a.set.spares(b.glob) && !b.set.spares(a.glob) && !b.set.spares(b.glob)
}

// overlaps reports each pattern of later that shares a file with one of
// earlier. A file belongs to one agent, and to one set of it, or two rollbacks
// would write it at once.
func overlaps(found *collection, earlier, later []owned) {
	for _, l := range later {
		for _, e := range earlier {
			if !overlap(e, l) {
				continue
			}
			hint := "exclude it in one of them, or list it under `reads`"
			whose := "agent " + e.agent
			if e.agent == l.agent {
				whose = "another set of agent " + e.agent
			}
			found.add(l.value.at.error(fmt.Sprintf("cannot guard a file twice: %s and %s of %s (%s) can match the same file",
				l.value.path, e.value.path, whose, e.value.at.from(l.value.at.src.file)), hint))
			break
		}
	}
}
