package canonical_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman/internal/canonical"
)

func version(files ...canonical.File) canonical.Version {
	return canonical.Version{
		Ref: "refs/heads/deadman/host/a", Files: files, Message: "Known good\n\nSnapshot: 1\n", Name: "deadman", Mail: "deadman@host",
		At: time.Unix(1700000000, 0),
	}
}

func regular(path, text string) canonical.File {
	return canonical.File{Path: path, Type: canonical.Regular, Bytes: []byte(text)}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	dir := repo(t, map[string]string{"config.yaml": "model: a\n", "other": "x"})
	must(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("dirty"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "staged"), []byte("staged"), 0o644))
	git(t, dir, "add", "staged")
	hooks := filepath.Join(dir, ".git/hooks")
	must(t, os.MkdirAll(hooks, 0o755))
	for _, hook := range []string{"reference-transaction", "post-commit", "pre-push"} {
		must(t, os.WriteFile(filepath.Join(hooks, hook), []byte("#!/bin/sh\ntouch "+dir+"/ran\n"), 0o755))
	}
	status, head := git(t, dir, "-c", "core.hooksPath=/dev/null", "status", "--porcelain"), git(t, dir, "rev-parse", "HEAD")
	r := canonical.Repo{Path: dir}
	script := regular("a/run.sh", "#!/bin/sh\n")
	script.Executable = true
	v := version(script, regular("config.yaml", "model: b\n"), canonical.File{Path: "link", Type: canonical.Link, Bytes: []byte("config.yaml")}, regular("q\"\\\n ü", "odd"))
	first, fresh, err := r.Commit(t.Context(), v)
	must(t, err)
	if !fresh || first != git(t, dir, "rev-parse", v.Ref) {
		t.Errorf("the tip is %s, new %v", first, fresh)
	}
	want := "file a/run.sh+x \"#!/bin/sh\\n\"\nfile config.yaml \"model: b\\n\"\nlink link \"config.yaml\"\nfile q\"\\\n ü \"odd\""
	if got := show(read(t, dir, "deadman/host/a", "")); got != want {
		t.Errorf("committed\n%s\nwant\n%s", got, want)
	}
	if got := git(t, dir, "log", "--format=%an <%ae> %at %B", "-1", v.Ref); got != "deadman <deadman@host> 1700000000 Known good\n\nSnapshot: 1" {
		t.Errorf("the commit says %q", got)
	}
	// Nothing new is no commit; anything new is one on top, and only that tree.
	if again, fresh, err := r.Commit(t.Context(), v); err != nil || fresh || again != first {
		t.Errorf("again: %s, new %v, %v", again, fresh, err)
	}
	second, fresh, err := r.Commit(t.Context(), version(regular("config.yaml", "model: c\n")))
	if err != nil || !fresh || git(t, dir, "rev-parse", v.Ref+"^") != first || git(t, dir, "ls-tree", "--name-only", second) != "config.yaml" {
		t.Errorf("the second: %s, new %v, %v", second, fresh, err)
	}
	git(t, dir, "fsck", "--strict")
	if now := git(t, dir, "-c", "core.hooksPath=/dev/null", "status", "--porcelain"); now != status || git(t, dir, "rev-parse", "HEAD") != head {
		t.Errorf("status was %q and is %q", status, now)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a hook was run")
	}

	// Pushed, as far as a remote is there.
	bare := filepath.Join(t.TempDir(), "bare.git")
	git(t, dir, "init", "-q", "--bare", bare)
	git(t, dir, "remote", "add", "backup", bare)
	must(t, r.Push(t.Context(), "backup", v.Ref))
	if got := git(t, bare, "rev-parse", v.Ref); got != second {
		t.Errorf("pushed %s, want %s", got, second)
	}
	git(t, dir, "remote", "set-url", "backup", "https://user:secret@127.0.0.1:1/none")
	err = r.Push(t.Context(), "backup", v.Ref)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "cannot push") {
		t.Errorf("to a remote that is not there: %v", err)
	}
}

func TestCommitRefuses(t *testing.T) {
	t.Parallel()
	dir := repo(t, map[string]string{"config.yaml": "model: a\n"})
	git(t, dir, "checkout", "-q", "-b", "deadman/host/a")
	_, _, err := canonical.Repo{Path: dir}.Commit(t.Context(), version(regular("config.yaml", "b")))
	if err == nil || !strings.Contains(err.Error(), "checked out") {
		t.Errorf("a branch that is checked out: %v", err)
	}
	git(t, dir, "checkout", "-q", "main")
	git(t, dir, "branch", "-D", "deadman/host/a")
	git(t, dir, "branch", "deadman")
	if _, _, err := (canonical.Repo{Path: dir}).Commit(t.Context(), version(regular("config.yaml", "b"))); err == nil {
		t.Error("a branch where the ref's directory belongs is no error")
	}
}

// What root commits to a repository of somebody else is theirs.
func TestCommitAsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give repositories to other users")
	}
	dir := repo(t, map[string]string{"config.yaml": "x: 1\n"})
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		must(t, os.Chmod(up, 0o755))
	}
	const owner = 64101
	give(t, dir, owner)
	_, _, err := canonical.Repo{Path: dir}.Commit(t.Context(), version(regular("config.yaml", "b")))
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && uid(info) != owner {
			t.Errorf("%s belongs to %d", path, uid(info))
		}
		return err
	}))
}

func TestBranch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		elements []string
		want     string
	}{
		{[]string{"deadman", "host", "a"}, "refs/heads/deadman/host/a"},
		{[]string{"deadman", "host.example.com", "a b~c^d"}, "refs/heads/deadman/host.example.com/a-b-c-d"},
		{[]string{"deadman", ".h..x.lock", "-a."}, "refs/heads/deadman/-h-x-/-a-"},
	} {
		if got := canonical.Branch(c.elements...); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
