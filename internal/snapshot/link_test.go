package snapshot_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"deadman/internal/snapshot"
)

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"secret": "s", "agent/real.yaml": "r", "outside/x.yaml": "o",
		"agent/config.yaml": "-> ../secret", "agent/inside.yaml": "-> real.yaml", "agent/dangling.yaml": "-> /nowhere",
		"agent/conf.d": "-> ../outside", "agent/node_modules/.bin": "-> ../../outside",
	})
	root := dir + "/agent"
	look := observe(t, one(root, "config.yaml", "inside.yaml", "dangling.yaml", "conf.d/*.yaml", "**/*.json"))
	equal(t, "members", names(look), []string{"link conf.d", "link config.yaml", "link dangling.yaml", "link inside.yaml"})
	if len(look.Missing) != 0 {
		t.Errorf("missing %q", look.Missing)
	}
	for _, m := range look.Members {
		if want, _ := os.Readlink(filepath.Join(root, m.Path)); m.Target != want || m.Followed != "" || look.Bytes(m.Name()) != nil {
			t.Errorf("%s is %+v", m.Name(), m)
		}
	}
	// With a wildcard at the end the link is matched itself.
	equal(t, "members", names(observe(t, one(root, "node_modules/**"))), []string{"dir node_modules", "link node_modules/.bin"})
}

func TestFollowedLinks(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"repo/app/config.yaml": "c", "repo/app/conf.d/a.yaml": "a", "repo/app/conf.d/sub/b.yaml": "b",
		"repo/hop": "-> app/config.yaml", "repo/out": "-> ../secret", "repo/up/config.yaml": "-> ../app/../app/config.yaml",
		"repo/loop": "-> loop", "repo/app/conf.d/again": "-> ..", "secret": "s", "other/config.yaml": "o",
		"agent/absolute": "", "agent/relative": "-> ../repo/app/config.yaml", "agent/hop": "-> ../repo/hop", "agent/up": "-> ../repo/up/config.yaml",
		"agent/out": "-> ../repo/out", "agent/escape": "-> ../repo/../secret", "agent/loop": "-> ../repo/loop", "agent/gone": "-> ../repo/gone",
		"agent/other": "-> ../other/config.yaml", "agent/conf.d": "-> ../repo/app/conf.d", "agent/through": "-> ../repo/app/config.yaml/../config.yaml",
		"agent/repository": "-> ../repo", "repo/empty/": "", "agent/empty.d": "-> ../repo/empty",
	})
	root, repo := dir+"/agent", dir+"/repo"
	must(t, os.Remove(root+"/absolute"))
	must(t, os.Symlink(repo+"/app/config.yaml", root+"/absolute"))
	set := snapshot.Set{Root: root, Follow: []string{repo}, Files: []string{
		"absolute", "relative", "hop", "up", "out", "escape", "loop", "gone", "other", "through", "repository", "conf.d/**/*.yaml", "empty.d/*",
	}}
	look := observe(t, []snapshot.Set{set})
	equal(t, "members", names(look), []string{
		"file absolute", "link conf.d", "file conf.d/a.yaml", "dir conf.d/sub", "file conf.d/sub/b.yaml", "link empty.d", "link escape", "link gone",
		"file hop", "link loop", "link other", "link out", "file relative", "link repository", "link through", "file up",
	})
	config := repo + "/app/config.yaml"
	for name, want := range map[string]string{
		"absolute": config, "relative": config, "hop": config, "up": config,
		"conf.d/a.yaml": repo + "/app/conf.d/a.yaml", "conf.d/sub/b.yaml": repo + "/app/conf.d/sub/b.yaml", "conf.d/sub": repo + "/app/conf.d/sub",
		"out": "", "escape": "", "other": "", "through": "", "conf.d": "",
	} {
		m, _ := look.Member(name)
		if m.Followed != want {
			t.Errorf("%s leads to %q, want %q", name, m.Followed, want)
		}
		target, _ := os.Readlink(filepath.Join(root, name))
		if m.Target != target {
			t.Errorf("%s holds %q, want %q", name, m.Target, target)
		}
	}
	if got := string(look.Bytes("hop")); got != "c" {
		t.Errorf("hop is %q", got)
	}
	if m, _ := look.Member("hop"); m.Inode != stat(t, config).number {
		t.Error("hop has not the inode of the file it leads to")
	}

	// The directory of Follow may itself be named through a link.
	must(t, os.Symlink(repo, dir+"/alias"))
	set.Follow, set.Files = []string{dir + "/alias"}, []string{"relative", "absolute"}
	equal(t, "through an alias", names(observe(t, []snapshot.Set{set})), []string{"file absolute", "file relative"})
}

// A repository that links back into itself must not be walked for ever.
func TestFollowedCircle(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"repo/a": "", "repo/self": "-> .", "repo/sub/up": "-> ..", "agent/conf": "-> ../repo"})
	set := snapshot.Set{Root: dir + "/agent", Follow: []string{dir}, Files: []string{"conf/**"}}
	equal(t, "members", names(observe(t, []snapshot.Set{set})), []string{
		"link conf", "file conf/a", "link conf/self", "dir conf/sub", "link conf/sub/up",
	})
}

func TestFollowedSpecialFile(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"repo/": "", "agent/a": "-> ../repo/fifo"})
	must(t, syscall.Mkfifo(dir+"/repo/fifo", 0o644))
	sets := []snapshot.Set{{Root: dir + "/agent", Follow: []string{dir + "/repo"}, Files: []string{"a"}}}
	refused(t, sets, snapshot.DefaultLimits, snapshot.NotRegular, dir+"/agent/a")
}

func TestChangedKnowsTheLinksOnTheWay(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"repo/a": "", "agent/a": "-> ../repo/a"})
	sets := []snapshot.Set{{Root: dir + "/agent", Follow: []string{dir + "/repo"}, Files: []string{"a"}}}
	for _, touched := range []string{"repo", "agent", "repo/a"} {
		before := observe(t, sets).Changed
		for stat(t, dir+"/"+touched).ctime <= before.UnixNano() { // until the clock's grain lets it show
			must(t, os.Chmod(dir+"/"+touched, 0o755))
		}
		if after := observe(t, sets).Changed; after.UnixNano() != stat(t, dir+"/"+touched).ctime {
			t.Errorf("%s has changed, and the look says %v, before %v", touched, after, before)
		}
	}
}
