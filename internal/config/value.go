package config

import "time"

// value is one decoded value: of a group its keys, of a list its elements.
type value struct {
	spec *spec
	path string // dotted, with the names that the user chose
	at   place  // of the key, or of the element of a list

	absent bool // nobody wrote it: it is a default, or nothing
	bad    bool // it was refused; do not judge it again

	text string // as written
	num  float64
	span time.Duration
	flag bool
	json any

	form  string   // of a choice between forms
	names []string // of kids, in the order of the file
	kids  map[string]*value
	elems []*value
}

// kid returns the value of a key of v, or its default. It panics if the table
// has no such key, so a test that reads every key once finds a misspelling.
func (v *value) kid(name string) *value {
	if k, ok := v.kids[name]; ok {
		return k
	}
	s := v.spec.kid(name, v.form)
	if s == nil {
		s = v.spec.kid(name, name)
	}
	if s == nil {
		panic("config table: no key " + name + " beneath " + v.path)
	}
	k := &value{spec: s, absent: true}
	if s.fallback != nil {
		copied := *s.fallback
		k = &copied
	}
	k.path = join(v.path, name)
	return k
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// texts returns the elements of a list; nil if there are none.
func (v *value) texts() []string {
	var out []string
	for _, e := range v.elems {
		out = append(out, e.text)
	}
	return out
}

func (v *value) ints() []int {
	var out []int
	for _, e := range v.elems {
		out = append(out, int(e.num))
	}
	return out
}

// textMap returns the entries of a map; nil if there are none.
func (v *value) textMap() map[string]string {
	if len(v.names) == 0 {
		return nil
	}
	out := make(map[string]string, len(v.names))
	for _, n := range v.names {
		out[n] = v.kids[n].text
	}
	return out
}

// sets returns the values of a key that takes one or a list.
func (v *value) sets() []*value {
	if v.spec.shape != oneOrMany || v.absent {
		return nil
	}
	if v.elems != nil {
		return v.elems
	}
	return []*value{v}
}

// over returns own with everything that it does not say taken from def. Groups
// are merged key by key, and maps of named groups name by name; a list, a map
// of plain values, and a choice between forms are replaced as a whole, because
// half of one and half of another is something that nobody wrote.
func over(own, def *value) *value {
	switch {
	case def == nil || (own != nil && own.bad):
		return own
	case own == nil:
		return def
	case own.spec.kind != group || def.bad:
		return own
	case own.elems != nil: // a list of sets, each over the one default
		out := *own
		out.elems = nil
		for _, e := range own.elems {
			out.elems = append(out.elems, over(e, def))
		}
		return &out
	case def.elems != nil:
		return own
	case own.spec.shape != named && own.spec.oneForm:
		return own
	}
	out := *own
	out.names = append([]string(nil), own.names...)
	out.kids = make(map[string]*value, len(own.kids))
	for _, n := range own.names {
		out.kids[n] = own.kids[n]
	}
	for _, n := range def.names {
		switch mine, said := own.kids[n]; {
		case !said:
			out.names = append(out.names, n)
			out.kids[n] = def.kids[n]
		case own.spec.shape != named:
			out.kids[n] = over(mine, def.kids[n])
		}
	}
	return &out
}
