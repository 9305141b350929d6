package rival

import (
	"path"
	"slices"
	"strings"

	"deadman/internal/lazy"
)

// playbooksMax is how many files of a checkout are read.
const playbooksMax = 200

// ansiblePull judges the checkout of the last run: what it will bring next nobody
// knows, and it is as good as the same.
func (j *judge) ansiblePull(argv []string, s *scope) {
	dir := s.path(option(argv, "-d", "--directory"))
	// Its -C is the branch.
	if has(argv, "--check") {
		return
	}
	if dir == "" {
		dir = path.Join(s.home, ".ansible/pull")
	}
	j.playbooks(dir, s)
}

func (j *judge) ansiblePlaybook(argv []string, s *scope) {
	if has(argv, "--check", "-C", "--syntax-check") {
		return
	}
	for _, w := range operands(argv, "-i", "-e", "-l", "-t", "--inventory", "--limit", "--tags", "--extra-vars") {
		if ext := path.Ext(w); ext == ".yml" || ext == ".yaml" {
			j.playbooks(path.Dir(s.path(w)), s)
		}
	}
}

// playbooks judges all tasks beneath a directory. A play that deploys the config
// through deadman itself ("deadman apply", or the role) may restart and rewrite:
// deadman does it.
func (j *judge) playbooks(dir string, s *scope) {
	if dir == "" || open(dir) {
		return
	}
	inner := *s
	inner.guess = true
	left := playbooksMax
	var walk func(dir string, depth int)
	walk = func(dir string, depth int) {
		for _, name := range j.host.names(dir) {
			at := path.Join(dir, name)
			if ext := path.Ext(name); ext == ".yml" || ext == ".yaml" {
				if left--; left < 0 {
					return
				}
				if f, err := j.host.read(at); err == nil {
					j.tasks(f.text, &inner)
				}
			} else if ext == "" && depth < 5 && name != ".git" {
				walk(at, depth+1)
			}
		}
	}
	walk(dir, 0)
}

var (
	taskStart = lazy.Regexp(`(?m)^\s*- (name:|ansible\.|[a-z_]+:)`)
	taskDest  = lazy.Regexp(`(?m)^\s*(?:dest|path|name): *["']?([^"'\s]+)["']?\s*$`)
	taskVerb  = lazy.Regexp(`(?m)^\s*state: *["']?(restarted|started|stopped)["']?\s*$`)
	taskWrite = lazy.Regexp(`(?m)^\s*(?:- )?(?:ansible\.(?:builtin|posix)\.)?(template|copy|git|synchronize|lineinfile|blockinfile|replace|unarchive|get_url|assemble):`)
	taskUnit  = lazy.Regexp(`(?m)^\s*(?:- )?(?:ansible\.builtin\.)?(systemd|systemd_service|service):`)
	taskShell = lazy.Regexp(`(?m)^\s*(?:- )?(?:ansible\.builtin\.)?(?:shell|command|cmd):[ |>]*(.+)$`)
	throughUs = lazy.Regexp(`deadman (apply|held)|role(s)?:.*deadman|name: *deadman\b`)
	variables = lazy.Regexp(`\{\{[^}]*\}\}`)
)

func (j *judge) tasks(text string, s *scope) {
	if throughUs().MatchString(text) {
		return
	}
	text = variables().ReplaceAllString(text, unknown)
	starts := append(taskStart().FindAllStringIndex(text, -1), []int{len(text)})
	for i := 0; i+1 < len(starts); i++ {
		task := text[starts[i][0]:starts[i+1][0]]
		verb := ""
		if m := taskVerb().FindStringSubmatch(task); m != nil && taskUnit().MatchString(task) {
			verb = map[string]string{"restarted": "restart", "started": "start", "stopped": "stop"}[m[1]]
		}
		write := taskWrite().FindStringSubmatch(task)
		for _, m := range taskDest().FindAllStringSubmatch(task, -1) {
			if verb == "restart" || verb == "stop" {
				j.unitVerb("ansible", verb, m[1:], strings.Contains(task, "scope: user"), s)
			}
			if write != nil {
				j.writes(s.path(m[1]), s, "ansible "+write[1])
				if slices.Contains([]string{"git", "synchronize", "unarchive"}, write[1]) {
					j.replaces(s.path(m[1]), s, "ansible "+write[1])
				}
			}
		}
		if m := taskShell().FindStringSubmatch(task); m != nil {
			j.inner(strings.ReplaceAll(m[1], unknown, "$UNKNOWN"), s)
		}
	}
}
