package snapshot_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/document"
	"deadman/internal/snapshot"
)

func TestObserveFindsWhatThePatternsSay(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"config.yaml": "a: 1\n", ".env": "A=1\n", "auth.json": "{}", "other": "",
		"conf.d/a.yaml": "", "conf.d/.b.yaml": "", "conf.d/c.txt": "", "conf.d/a.yaml.bak": "",
		"conf.d/.deadman-x.yaml": "", "empty/": "", "deep/er/est/x.json": "{}", "deep/none/y": "",
	})
	set := snapshot.Set{
		Root:    root,
		Files:   []string{"config.yaml", ".env", "conf.d/*", "deep/**/*.json", "empty/*", "gone.yaml", "conf.d/gone", "auth.json", "no/dir"},
		Exclude: []string{"auth.json", "**/*.bak"},
		Reads:   []string{"conf.d/c.txt"},
	}
	look := observe(t, []snapshot.Set{set})
	equal(t, "members", names(look), []string{
		"file .env", "dir conf.d", "file conf.d/.b.yaml", "file conf.d/a.yaml", "file conf.d/c.txt", "file config.yaml",
		"dir deep", "dir deep/er", "dir deep/er/est", "file deep/er/est/x.json",
	})
	equal(t, "missing", look.Missing, []string{"conf.d/gone", "gone.yaml", "no/dir"})
	for _, m := range look.Members {
		st := stat(t, filepath.Join(root, m.Path))
		if m.Mode != st.mode || m.UID != st.uid || m.GID != st.gid || m.Inode != st.number || m.CTime.UnixNano() != st.ctime {
			t.Errorf("%s has %+v, the file system says %+v", m.Name(), m, st)
		}
		if m.Reads != (m.Path == "conf.d/c.txt") {
			t.Errorf("%s: reads is %v", m.Name(), m.Reads)
		}
	}
	if got := string(look.Bytes("config.yaml")); got != "a: 1\n" {
		t.Errorf("bytes are %q", got)
	}
	if m, ok := look.Member("config.yaml"); !ok || m.Size != 5 {
		t.Errorf("config.yaml is %+v, %v", m, ok)
	}
	if _, ok := look.Member("auth.json"); ok || look.Bytes("auth.json") != nil {
		t.Error("an excluded file was captured")
	}
}

// TestHashes spells the definitions out once more, by hand.
func TestHashes(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"d/b": "two", "a": "one", "l": "-> d/b"})
	must(t, os.Chmod(root+"/a", 0o640))
	must(t, os.Chmod(root+"/d", 0o750))
	must(t, syscall.Chmod(root+"/d/b", 0o4755))
	look := observe(t, []snapshot.Set{{Root: root, Files: []string{"**"}}})

	hex := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	own := func(name string) string { st := stat(t, root+"/"+name); return fmt.Sprintf("%d:%d", st.uid, st.gid) }
	link := fmt.Sprintf("%04o", stat(t, root+"/l").mode)
	want := hex("a\x00file\x000640\x00" + own("a") + "\x00" + hex("one") + "\n" +
		"d\x00dir\x000750\x00" + own("d") + "\x00\n" +
		"d/b\x00file\x004755\x00" + own("d/b") + "\x00" + hex("two") + "\n" +
		"l\x00link\x00" + link + "\x00" + own("l") + "\x00" + hex("d/b") + "\n")
	if look.Hash != want {
		t.Errorf("hash is %s, want %s", look.Hash, want)
	}
	if look.Identity != want {
		t.Errorf("identity without preserve keys is %s, want the hash", look.Identity)
	}
	want = hex("a\x00file\x00" + hex("one") + "\n" + "d\x00dir\x00\n" + "d/b\x00file\x00" + hex("two") + "\n" + "l\x00link\x00" + hex("d/b") + "\n")
	if look.Content != want {
		t.Errorf("content is %s, want %s", look.Content, want)
	}

	must(t, os.Chmod(root+"/a", 0o600))
	again := observe(t, []snapshot.Set{{Root: root, Files: []string{"**"}}})
	if again.Hash == look.Hash || again.Content != look.Content {
		t.Error("a change of mode must change the hash and not the content")
	}
}

func TestIdentityLeavesPreservedValuesOut(t *testing.T) {
	t.Parallel()
	look := func(text string) *snapshot.Look {
		root := tree(t, map[string]string{"config.yaml": text})
		return observe(t, []snapshot.Set{{
			Root: root, Files: []string{"config.yaml"},
			Preserve: []document.Key{{File: "config.yaml", Path: "onboarding.seen"}},
		}})
	}
	a := look("model: x\nonboarding:\n  seen: 1\n")
	b := look("model: x\nonboarding:\n  seen: 2 # twice\n")
	c := look("model: y\nonboarding:\n  seen: 1\n")
	broken := look("model: [x\nonboarding:\n  seen: 1\n")
	if a.Hash == b.Hash || a.Identity != b.Identity {
		t.Errorf("hashes %s %s, identities %s %s: want only the identities equal", a.Hash, b.Hash, a.Identity, b.Identity)
	}
	if a.Identity == c.Identity {
		t.Error("another model has the same identity")
	}
	if broken.Identity != broken.Hash {
		t.Error("a file that does not parse must count by its bytes")
	}
}

func TestSeveralSets(t *testing.T) {
	t.Parallel()
	a, b := tree(t, map[string]string{"x": "1"}), tree(t, map[string]string{"x": "2", "s/y": ""})
	sets := []snapshot.Set{{Label: "main", Root: a, Files: []string{"x", "z"}}, {Label: "extra", Root: b, Files: []string{"**"}}}
	look := observe(t, sets)
	equal(t, "members", names(look), []string{"dir extra/s", "file extra/s/y", "file extra/x", "file main/x"})
	equal(t, "missing", look.Missing, []string{"main/z"})
	if len(look.Roots) != 2 || look.Roots[1].Label != "extra" || look.Roots[1].Inode != stat(t, b).number {
		t.Errorf("roots are %+v", look.Roots)
	}
	for _, sets := range [][]snapshot.Set{
		nil,
		{{Root: a}, {Label: "b", Root: b}},
		{{Label: "a", Root: a}, {Label: "a", Root: b}},
		{{Label: "a/b", Root: a}},
		{{Label: "..", Root: a}},
		{{Root: "relative"}},
		{{Root: a, Files: []string{"../x"}}},
		{{Root: a, Follow: []string{"x"}}},
	} {
		if _, err := snapshot.Observe(t.Context(), sets, snapshot.DefaultLimits); err == nil {
			t.Errorf("%+v is accepted", sets)
		}
	}
}

func TestRootGoneOrReplaced(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"conf/a": "1"}) + "/conf"
	before := observe(t, one(root, "a"))

	must(t, os.Rename(root, root+".old"))
	refused(t, one(root, "a"), snapshot.DefaultLimits, snapshot.RootMissing, root)
	must(t, syscall.Mkfifo(root, 0o644))
	refused(t, one(root, "a"), snapshot.DefaultLimits, snapshot.RootNotDir, root)
	must(t, os.Remove(root))

	must(t, os.Mkdir(root, 0o755))
	after := observe(t, one(root, "a"))
	equal(t, "missing", after.Missing, []string{"a"})
	if after.Roots[0].Inode == before.Roots[0].Inode {
		t.Error("a replaced root has the same identity")
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	t.Parallel()
	fifo := tree(t, nil)
	must(t, syscall.Mkfifo(fifo+"/config.yaml", 0o644))
	refused(t, one(fifo, "config.yaml"), snapshot.DefaultLimits, snapshot.NotRegular, fifo+"/config.yaml")
	refused(t, one(fifo, "*.yaml"), snapshot.DefaultLimits, snapshot.NotRegular, fifo+"/config.yaml")

	sock := tree(t, nil)
	l, err := net.Listen("unix", sock+"/s")
	must(t, err)
	defer l.Close()
	refused(t, one(sock, "**"), snapshot.DefaultLimits, snapshot.NotRegular, sock+"/s")

	dir := tree(t, map[string]string{"config.yaml/x": ""})
	refused(t, one(dir, "config.yaml"), snapshot.DefaultLimits, snapshot.NotFile, dir+"/config.yaml")
	if look := observe(t, one(dir, "*")); len(look.Members) != 0 {
		t.Errorf("a wildcard captured the directory: %q", names(look))
	}

	if os.Getuid() == 0 {
		dev := tree(t, nil)
		if err := syscall.Mknod(dev+"/d", syscall.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err == nil {
			refused(t, one(dev, "d"), snapshot.DefaultLimits, snapshot.NotRegular, dev+"/d")
		}
	}
}

func TestHardLinks(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	root := dir + "/agent"
	grow(t, dir, map[string]string{"shadow": "secret of root", "agent/own": "own"})
	must(t, os.Chown(root, 1234, 1234))
	must(t, os.Chown(root+"/own", 1234, 1234))
	must(t, os.Link(root+"/own", root+"/own2"))
	observe(t, one(root, "own", "own2"))

	must(t, os.Link(dir+"/shadow", root+"/config.yaml"))
	refused(t, one(root, "config.yaml"), snapshot.DefaultLimits, snapshot.HardLink, root+"/config.yaml")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a": "12345", "b": "12345", "d/c": "1"})
	limits := func(file, set int64, files int) snapshot.Limits {
		return snapshot.Limits{File: file, Set: set, Files: files}
	}
	if _, err := snapshot.Observe(t.Context(), one(root, "**"), limits(5, 11, 4)); err != nil {
		t.Errorf("exactly the limits: %v", err)
	}
	refused(t, one(root, "**"), limits(4, 11, 4), snapshot.FileTooBig, root+"/a")
	refused(t, one(root, "**"), limits(5, 9, 4), snapshot.SetTooBig, root+"/b")
	refused(t, one(root, "**"), limits(5, 11, 3), snapshot.TooMany, root+"/d/c")

	sparse := tree(t, map[string]string{"s": ""})
	must(t, os.Truncate(sparse+"/s", 1<<40))
	refused(t, one(sparse, "s"), snapshot.DefaultLimits, snapshot.FileTooBig, sparse+"/s")

	deep := tree(t, map[string]string{strings.Repeat("d/", 70) + "x": ""})
	refused(t, one(deep, "**"), snapshot.DefaultLimits, snapshot.TooDeep, deep+strings.Repeat("/d", 65))

	many := map[string]string{}
	for i := range 201 {
		many[fmt.Sprint(i)] = ""
	}
	wide := tree(t, many)
	refused(t, one(wide, "*.yaml"), limits(5, 5, 2), snapshot.TooManyHere, wide)
}

func TestUnreadableIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root can read everything")
	}
	root := tree(t, map[string]string{"a": ""})
	must(t, os.Chmod(root+"/a", 0))
	refused(t, one(root, "a"), snapshot.DefaultLimits, snapshot.Unreadable, root+"/a")
	_, err := snapshot.Observe(t.Context(), one(root, "a"), snapshot.DefaultLimits)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the error hides why: %v", err)
	}
}

func TestChangedIsTheYoungestCtime(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"d/a": "", "b": ""})
	ctime := func(name string) int64 { return stat(t, filepath.Join(root, name)).ctime }
	check := func(what string) {
		t.Helper()
		want := slices.Max([]int64{ctime("."), ctime("d"), ctime("d/a"), ctime("b")})
		if got := observe(t, one(root, "d/*", "b")).Changed.UnixNano(); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("at first")
	must(t, os.Chmod(root+"/b", 0o600))
	check("after chmod")
	written := observe(t, one(root, "d/*", "b")).Written
	for old := ctime("d"); ctime("d") == old; { // until the clock's grain lets it show
		must(t, os.WriteFile(root+"/d/unrelated", nil, 0o644))
		must(t, os.Remove(root+"/d/unrelated"))
	}
	check("after a change of the directory that names a member")
	if got := observe(t, one(root, "d/*", "b")).Written; !got.Equal(written) || got.UnixNano() != max(ctime("d/a"), ctime("b")) {
		t.Errorf("no member was written, and Written went from %v to %v", written, got)
	}
}

func TestCancelledLook(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := snapshot.Observe(ctx, one(tree(t, map[string]string{"a": ""}), "a"), snapshot.DefaultLimits); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNeverSettled writes to a file all the time; it is so long that reading it
// takes longer than the coarsest grain of timestamps.
func TestNeverSettled(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a": strings.Repeat("x", 6<<20)})
	f, err := os.OpenFile(root+"/a", os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := byte(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				f.WriteAt([]byte{i}, 0)
			}
		}
	})
	_, err = snapshot.Observe(t.Context(), one(root, "a"), snapshot.DefaultLimits)
	close(stop)
	writer.Wait()
	if !errors.Is(err, snapshot.ErrUnsettled) {
		t.Errorf("got %v, want ErrUnsettled", err)
	}
	observe(t, one(root, "a"))
}
