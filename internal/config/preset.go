package config

import (
	"embed"
	"fmt"
	"strings"
)

// presetFiles are the presets as a person reads them: the keys of an agent, with
// the source of what is not obvious. They are parsed when an agent asks for one.
//
//go:embed preset/*.yaml
var presetFiles embed.FS

// presetNames are all presets, in the order of their names.
var presetNames = []string{"hermes", "nginx", "openclaw"}

// Preset is a set of defaults for a well-known agent.
type Preset struct {
	Name string
	// Summary is one sentence without its full stop.
	Summary string
	// Text is the file.
	Text []byte
}

// Presets returns all presets in the order of their names.
func Presets() []Preset {
	var out []Preset
	for _, name := range presetNames {
		text, err := presetFiles.ReadFile("preset/" + name + ".yaml")
		if err != nil {
			panic("config: " + err.Error())
		}
		first, _, _ := strings.Cut(string(text), "\n")
		out = append(out, Preset{Name: name, Summary: strings.TrimSuffix(strings.TrimPrefix(first, "# "), "."), Text: text})
	}
	return out
}

// preset returns what the preset that v names supplies, as if it were written where
// it is named; nil if it names none. Errors are found by what somebody wrote
// together with it, and stand at the line that somebody can change.
//
// What is wrong in the preset itself is a bug in this package, so it panics, and
// every test fails.
func (p *parser) preset(v *value) *value {
	named := v.kid("preset")
	if named.absent || named.bad {
		return nil
	}
	parsed := p.presets[named.text]
	if parsed == nil {
		text, err := presetFiles.ReadFile("preset/" + named.text + ".yaml")
		found := &collection{}
		r := reader{src: newSource("preset "+named.text, text), found: found, budget: maxNodes}
		if err == nil {
			parsed = r.read(compiled().agent, r.document(text), nil, "")
		}
		if err != nil || len(found.list) > 0 || parsed.kids["preset"] != nil {
			panic(fmt.Sprintf("config: preset %s: %v %v", named.text, err, found.list))
		}
		p.presets[named.text] = parsed
	}
	return parsed.placed(named.at, v.path)
}

// placed returns v and all beneath it as if they were written at one place, with
// path before theirs.
func (v *value) placed(at place, path string) *value {
	out := *v
	out.at, out.path = at, join(path, v.path)
	if v.path == "" {
		out.path = path
	}
	if v.elems != nil {
		out.elems = make([]*value, len(v.elems))
		for i, e := range v.elems {
			out.elems[i] = e.placed(at, path)
		}
	}
	if v.kids != nil {
		out.kids = make(map[string]*value, len(v.kids))
		for n, k := range v.kids {
			out.kids[n] = k.placed(at, path)
		}
	}
	return &out
}
