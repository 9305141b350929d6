package rival

import (
	"path"
	"strings"

	"deadman/internal/lazy"
)

var (
	monitCheck   = lazy.Regexp(`^\s*check\s+(\w+)\s+(\S+)`)
	monitOther   = lazy.Regexp(`^\s*(set|include)\s`)
	monitInclude = lazy.Regexp(`(?m)^\s*include\s+["']?([^\s"']+)`)
	monitProgram = lazy.Regexp(`(?s)\b(?:start|stop|restart)\s+(?:program\s*)?=?\s*("[^"]*"|'[^']*')|\bexec(?:ute)?\s+("[^"]*"|'[^']*')`)
	monitPassive = lazy.Regexp(`\bmode\s+(passive|manual)\b`)
)

// monit looks through Monit's control files (monit(1)).
func (x *scan) monit() {
	files := []string{"/etc/monit/monitrc", "/etc/monitrc", "/usr/local/etc/monitrc", "/opt/homebrew/etc/monitrc"}
	user := map[string]string{}
	for _, u := range x.homes() {
		p := path.Join(u.home, ".monitrc")
		files = append(files, p)
		user[p] = u.name
	}
	seen := map[string]bool{}
	for _, p := range files {
		f, err := x.host.read(p)
		if err != nil || seen[f.path] {
			continue
		}
		seen[f.path] = true
		owner := user[p]
		if owner == "" {
			owner = "root"
		}
		x.monitFile(f, owner)
		for _, m := range monitInclude().FindAllStringSubmatch(f.text, -1) {
			for _, included := range x.glob(path.Dir(m[1]), path.Base(m[1])) {
				if more, err := x.host.read(included); err == nil && !seen[more.path] {
					seen[more.path] = true
					x.monitFile(more, owner)
				}
			}
		}
	}
}

// monitFile judges each check of a file.
func (x *scan) monitFile(f file, owner string) {
	lines := strings.Split(f.text, "\n")
	for i := 0; i < len(lines); i++ {
		m := monitCheck().FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		end := i + 1
		for end < len(lines) && !monitCheck().MatchString(lines[end]) && !monitOther().MatchString(lines[end]) {
			end++
		}
		for end > i+1 && (strings.TrimSpace(lines[end-1]) == "" || strings.HasPrefix(strings.TrimSpace(lines[end-1]), "#")) {
			end--
		}
		var block []string
		for _, line := range lines[i:end] {
			if !strings.HasPrefix(strings.TrimSpace(line), "#") {
				block = append(block, line)
			}
		}
		text := strings.Join(block, "\n")
		s := x.scope(owner)
		v := x.judged(s, func(j *judge) {
			for _, program := range monitProgram().FindAllStringSubmatch(text, -1) {
				j.command(splitWords(strings.Trim(program[1]+program[2], `"'`)), s)
			}
		})
		for k := range v.acts {
			// It starts again whatever ends.
			if v.acts[k].Reason == Starts {
				v.acts[k].Reason = Supervises
			}
		}
		if monitPassive().MatchString(text) {
			v = v.atMost(Possible)
		}
		x.found(v, Rival{Form: Monit, Path: f.path, Line: i + 1, from: i + 1, to: end, sum: f.sum, name: m[2]})
		i = end - 1
	}
}
