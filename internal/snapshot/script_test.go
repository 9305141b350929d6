package snapshot_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/snapshot"
)

// odd are names that a shell, JSON or a careless reader would stumble over.
var odd = []string{
	"new\nline", "\n", "it's", `"quoted"`, "$(touch pwned)", "`id`", "-rf", "--", "sp ace", "tab\t", `back\slash`, "*", "~",
	"\xff\xfe", "a\xffb/\x80", "käse/日本", "\u2028", "\x01\x1b[31m", strings.Repeat("x", 255), "d'ir/in\n'side",
}

func oddTree(t testing.TB) string {
	files := map[string]string{}
	for _, name := range odd {
		files[name] = "text of " + name
	}
	return tree(t, files)
}

func TestOddNamesSurviveTheStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.root = oddTree(t)
	f.sets = one(f.root, "**")
	m := f.load(f.save(0).ID)
	must(t, f.store.Verify(m.ID))
	for _, name := range odd {
		b, err := f.store.ReadFile(m.ID, name)
		if err != nil || string(b) != "text of "+name {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	if look := observe(t, f.sets); look.Hash != m.Hash {
		t.Error("the hash has changed on the way")
	}
}

// runScript runs restore.sh of a snapshot with each POSIX shell there is, after
// spoil, and hands its output to check.
func runScript(t *testing.T, f *fixture, id string, spoil func(), check func(output string, err error), args ...string) {
	t.Helper()
	ran := map[string]bool{} // programs: sh is most often one of the others
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}, {"sh"}} {
		path, err := exec.LookPath(shell[0])
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil || ran[path] {
			continue
		}
		ran[path] = true
		spoil()
		cmd := exec.Command(shell[0], append(append(shell[1:], f.dir+"/snapshots/"+id+"/restore.sh"), args...)...)
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		check(fmt.Sprintf("%s: %s", shell[0], out), err)
	}
	if len(ran) == 0 {
		t.Skip("no shell")
	}
}

func TestRestoreScriptRestoresOddNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.root = oddTree(t)
	f.sets = one(f.root, "**")
	m := f.save(0)
	runScript(t, f, m.ID, func() {
		for _, name := range odd[:len(odd)/2] {
			must(t, os.WriteFile(filepath.Join(f.root, name), []byte("broken"), 0o600))
		}
		for _, name := range odd[len(odd)/2:] {
			must(t, os.RemoveAll(filepath.Join(f.root, name)))
		}
	}, func(output string, err error) {
		must(t, err)
		if look := observe(t, f.sets); look.Hash != m.Hash {
			t.Errorf("not restored; %s", output)
		}
	})
}

// TestRestoreScript: bytes, owners, modes and links come back, a root that is
// gone as well, and what belongs to others is left alone.
func TestRestoreScript(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := tree(t, map[string]string{
		"agent/config.yaml": "good", "agent/conf.d/sub/a.yaml": "a", "agent/link": "-> conf.d/sub", "agent/shared.yaml": "theirs",
		"agent/repo.yaml": "-> ../repo/r.yaml", "repo/r.yaml": "r", "agent/tree": "-> ../repo/t", "repo/t/x.yaml": "x",
	})
	root := base + "/agent"
	must(t, os.Chown(root, 1234, 1235))
	must(t, os.Chmod(root, 0o750))
	must(t, os.Chown(root+"/config.yaml", 1234, 1235))
	must(t, unix.Chmod(root+"/config.yaml", 0o4640))
	must(t, os.Chown(root+"/conf.d/sub", 1236, 1237))
	must(t, os.Chmod(root+"/conf.d/sub", 0o511))
	must(t, os.Lchown(root+"/link", 1238, 1239))
	must(t, os.Chown(base+"/repo/r.yaml", 1240, 1241))
	f := newFixture(t)
	f.root = root
	f.sets = []snapshot.Set{{Root: root, Files: []string{"**"}, Reads: []string{"shared.yaml"}, Follow: []string{base + "/repo"}}}
	m := f.save(0)

	whole := func(output string, err error) {
		t.Helper()
		must(t, err)
		if look := observe(t, f.sets); look.Hash != m.Hash {
			t.Errorf("not restored; %s\n%q", output, names(look))
		}
		if target, _ := os.Readlink(root + "/repo.yaml"); target != "../repo/r.yaml" {
			t.Errorf("the followed link is %q; %s", target, output)
		}
	}
	runScript(t, f, m.ID, func() {
		must(t, os.WriteFile(root+"/config.yaml", []byte("broken"), 0o600))
		must(t, os.Chown(root+"/config.yaml", 0, 0))
		must(t, os.RemoveAll(root+"/conf.d"))
		must(t, os.Symlink("../repo", root+"/conf.d")) // in place of a directory
		must(t, os.Remove(root+"/link"))
		must(t, os.Remove(root+"/repo.yaml"))
		must(t, os.WriteFile(root+"/repo.yaml", []byte("no link"), 0o600))
		must(t, os.WriteFile(base+"/repo/r.yaml", []byte("broken"), 0o600))
		must(t, os.WriteFile(base+"/repo/t/x.yaml", []byte("broken"), 0o600))
	}, whole)

	runScript(t, f, m.ID, func() { must(t, os.RemoveAll(root)) }, func(output string, err error) {
		must(t, err)
		if st := stat(t, root); st.uid != 1234 || st.gid != 1235 || st.mode != 0o750 {
			t.Errorf("the root is %d:%d %o; %s", st.uid, st.gid, st.mode, output)
		}
		if _, err := os.Stat(root + "/shared.yaml"); err == nil {
			t.Error("a file of another agent was restored")
		}
		grow(t, root, map[string]string{"shared.yaml": "theirs"})
		whole(output, nil)
	})

	look := t.TempDir()
	before := observe(t, f.sets).Changed
	runScript(t, f, m.ID, func() {}, func(output string, err error) {
		must(t, err)
		if b, err := os.ReadFile(look + root + "/config.yaml"); err != nil || string(b) != "good" {
			t.Errorf("beneath another place: %q, %v; %s", b, err, output)
		}
		if !observe(t, f.sets).Changed.Equal(before) {
			t.Errorf("the live config was touched; %s", output)
		}
	}, look)
}

func TestRestoreScriptRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grow(t, f.root, map[string]string{"b.yaml": "b"})
	m := f.save(0)
	stored := f.dir + "/snapshots/" + m.ID + "/files/config.yaml"
	fails := func(with string) func(string, error) {
		return func(output string, err error) {
			if err == nil || !strings.Contains(output, with) {
				t.Errorf("%v, %s, want %q", err, output, with)
			}
		}
	}

	// A directory holds what no snapshot may hold.
	runScript(t, f, m.ID, func() {
		must(t, os.RemoveAll(f.root+"/config.yaml"))
		grow(t, f.root, map[string]string{"config.yaml/x": ""})
	}, fails("move it away"))
	must(t, os.RemoveAll(f.root+"/config.yaml"))

	// A link planted under the temporary name must not be written through.
	victim := t.TempDir() + "/victim"
	runScript(t, f, m.ID, func() {
		os.Remove(f.root + "/.deadman-restore")
		must(t, os.Symlink(victim, f.root+"/.deadman-restore"))
	}, func(output string, err error) {
		must(t, err)
		if _, err := os.Stat(victim); err == nil {
			t.Errorf("a planted link was followed; %s", output)
		}
	})

	// Damage is found before anything is touched.
	must(t, os.WriteFile(stored, []byte("a: 7\n"), 0o600))
	must(t, os.WriteFile(f.root+"/b.yaml", []byte("live"), 0o600))
	runScript(t, f, m.ID, func() {}, fails("cannot trust"))
	if b, _ := os.ReadFile(f.root + "/b.yaml"); string(b) != "live" {
		t.Error("half of a damaged snapshot was restored")
	}
}
