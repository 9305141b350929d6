package rival

import (
	"path"
	"strings"
)

// program is one that supervisord runs.
type program struct {
	file       file
	kind, name string // program or eventlistener
	command    string
	user, dir  string
	autostart  bool
	from, to   int
}

// programs are all of supervisord's (its documentation, "Configuration File").
func (x *scan) programs() []program {
	var files []file
	seen := map[string]bool{}
	add := func(p string) {
		if f, err := x.host.read(p); err == nil && !seen[f.path] {
			seen[f.path] = true
			files = append(files, f)
		}
	}
	for _, p := range []string{"/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "/usr/local/etc/supervisord.conf", "/opt/homebrew/etc/supervisord.conf"} {
		add(p)
	}
	for _, main := range files {
		for _, s := range sections(main.text, true) {
			for _, k := range s.keys {
				if s.name != "include" || k.key != "files" {
					continue
				}
				for _, pattern := range strings.Fields(k.value) {
					if !path.IsAbs(pattern) {
						pattern = path.Join(path.Dir(main.path), pattern)
					}
					for _, p := range x.glob(path.Dir(pattern), path.Base(pattern)) {
						add(p)
					}
				}
			}
		}
	}
	var all []program
	for _, f := range files {
		for _, s := range sections(f.text, true) {
			kind, name, ok := strings.Cut(s.name, ":")
			if !ok || kind != "program" && kind != "eventlistener" {
				continue
			}
			p := program{file: f, kind: kind, name: name, user: "root", autostart: true, from: s.from, to: s.to}
			for _, k := range s.keys {
				switch k.key {
				case "command":
					p.command = k.value
				case "user":
					p.user = k.value
				case "directory":
					p.dir = k.value
				case "autostart":
					p.autostart = k.value != "false"
				}
			}
			all = append(all, p)
		}
	}
	return all
}

// supervisord looks through its programs. The one that owns an agent is none.
func (x *scan) supervisord() {
	for _, p := range x.programs() {
		owns := false
		for _, a := range x.agents {
			owns = owns || p.kind == "program" && a.Program == p.name
		}
		if owns {
			continue
		}
		s := x.scope(p.user)
		if p.dir != "" {
			s.dir = p.dir
		}
		v := x.judged(s, func(j *judge) { j.command(splitWords(p.command), s) })
		for i := range v.acts {
			if v.acts[i].Reason == Starts {
				v.acts[i].Reason = Supervises
			}
		}
		if !p.autostart {
			v = v.atMost(Possible)
		}
		x.found(v, Rival{Form: Supervisord, Path: p.file.path, Line: p.from, from: p.from, to: p.to, sum: p.file.sum, name: p.kind + ":" + p.name})
	}
}
