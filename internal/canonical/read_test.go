package canonical_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/canonical"
)

func show(tree canonical.Tree) string {
	var lines []string
	for _, f := range tree.Files {
		x := ""
		if f.Executable {
			x = "+x"
		}
		lines = append(lines, fmt.Sprintf("%s %s%s %q", f.Type, f.Path, x, f.Bytes))
	}
	return strings.Join(lines, "\n")
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := repo(t, map[string]string{
		"other/config.yaml":           "not: asked for\n",
		"wizards/bezalel/config.yaml": "model: a\n", "wizards/bezalel/conf.d/x.yaml": "", "wizards/bezalel/run.sh+x": "#!/bin/sh\n",
		"wizards/bezalel/link.yaml": "-> config.yaml", "wizards/bezalel/a name\nwith lines": "x",
	})
	git(t, dir, "tag", "v1")
	want := `file a name
with lines "x"
file conf.d/x.yaml ""
file config.yaml "model: a\n"
link link.yaml "config.yaml"
file run.sh+x "#!/bin/sh\n"`
	bare := filepath.Join(t.TempDir(), "bare.git")
	git(t, dir, "clone", "-q", "--bare", dir, bare)
	for _, at := range []string{dir, bare} {
		tree := read(t, at, "main", "wizards/bezalel")
		if got := show(tree); got != want {
			t.Errorf("%s:\n got %s\nwant %s", at, got, want)
		}
		if tree.Commit != git(t, dir, "rev-parse", "main") {
			t.Errorf("%s: commit is %s", at, tree.Commit)
		}
	}
	// What is read is the commit, whatever lies in the work tree and the index.
	commit(t, dir, map[string]string{"wizards/bezalel/config.yaml": "model: b\n"})
	must(t, os.WriteFile(filepath.Join(dir, "wizards/bezalel/config.yaml"), []byte("dirty"), 0o644))
	git(t, dir, "add", "-A")
	must(t, os.WriteFile(filepath.Join(dir, "wizards/bezalel/config.yaml"), []byte("dirtier"), 0o644))
	before := git(t, dir, "status", "--porcelain")
	for ref, text := range map[string]string{"v1": "model: a\n", "HEAD": "model: b\n", "refs/heads/main": "model: b\n"} {
		tree := read(t, dir, ref, "/wizards/bezalel/")
		if got := string(tree.Files[2].Bytes); got != text {
			t.Errorf("%s: config.yaml is %q, want %q", ref, got, text)
		}
	}
	if after := git(t, dir, "status", "--porcelain"); after != before {
		t.Errorf("status was %q and is %q", before, after)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	dir := repo(t, map[string]string{"a/config.yaml": strings.Repeat("x", 100), "a/b.yaml": strings.Repeat("y", 100)})
	broken := repo(t, map[string]string{"a/config.yaml": "x: 1\n"})
	blob := git(t, broken, "rev-parse", "HEAD:a/config.yaml")
	must(t, os.Remove(filepath.Join(broken, ".git/objects", blob[:2], blob[2:])))
	none := t.TempDir()
	small := func(l canonical.Limits) canonical.Limits {
		if l.File == 0 {
			l.File = 1 << 20
		}
		if l.Set == 0 {
			l.Set = 1 << 20
		}
		if l.Files == 0 {
			l.Files = 100
		}
		return l
	}
	for _, c := range []struct {
		name, repo, ref, dir, want string
		limits                     canonical.Limits
	}{
		{name: "no repository", repo: none, ref: "main", want: "cannot read main of " + none + ": not a git repository"},
		{name: "nothing there", repo: none + "/none", ref: "main", want: "cannot find the repository " + none + "/none"},
		{name: "no ref", repo: dir, ref: "origin/main", dir: "a", want: "cannot read a in origin/main of " + dir},
		{name: "an option", repo: dir, ref: "--help", want: "cannot read --help of " + dir},
		{name: "a file for a directory", repo: dir, ref: "main", dir: "a/config.yaml", want: "not a tree object"},
		{name: "no directory", repo: dir, ref: "main", dir: "b", want: "cannot read b in main"},
		{name: "upwards", repo: dir, ref: "main", dir: "../a", want: "cannot read ../a in main"},
		{name: "a big file", repo: dir, ref: "main", limits: canonical.Limits{File: 99}, want: "b.yaml is bigger than the limit for one file"},
		{name: "a big set", repo: dir, ref: "main", limits: canonical.Limits{Set: 199}, want: "config.yaml it is bigger than the limit for a set"},
		{name: "many files", repo: dir, ref: "main", limits: canonical.Limits{Files: 1}, want: "more files than the limit"},
		{name: "an object that is gone", repo: broken, ref: "main", want: "the repository is not whole"},
	} {
		tree, err := canonical.Repo{Path: c.repo}.Read(t.Context(), c.ref, c.dir, all, small(c.limits))
		var told *canonical.Error
		if !errors.As(err, &told) || !strings.Contains(err.Error(), c.want) || told.Hint() == "" {
			t.Errorf("%s: got %v, want %q and a hint", c.name, err, c.want)
		}
		if tree.Files != nil {
			t.Errorf("%s: files came with an error", c.name)
		}
	}
	if _, err := (canonical.Repo{Path: dir, Git: filepath.Join(none, "git")}).Read(t.Context(), "main", "", all, limits); err == nil {
		t.Error("a git that is not there is no error")
	}
}

// A repository whose configuration names commands has none of them run, and one
// that lacks objects fetches none.
func TestReadRunsNothing(t *testing.T) {
	t.Parallel()
	dir := repo(t, map[string]string{"config.yaml": "x: 1\n", ".gitattributes": "* filter=evil diff=evil\n", "gone.yaml": "y: 1\n"})
	proof := filepath.Join(t.TempDir(), "ran")
	script := filepath.Join(t.TempDir(), "evil")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\ntouch "+proof+"\n"), 0o755))
	blob := git(t, dir, "rev-parse", "HEAD:gone.yaml")
	for _, pair := range [][2]string{
		{"core.fsmonitor", script},
		{"core.hooksPath", filepath.Dir(script)},
		{"core.pager", script},
		{"core.sshCommand", script},
		{"filter.evil.smudge", script},
		{"filter.evil.clean", script},
		{"diff.evil.textconv", script},
		{"diff.external", script},
		{"alias.cat-file", "!" + script},
		{"core.askPass", script},
		{"credential.helper", script},
		{"core.repositoryFormatVersion", "1"},
		{"extensions.partialClone", "origin"},
		{"remote.origin.promisor", "true"},
		{"remote.origin.url", dir},
		{"remote.origin.uploadpack", script},
		{"protocol.file.allow", "always"},
		{"protocol.ext.allow", "always"},
	} {
		git(t, dir, "config", pair[0], pair[1])
	}
	if got := show(read(t, dir, "main", "")); !strings.Contains(got, `config.yaml "x: 1\n"`) {
		t.Errorf("got %s", got)
	}
	must(t, os.Remove(filepath.Join(dir, ".git/objects", blob[:2], blob[2:])))
	if _, err := (canonical.Repo{Path: dir}).Read(t.Context(), "main", "", all, limits); err == nil {
		t.Error("an object that is gone was read")
	}
	if _, err := os.Stat(proof); err == nil {
		t.Error("the repository had a command run")
	}
}

// What git is told by the environment of whoever runs deadman leads nowhere.
func TestReadMindsNoEnvironment(t *testing.T) {
	dir := repo(t, map[string]string{"config.yaml": "x: 1\n"})
	other := repo(t, map[string]string{"config.yaml": "x: 2\n"})
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_WORK_TREE", other)
	t.Setenv("GIT_OBJECT_DIRECTORY", filepath.Join(other, ".git/objects"))
	if got := show(read(t, dir, "main", "")); got != `file config.yaml "x: 1\n"` {
		t.Errorf("got %s", got)
	}
}

// As root, git is whoever could have put there what is there.
func TestReadAsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give repositories to other users")
	}
	const agent, other = 64101, 64102
	dir := repo(t, map[string]string{"config.yaml": "x: 1\n"})
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		must(t, os.Chmod(up, 0o755))
	}
	give(t, dir, agent)
	if got := show(read(t, dir, "main", "")); got != `file config.yaml "x: 1\n"` {
		t.Errorf("of another owner: got %s", got)
	}
	// The owner has its object store lead to one that only root may read.
	secret := repo(t, map[string]string{"secret.yaml": "password: 1\n"})
	must(t, os.Chmod(secret, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".git/objects/info/alternates"), []byte(secret+"/.git/objects\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, ".git/refs/heads/main"), []byte(git(t, secret, "rev-parse", "HEAD")+"\n"), 0o644))
	if tree, err := (canonical.Repo{Path: dir}).Read(t.Context(), "main", "", all, limits); err == nil {
		t.Errorf("read through alternates what only root may: %s", show(tree))
	}
	// It puts a link in the place of the repository.
	home := t.TempDir()
	must(t, os.Chmod(home, 0o755))
	must(t, os.Symlink(secret, filepath.Join(home, "config")))
	must(t, os.Lchown(home, agent, agent))
	if tree, err := (canonical.Repo{Path: filepath.Join(home, "config")}).Read(t.Context(), "main", "", all, limits); err == nil {
		t.Errorf("read through a link what only root may: %s", show(tree))
	}
	must(t, os.Lchown(filepath.Join(dir, ".git"), other, other))
	_, err := canonical.Repo{Path: dir}.Read(t.Context(), "main", "", all, limits)
	if err == nil || !strings.Contains(err.Error(), "cannot tell whose repository") {
		t.Errorf("two owners: got %v", err)
	}
}

func give(t *testing.T, dir string, uid int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
}
