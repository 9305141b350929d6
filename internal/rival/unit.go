package rival

import (
	"path"
	"slices"
	"strings"
)

// unit is one of systemd's, with what drop-ins add to it.
type unit struct {
	name, path string
	sum        string
	keys       []setting
	masked     bool
}

func (u *unit) all(keys ...string) []setting {
	var out []setting
	for _, k := range u.keys {
		if slices.Contains(keys, k.key) {
			out = append(out, k)
		}
	}
	return out
}

func (u *unit) first(key string) string {
	if all := u.all(key); len(all) > 0 {
		return all[len(all)-1].value
	}
	return ""
}

// manager is a systemd: the system's, or a user's.
type manager struct {
	user user
	dirs []string // what comes first wins
	// units by name, and those that something enables.
	units   map[string]*unit
	enabled map[string]bool
}

func (m *manager) system() bool { return m.user.name == "" }

// managers are all that this host can have.
func (x *scan) managers() []*manager {
	all := []*manager{{dirs: []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}}}
	for _, u := range x.homes() {
		if own := path.Join(u.home, ".config/systemd/user"); x.host.exists(own) {
			all = append(all, &manager{user: u, dirs: []string{own, "/etc/systemd/user", "/run/systemd/user", "/usr/lib/systemd/user"}})
		}
	}
	for _, m := range all {
		x.load(m)
	}
	return all
}

func (x *scan) load(m *manager) {
	m.units, m.enabled = map[string]*unit{}, map[string]bool{}
	extra := map[string][]setting{}
	for _, dir := range m.dirs {
		for _, name := range x.host.names(dir) {
			at := path.Join(dir, name)
			switch ext := path.Ext(name); {
			case ext == ".wants" || ext == ".requires" || ext == ".upholds":
				for _, wanted := range x.host.names(at) {
					m.enabled[wanted] = true
				}
			case ext == ".d":
				for _, conf := range x.host.names(at) {
					if f, err := x.host.read(path.Join(at, conf)); err == nil && path.Ext(conf) == ".conf" {
						for _, s := range sections(f.text, false) {
							extra[strings.TrimSuffix(name, ".d")] = append(extra[strings.TrimSuffix(name, ".d")], s.keys...)
						}
					}
				}
			case slices.Contains(unitTypes, ext) && m.units[name] == nil:
				u := &unit{name: name, path: at}
				m.units[name] = u
				if x.host.resolve(at) == "/dev/null" {
					u.masked = true
					continue
				}
				f, err := x.host.read(at)
				if err != nil {
					continue
				}
				u.sum = f.sum
				if f.text == "" {
					u.masked = true
				}
				for _, s := range sections(f.text, false) {
					u.keys = append(u.keys, s.keys...)
				}
			}
		}
	}
	for name, keys := range extra {
		if u := m.units[name]; u != nil {
			for i := range keys {
				keys[i].line = 0 // of another file
			}
			u.keys = append(u.keys, keys...)
		}
	}
}

// owners finds what owns the agents, to learn what they run as.
func (x *scan) owners() {
	for _, m := range x.managers() {
		for _, a := range x.agents {
			u := m.units[a.Unit]
			if u == nil || a.User == m.system() || a.Unit == "" {
				continue
			}
			a.ownerPath = u.path
			for _, k := range u.all("Environment") {
				a.environ = append(a.environ, splitWords(k.value)...)
			}
			slices.Sort(a.environ)
			for _, k := range u.all("ExecStart") {
				for _, argv := range execLine(k.value, u, m) {
					a.ownerCommandLine = argv
					a.lines = append(a.lines, strings.Join(argv, " "))
				}
			}
		}
	}
	for _, p := range x.plists() {
		for _, a := range x.agents {
			if a.Label != "" && p.label == a.Label {
				a.ownerPath = p.path
				a.ownerCommandLine = p.argv
				a.lines = append(a.lines, strings.Join(p.argv, " "))
			}
		}
	}
	for _, b := range x.programs() {
		for _, a := range x.agents {
			if a.Program != "" && b.kind == "program" && b.name == a.Program {
				a.Commands = append(a.Commands, splitWords(b.command))
				a.lines = append(a.lines, b.command)
			}
		}
	}
}

// units looks through systemd.
func (x *scan) units() {
	for _, m := range x.managers() {
		for _, name := range sortedKeys(m.units) {
			u := m.units[name]
			if u.masked {
				continue
			}
			x.upholds(m, u)
			if path.Ext(name) == ".service" {
				x.serviceUnit(m, u)
			}
		}
	}
}

// upholds: systemd starts what a unit upholds whenever it is down (systemd.unit(5)).
func (x *scan) upholds(m *manager, u *unit) {
	for _, k := range u.all("Upholds") {
		var v verdict
		for _, name := range strings.Fields(k.value) {
			for _, a := range x.agents {
				if sure, ok := a.unit(name, !m.system()); ok {
					v.acts = append(v.acts, Act{Agent: a.Name, Reason: Restarts, Sure: sure, Does: "Upholds=" + a.Unit})
				}
			}
		}
		r := Rival{Form: Systemd, Path: u.path, Line: k.line, from: k.line, to: k.line, sum: u.sum, name: u.name + " Upholds", Unit: u.name, User: m.user.name}
		if k.line == 0 {
			r.Hint = "it is in a drop-in of " + u.name + ": take it out there"
		}
		x.found(v, r)
	}
}

// serviceUnit judges what a service runs. Where something triggers it, that is what
// is in the way.
func (x *scan) serviceUnit(m *manager, u *unit) {
	v := x.serviceActs(m, u)
	if len(v.acts) == 0 {
		return
	}
	owned := slices.ContainsFunc(x.agents, func(a *Agent) bool { return a.ownerPath == u.path })
	if owned {
		v.acts = slices.DeleteFunc(v.acts, func(a Act) bool { return a.Reason != Rewrites })
		x.found(v.atMost(Possible), Rival{Form: Systemd, Path: u.path, Line: 1, sum: u.sum, name: u.name, Unit: u.name, User: m.user.name, Hint: "it owns the agent and writes its config as well: take that out of " + u.path})
		return
	}
	triggered := false
	for _, name := range sortedKeys(m.units) {
		t := m.units[name]
		if t.masked || !triggers(t, u.name) {
			continue
		}
		triggered = true
		// A copy, for each is as sure as it is in force.
		of := verdict{slices.Clone(v.acts), v.via}
		if !m.enabled[t.name] && !referred(m, t.name) {
			of = of.atMost(Possible)
		}
		of.via = append([]string{u.path}, of.via...)
		x.found(of, Rival{Form: Systemd, Path: t.path, Line: 1, sum: t.sum, name: t.name, Unit: t.name, User: m.user.name})
	}
	inForce := m.enabled[u.name] || referred(m, u.name)
	if triggered && !inForce {
		return
	}
	if !inForce {
		v = v.atMost(Possible)
	}
	x.found(v, Rival{Form: Systemd, Path: u.path, Line: 1, sum: u.sum, name: u.name, Unit: u.name, User: m.user.name})
}

// triggers reports whether a timer or a path starts the service.
func triggers(t *unit, service string) bool {
	ext := path.Ext(t.name)
	if ext != ".timer" && ext != ".path" {
		return false
	}
	target := t.first("Unit")
	if target == "" {
		target = strings.TrimSuffix(t.name, ext) + ".service"
	}
	return target == service || strings.Contains(service, "@.") && strings.HasPrefix(target, strings.TrimSuffix(service, ".service"))
}

// referred reports whether another unit starts this one.
func referred(m *manager, name string) bool {
	for _, u := range m.units {
		for _, k := range u.all("OnFailure", "OnSuccess", "Upholds", "Wants", "Requires", "BindsTo") {
			for _, word := range strings.Fields(k.value) {
				word = strings.ReplaceAll(strings.ReplaceAll(word, "%n", u.name), "%N", strings.TrimSuffix(u.name, path.Ext(u.name)))
				base, _, template := strings.Cut(name, "@.")
				if word == name || template && strings.HasPrefix(word, base+"@") {
					return true
				}
			}
		}
	}
	return false
}

// serviceActs judges all commands of a service.
func (x *scan) serviceActs(m *manager, u *unit) verdict {
	var v verdict
	environ := map[string]string{}
	for _, k := range u.all("Environment") {
		for _, word := range splitWords(k.value) {
			if name, value, ok := strings.Cut(word, "="); ok {
				environ[name] = value
			}
		}
	}
	for _, k := range u.all("EnvironmentFile") {
		if f, err := x.host.read(specifiers(strings.TrimPrefix(k.value, "-"), u, m)); err == nil {
			for line := range strings.Lines(f.text) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name != "" && name[0] != '#' {
					environ[name] = strings.Trim(value, `"'`)
				}
			}
		}
	}
	for _, k := range u.all("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost") {
		for _, argv := range execLine(k.value, u, m) {
			s := x.scope(serviceUser(m, u))
			if dir := u.first("WorkingDirectory"); dir != "" {
				s.dir = specifiers(strings.TrimPrefix(dir, "-"), u, m)
			}
			for name, value := range environ {
				s.vars[name] = []string{value}
			}
			argv = expandEnviron(argv, environ)
			one := x.judged(s, func(j *judge) { j.command(argv, s) })
			if !slices.Contains([]string{"ExecCondition", "ExecStartPre", "ExecStart"}, k.key) {
				one = one.atMost(Possible)
			}
			v.acts, v.via = append(v.acts, one.acts...), append(v.via, one.via...)
			// Whose unit it is starts it rightly, and others of its kind are told below.
			v.acts = slices.DeleteFunc(v.acts, func(a Act) bool { return a.Reason == Starts && x.owns(u, a.Agent) })
			if k.key == "ExecStart" {
				v.acts = append(v.acts, x.supervises(u, argv, environ)...)
			}
		}
	}
	// Whoever runs it as a service does more than to start it once.
	for i := range v.acts {
		if v.acts[i].Reason == Starts && u.first("Restart") != "" && u.first("Restart") != "no" {
			v.acts[i].Reason = Supervises
		}
	}
	return v
}

func (x *scan) owns(u *unit, agent string) bool {
	a := x.agent(agent)
	return a != nil && a.ownerPath == u.path
}

func serviceUser(m *manager, u *unit) string {
	if name := u.first("User"); name != "" {
		return name
	}
	if m.system() {
		return "root"
	}
	return m.user.name
}

// supervises: a unit that runs what the agent's own unit runs, in the same place.
func (x *scan) supervises(u *unit, argv []string, environ map[string]string) []Act {
	var acts []Act
	for _, a := range x.agents {
		if a.ownerPath == "" || a.ownerPath == u.path || !slices.Equal(a.ownerCommandLine, argv) {
			continue
		}
		if slices.ContainsFunc(x.agents, func(o *Agent) bool { return o.ownerPath == u.path }) {
			continue
		}
		var vars []string
		for name, value := range environ {
			vars = append(vars, name+"="+value)
		}
		slices.Sort(vars)
		if slices.Equal(vars, a.environ) {
			acts = append(acts, Act{Agent: a.Name, Reason: Supervises, Sure: Certain, Does: "runs what " + path.Base(a.ownerPath) + " runs"})
		}
	}
	return acts
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
