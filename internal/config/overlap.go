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
		set := newOwnedSet(root, texts(s.kid("exclude")), texts(s.kid("reads")))
		for _, e := range s.kid("files").elems {
			out = append(out, owned{agent: agent, root: root, glob: absolute(root, e.text), value: e, set: set})
		}
	}
	return out
}

func texts(v *value) []string {
	var out []string
	for _, e := range v.elems {
		out = append(out, e.text)
	}
	return out
}

func newOwnedSet(root string, exclude, reads []string) *ownedSet {
	s := &ownedSet{root: root}
	for _, text := range exclude {
		s.except = append(s.except, absolute(root, text))
		if !strings.Contains(text, "/") {
			s.base = append(s.base, element{text: text, tokens: tokens(text), deep: text == "**"})
		}
	}
	for _, text := range reads {
		s.except = append(s.except, absolute(root, text))
	}
	return s
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
// followed here; see Share.
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

// Shared is that two config sets can match the same file.
type Shared struct {
	Agent, Root, Pattern                string // of the one that is to give way
	OtherAgent, OtherRoot, OtherPattern string
}

// Share finds the config sets that share files once the links to their roots are
// followed, which Parse does not do: real returns a root without links. Of two,
// the one whose root is reached by a link is to give way, or whoever may plant
// one could take the guard from another agent; else the later.
func Share(agents []Agent, real func(root string) string) []Shared {
	type one struct {
		owned
		agent  *Agent
		of     *Set
		text   string
		linked bool
	}
	var all []one
	linked := false
	for i := range agents {
		for j := range agents[i].Config {
			s := &agents[i].Config[j]
			root := real(s.Root)
			set := newOwnedSet(root, s.Exclude, s.Reads)
			linked = linked || root != s.Root
			for _, text := range s.Files {
				all = append(all, one{owned{root: root, glob: absolute(root, text), set: set}, &agents[i], s, text, root != s.Root})
			}
		}
	}
	var found []Shared
	if !linked {
		return nil // Parse has refused it.
	}
	for i, later := range all {
		for _, earlier := range all[:i] {
			if !overlap(earlier.owned, later.owned) {
				continue
			}
			a, b := later, earlier
			if b.linked && !a.linked {
				a, b = b, a
			}
			found = append(found, Shared{a.agent.Name, a.of.Root, a.text, b.agent.Name, b.of.Root, b.text})
		}
	}
	return found
}
