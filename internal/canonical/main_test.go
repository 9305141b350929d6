package canonical_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"deadman/internal/canonical"
)

// needGit skips where there is no git.
func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
}

// git runs git in dir with an environment that is the test's own.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// repo makes a work tree with one commit of files. A name that ends in "+x" is
// executable, a text that starts with "-> " a link.
func repo(t *testing.T, files map[string]string) string {
	t.Helper()
	needGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, files)
	return dir
}

func commit(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name, executable := strings.CutSuffix(name, "+x")
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		_ = os.Remove(path)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, path))
			continue
		}
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		must(t, os.WriteFile(path, []byte(text), mode))
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "config")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var limits = canonical.Limits{File: 1 << 20, Set: 4 << 20, Files: 100}

func all(string) bool { return true }

func read(t *testing.T, path, ref, dir string) canonical.Tree {
	t.Helper()
	tree, err := canonical.Repo{Path: path}.Read(t.Context(), ref, dir, all, limits)
	must(t, err)
	return tree
}

func uid(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
