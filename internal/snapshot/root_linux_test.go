package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"deadman/internal/snapshot"
)

func TestOpenPlain(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a/b/x": "x", "link": "-> a", "a/end": "-> b", "file": "f"})
	must(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	for path, want := range map[string]error{
		"/a/b": nil, "/a/b/": nil, "/a//b": nil, "/a/b/../b": nil,
		"/link/b": syscall.ELOOP, "/link": syscall.ELOOP, "/a/end": syscall.ELOOP, "/a/end/": syscall.ELOOP,
		"/file": syscall.ENOTDIR, "/fifo": syscall.ENOTDIR, "/file/x": syscall.ENOTDIR, "/gone": fs.ErrNotExist,
	} {
		for name, open := range map[string]func(string) (*os.Root, error){"kernel": snapshot.OpenPlain, "stepwise": snapshot.OpenStepwise} {
			root, err := open(dir + path)
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: error is %v, want %v", path, name, err, want)
			}
			if err == nil {
				if _, err := root.Stat("x"); err != nil {
					t.Errorf("%s, %s: %v", path, name, err)
				}
				root.Close()
			}
		}
	}
}

// Links above the root that are the user's own are followed, and it is noted
// where they lead.
func TestRootsAreLocated(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a/b/x.yaml": "x", "link": "-> a", "repo/y.yaml": "y", "a/b/y.yaml": "-> ../../to/y.yaml", "to": "-> repo"})
	set := snapshot.Set{Root: dir + "/link/b", Files: []string{"*.yaml"}, Follow: []string{dir + "/to"}}
	look := observe(t, []snapshot.Set{set})
	equal(t, "members", names(look), []string{"file x.yaml", "file y.yaml"})
	if r := look.Roots[0]; r.Path != set.Root || r.Real != dir+"/a/b" || !r.Linked() {
		t.Errorf("root is %+v", r)
	}
	if len(look.Follows) != 1 || look.Follows[0].Path != dir+"/to" || look.Follows[0].Real != dir+"/repo" {
		t.Errorf("follows are %+v", look.Follows)
	}
	was := snapshot.Manifest{Agent: "a", Roots: look.Roots, Follows: look.Follows}
	for name, now := range map[string]snapshot.RootID{
		"root elsewhere":   {Path: set.Root, Real: dir + "/repo"},
		"follow elsewhere": {Path: dir + "/to", Real: dir + "/a"},
	} {
		var astray *snapshot.AstrayError
		if err := snapshot.Astray([]snapshot.RootID{now}, was); !errors.As(err, &astray) || astray.Real != now.Real || astray.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, now := range map[string]snapshot.RootID{
		"the same":           look.Roots[0],
		"another inode":      {Path: set.Root, Real: dir + "/a/b", Inode: 1},
		"no link any more":   {Path: set.Root, Real: set.Root, Inode: 1},
		"not in the config":  {Path: dir + "/new", Real: dir + "/repo"},
		"a set of that name": {Label: "other", Path: set.Root, Real: dir + "/repo"},
	} {
		if err := snapshot.Astray([]snapshot.RootID{now}, was); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What an earlier version has stored does not say where the root was.
	old := look.Roots[0]
	old.Real = ""
	was = snapshot.Manifest{Roots: []snapshot.RootID{old}}
	if err := snapshot.Astray(look.Roots, was); err != nil {
		t.Error(err)
	}
	other := look.Roots[0]
	other.Inode++
	if snapshot.Astray([]snapshot.RootID{other}, was) == nil {
		t.Error("another directory passes for one of which only the inode is known")
	}
}
