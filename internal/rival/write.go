package rival

import (
	"path"
	"slices"
	"strings"

	"deadman/internal/lazy"
)

// writes judges that a file is written.
func (j *judge) writes(p string, s *scope, how string) {
	if p == "" {
		return
	}
	really := j.host.resolve(wild(p))
	for _, a := range j.agents {
		if a.member(p) || a.member(really) {
			sure := Certain
			if open(p) || strings.ContainsAny(p, "*?[") {
				sure = Likely
			}
			j.does(a, Rewrites, sure, s, how+" "+path.Base(wild(p)))
		}
	}
}

// replaces judges that everything in a directory is replaced.
func (j *judge) replaces(dir string, s *scope, how string) {
	really := j.host.resolve(dir)
	for _, a := range j.agents {
		sure, ok := a.covers(dir)
		if more, also := a.covers(really); also && (!ok || more.rank() > sure.rank()) {
			sure, ok = more, true
		}
		if ok {
			j.does(a, Rewrites, sure, s, how+" into the config's directory")
		}
	}
}

var remote = lazy.Regexp(`^([\w.-]+@)?[\w.-]+:`)

// copies judges what puts its last word, or -t, in place of what it was.
func (j *judge) copies(argv []string, s *scope) {
	name := path.Base(argv[0])
	if name == "rsync" && slices.ContainsFunc(argv[1:], func(w string) bool {
		return w == "--dry-run" || len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.Contains(w, "n")
	}) {
		return
	}
	words := operands(argv, "-t", "--target-directory", "-m", "--mode", "-o", "--owner", "-g", "--group", "-S", "--suffix", "-e", "--rsh", "--exclude", "--include", "--filter", "-i", "-P", "--port")
	if name == "rclone" && len(words) > 0 {
		words = words[1:]
	}
	dest := option(argv, "-t", "--target-directory")
	if dest == "" {
		if len(words) < 2 {
			return
		}
		dest, words = words[len(words)-1], words[:len(words)-1]
	}
	if remote().MatchString(dest) || has(argv, "-d") && name == "install" {
		return
	}
	if name == "mv" {
		for _, w := range words {
			j.writes(s.path(w), s, "mv")
		}
	}
	to := s.path(dest)
	if to == "" {
		return
	}
	j.writes(to, s, name)
	whole := slices.ContainsFunc(argv[1:], func(w string) bool {
		return len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.ContainsAny(w, "raR") || w == "--archive" || w == "--recursive"
	}) || name == "rclone"
	for _, w := range words {
		j.writes(path.Join(to, path.Base(w)), s, name)
		if whole {
			// Without the slash at the end the directory itself goes into the other.
			into := to
			if name == "rsync" && !strings.HasSuffix(w, "/") || name == "cp" && !strings.HasSuffix(w, "/.") && strings.HasSuffix(dest, "/") {
				into = path.Join(to, path.Base(w))
			}
			j.replaces(into, s, name)
		}
	}
}

// writesAll judges programs that change every file that they name.
func (j *judge) writesAll(argv []string, s *scope) {
	name := path.Base(argv[0])
	for _, w := range operands(argv, "-s", "--size", "-i", "--input", "-n") {
		p := s.path(w)
		j.writes(p, s, name)
		if name == "rm" && p != "" && slices.ContainsFunc(argv[1:], func(w string) bool { return len(w) > 1 && w[0] == '-' && strings.ContainsAny(w, "rR") }) {
			j.replaces(p, s, name)
		}
	}
}

func (j *judge) inPlace(argv []string, s *scope) {
	if !slices.ContainsFunc(argv[1:], func(w string) bool {
		return strings.HasPrefix(w, "--in-place") || strings.HasPrefix(w, "--inplace") || len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.Contains(w, "i")
	}) {
		return
	}
	for _, w := range operands(argv, "-e", "-f") {
		j.writes(s.path(w), s, path.Base(argv[0])+" -i")
	}
}

func (j *judge) dd(argv []string, s *scope) {
	for _, w := range argv[1:] {
		if p, ok := strings.CutPrefix(w, "of="); ok {
			j.writes(s.path(p), s, "dd")
		}
	}
}

func (j *judge) download(argv []string, s *scope) {
	names := []string{"-o", "--output"}
	if path.Base(argv[0]) == "wget" {
		names = []string{"-O", "--output-document"}
	}
	if p := option(argv, names...); p != "" {
		j.writes(s.path(p), s, path.Base(argv[0]))
	}
}

// extract judges what unpacks an archive or a backup.
func (j *judge) extract(argv []string, s *scope) {
	name := path.Base(argv[0])
	dir := s.dir
	switch {
	case name == "restic" && has(argv, "restore"):
		dir = option(argv, "--target", "-t")
	case name == "unzip":
		if d := option(argv, "-d"); d != "" {
			dir = d
		}
	case name == "tar" && len(argv) > 1 && (has(argv, "--extract", "--get") || !strings.HasPrefix(argv[1], "--") && strings.Contains(argv[1], "x")):
		if d := option(argv, "-C", "--directory"); d != "" {
			dir = d
		}
	default:
		return
	}
	j.replaces(s.path(dir), s, name)
}

// git judges what changes a work tree.
func (j *judge) git(argv []string, s *scope) {
	dir := s.dir
	rest := argv[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		if len(rest) > 1 && slices.Contains([]string{"-C", "-c", "--git-dir", "--work-tree"}, rest[0]) {
			if rest[0] == "-C" || rest[0] == "--work-tree" {
				dir = s.path(rest[1])
			}
			rest = rest[1:]
		} else if tree, ok := strings.CutPrefix(rest[0], "--work-tree="); ok {
			dir = s.path(tree)
		}
		rest = rest[1:]
	}
	if len(rest) == 0 || dir == "" || open(dir) {
		return
	}
	switch verb := rest[0]; {
	case slices.Contains([]string{"pull", "merge", "rebase", "revert", "restore", "am", "cherry-pick", "switch"}, verb):
	case verb == "reset" && has(rest, "--hard", "--merge", "--keep"):
	case verb == "checkout" && !has(rest, "-b", "-B", "--orphan"):
	case verb == "stash" && !has(rest, "list", "show", "drop", "create"):
	case verb == "clean" && !has(rest, "-n", "--dry-run"):
	case verb == "apply" && !has(rest, "--check", "--stat"):
	default:
		return
	}
	for at := j.host.resolve(dir); at != "/"; at = path.Dir(at) {
		if j.host.exists(path.Join(at, ".git")) {
			j.replaces(at, s, "git "+rest[0])
			return
		}
	}
	j.replaces(dir, s, "git "+rest[0])
}
