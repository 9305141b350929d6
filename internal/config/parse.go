package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// Source is one file that has been read. File is its name in messages.
type Source struct {
	File string
	Data []byte
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// Parse reads the main file and its drop-ins, fills in defaults and validates.
// stateDir is used where the main file names none.
//
// The Config holds every agent in which nothing is wrong, and Problems
// everything that is. Of two agents with one name, or with a file in common,
// the first stays. An error outside `agents:` leaves out all agents of its
// file; in the main file, all agents of all files: where the state is and what
// the defaults are would be a guess, and a switch that acts on another state
// directory is a second switch beside the first.
func Parse(stateDir string, main Source, dropIns ...Source) (Config, Problems) {
	p := parser{found: &collection{}, first: map[string]place{}, presets: map[string]*value{}}
	top, trusted := p.file(main, false)
	c := Config{StateDir: stateDir}
	var defaults *value
	if trusted && top != nil {
		if v := top.kid("state-dir"); !v.absent {
			c.StateDir = v.text
		}
		if v := top.kid("request-log"); !v.absent {
			c.RequestLog = v.text
		}
		defaults = top.kids["defaults"]
	}
	c.RequestLog = cmp.Or(c.RequestLog, path.Join(c.StateDir, "request_log.db"))
	p.judge = judge{found: p.found, stateDir: c.StateDir}
	p.agents(top, defaults, trusted)
	for _, d := range dropIns {
		v, sound := p.file(d, true)
		p.agents(v, defaults, trusted && sound)
	}
	c.Agents = p.built
	slices.SortFunc(c.Agents, func(a, b Agent) int { return cmp.Compare(a.Name, b.Name) })
	return c, p.found.problems(p.files)
}

// parser gathers agents over several files.
type parser struct {
	found *collection
	judge judge
	files []string
	first map[string]place // where each agent was defined first
	taken []owned          // files of the agents that are built
	built []Agent
	// presets that were asked for, by name.
	presets map[string]*value
}

// file decodes one file. It is sound if nothing outside `agents:` is wrong.
// The value is nil if there is nothing to read agents from.
func (p *parser) file(s Source, dropIn bool) (v *value, sound bool) {
	p.files = append(p.files, s.File)
	r := reader{src: newSource(s.File, s.Data), found: p.found, budget: maxNodes}
	before := p.found.count
	n := r.document(s.Data)
	if n == nil {
		return nil, p.found.count == before
	}
	v = r.read(compiled().file, n, nil, "")
	sound = !v.bad
	for _, name := range v.names {
		k := v.kids[name]
		if name == "agents" {
			continue
		}
		if dropIn {
			p.found.add(k.at.keyError(fmt.Sprintf("cannot use key %q in a drop-in: only agents can be there", name), "put it in the main file"))
			sound = false
		}
		sound = sound && !broken(k)
	}
	// The form of defaults is an agent's, but one set cannot be the default
	// of several.
	if d := v.kids["defaults"]; d != nil && d.kids["config"] != nil && d.kids["config"].elems != nil {
		p.found.add(d.kids["config"].at.error("cannot use defaults.config: it is a list", "write the keys that all sets share as one map"))
		sound = false
	}
	return v, sound
}

// broken reports whether anything in v was refused.
func broken(v *value) bool {
	if v.bad {
		return true
	}
	for _, e := range v.elems {
		if broken(e) {
			return true
		}
	}
	for _, n := range v.names {
		if broken(v.kids[n]) {
			return true
		}
	}
	return false
}

// agents judges the agents of one file, and builds those that are right and
// may be used.
func (p *parser) agents(top, defaults *value, use bool) {
	if top == nil || top.kids["agents"] == nil {
		return
	}
	all := top.kids["agents"]
	for _, name := range all.names {
		v := all.kids[name]
		if at, twice := p.first[name]; twice {
			p.found.add(v.at.keyError(fmt.Sprintf("cannot define %s twice: first at %s", quoted("agent", name), at.from(v.at.src.file)), ""))
			continue
		}
		p.first[name] = v.at
		merged := over(v, defaults)
		if merged.kid("preset").bad {
			continue // Whatever is missing, it may be there.
		}
		merged = over(merged, p.preset(merged))
		before := p.found.count
		p.judge.agent(merged)
		if broken(merged) || p.found.count > before {
			continue
		}
		files := ownership(name, merged)
		for i := range files {
			overlaps(p.found, files[:i], files[i:i+1])
		}
		overlaps(p.found, p.taken, files)
		if p.found.count > before || !use {
			continue
		}
		p.taken = append(p.taken, files...)
		p.built = append(p.built, build(name, merged))
	}
}
