package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"deadman/internal/restore"
	"deadman/internal/snapshot"

	"golang.org/x/sys/unix"
)

const nobody = 65534

func TestOwnerModeAndAttributesComeBack(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"d/*"}})
	w.write("home/d/changed", "good")
	w.write("home/d/same", "same")
	w.write("home/d/plain", "good")
	w.link("nowhere", "home/d/link")
	names := []string{"d/changed", "d/same", "d"}
	for i, name := range names {
		if err := unix.Lsetxattr(w.path("home/"+name), "user.deadman", []byte(name), 0); err != nil {
			t.Skip(err)
		}
		w.must(os.Lchown(w.path("home/"+name), 1000+i, 2000+i))
	}
	w.must(os.Lchown(w.path("home/d/link"), 1009, 2009))
	w.chmod("home/d/changed", 0o440|fs.ModeSetuid)
	w.chmod("home/d/same", 0o400)
	w.chmod("home/d", 0o710)
	good, want := w.capture("healthy"), w.tree()
	for _, name := range names {
		w.must(os.Lchown(w.path("home/"+name), 0, 0))
		w.chmod("home/"+name, 0o755)
		w.must(unix.Lsetxattr(w.path("home/"+name), "user.deadman", []byte("bad"), 0))
		w.must(unix.Lsetxattr(w.path("home/"+name), "user.added", []byte("bad"), 0))
	}
	w.must(os.Lchown(w.path("home/d/link"), 0, 0))
	w.write("home/d/changed", "bad")
	w.write("home/d/plain", "bad")
	w.must(unix.Lsetxattr(w.path("home/d/plain"), "user.added", []byte("bad"), 0))
	w.execute(w.plan(good))
	same(t, "tree", w.tree(), want)
	for _, name := range append(names, "d/plain") {
		attrs := make([]byte, 256)
		n, err := unix.Llistxattr(w.path("home/"+name), attrs)
		w.must(err)
		if bytes.Contains(attrs[:n], []byte("user.added")) {
			t.Errorf("%s keeps an attribute that was added", name)
		}
	}
	for _, name := range names {
		value := make([]byte, 64)
		n, err := unix.Lgetxattr(w.path("home/"+name), "user.deadman", value)
		if err != nil || string(value[:n]) != name {
			t.Errorf("%s has attribute %q, %v", name, value[:max(n, 0)], err)
		}
	}
}

// mount mounts for the time of the test, or skips it.
func mount(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// bound makes a world in which config.yaml is a mount point, as it is in a
// container that is given a single file.
func bound(t *testing.T, live, proven string) (*world, snapshot.Manifest) {
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
	w.write("home/config.yaml", "")
	w.write("volume", proven)
	mount(t, w.path("volume"), w.path("home/config.yaml"), "", unix.MS_BIND, "")
	w.write("home/other.yaml", "good")
	good := w.capture("healthy")
	w.write("home/config.yaml", live)
	w.chmod("home/config.yaml", 0o600)
	w.write("home/other.yaml", "bad")
	return w, good
}

func TestMountedFileIsWrittenInPlace(t *testing.T) {
	t.Parallel()
	for _, exchange := range []bool{true, false} {
		for _, tt := range []struct{ live, proven string }{
			{"bad", "a good one, and longer\n"},
			{"a bad one, and longer\n", "good"},
			{"bad", ""},
		} {
			w, good := bound(t, tt.live, tt.proven)
			p := w.plan(good)
			report, err := restore.ExecuteAt(p, w.store, exchange, func(string) {})
			w.must(err)
			if got := w.read("volume"); got != tt.proven {
				t.Errorf("volume holds %q, want %q", got, tt.proven)
			}
			want := []string{"config.yaml"}
			if !exchange {
				want = append(want, "other.yaml")
			}
			same(t, "not atomic", report.NotAtomic, want)
			if info, err := os.Stat(w.path("volume")); err != nil || info.Mode() != 0o644 {
				t.Errorf("mode is %v, %v", info.Mode(), err)
			}
			if strings.Contains(w.tree(), ".deadman-") {
				t.Errorf("something is left:\n%s", w.tree())
			}
		}
	}
}

// Here a crash does leave half a file, and it is not taken for somebody's work.
func TestMountedFileAfterACrash(t *testing.T) {
	t.Parallel()
	for k := 1; ; k++ {
		w, good := bound(t, "model: a bad one\n", "model: the good one\n")
		p := w.plan(good)
		point := crashAt(w, p, true, k)
		if point == "" {
			return
		}
		half := w.read("volume")
		report := w.execute(w.load())
		if got := w.read("volume") + w.read("home/other.yaml"); got != "model: the good one\ngood" {
			t.Errorf("crashed at %s with %q: %q", point, half, got)
		}
		if len(report.NotAtomic) != 1 {
			t.Errorf("crashed at %s: not atomic: %q", point, report.NotAtomic)
		}
	}
}

func TestMountedFileThatSomebodyWrote(t *testing.T) {
	t.Parallel()
	w, good := bound(t, "bad", "good")
	p := w.plan(good)
	if point := crashAt(w, p, true, 1); point == "" {
		t.Fatal("no crash")
	}
	w.write("home/config.yaml", "theirs")
	_, err := restore.Execute(context.Background(), w.load(), w.store)
	var changed *restore.ErrChangedSinceKeep
	if !errors.As(err, &changed) || w.read("volume") != "theirs" {
		t.Errorf("volume holds %q, error is %v", w.read("volume"), err)
	}
}

func TestFullDiskLeavesTheLiveFiles(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"**"}})
	mount(t, "tmpfs", w.path("home"), "tmpfs", 0, "size=1m,mode=755")
	w.write("home/a.yaml", "good")
	w.write("home/b.yaml", strings.Repeat("good", 20_000))
	w.write("home/d/e/c.yaml", "good")
	good, want := w.capture("healthy"), w.tree()
	w.write("home/a.yaml", "bad")
	w.write("home/b.yaml", "bad")
	w.remove("home/d")
	p := w.plan(good)
	// Room for a.yaml, not for b.yaml.
	f, err := os.Create(w.path("home/filler"))
	w.must(err)
	var st unix.Statfs_t
	w.must(unix.Statfs(w.path("home"), &st))
	w.must(unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bfree-2)*int64(st.Bsize)))
	// The filler is no part of the config.
	w.sets[0].Exclude, p.Sets[0].Exclude = []string{"filler"}, []string{"filler"}
	before := w.tree()
	_, err = restore.Execute(context.Background(), p, w.store)
	var blocked *restore.BlockedError
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &blocked) || blocked.Name != "b.yaml" || blocked.Hint() == "" {
		t.Errorf("error is %v", err)
	}
	if after := w.tree(); after != before {
		t.Error("a full disk changed the live files, or left something")
	}
	w.must(f.Close())
	w.remove("home/filler")
	w.execute(w.load())
	same(t, "tree", w.tree(), want)
}

// In place means that the old bytes are the only space there is.
func TestFullDiskUnderAMountedFileLeavesIt(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
	w.must(os.Mkdir(w.path("volumes"), 0o755))
	mount(t, "tmpfs", w.path("volumes"), "tmpfs", 0, "size=64k")
	w.write("home/config.yaml", strings.Repeat("good", 30_000))
	w.write("home/other.yaml", "good")
	good := w.capture("healthy")
	w.write("volumes/v", "a bad one")
	w.write("home/other.yaml", "bad")
	mount(t, w.path("volumes/v"), w.path("home/config.yaml"), "", unix.MS_BIND, "")
	_, err := restore.Execute(context.Background(), w.plan(good), w.store)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "config.yaml") {
		t.Errorf("error is %v", err)
	}
	if got := w.read("volumes/v"); got != "a bad one" {
		t.Errorf("the file holds %d bytes", len(got))
	}
}

// A change of owner takes a file's capabilities away.
func TestCapabilitiesSurviveTheOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"tool"}})
	w.write("home/tool", "#!\n")
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // net_bind_service
	own := func(uid int) {
		w.must(os.Lchown(w.path("home/tool"), uid, uid))
		if err := unix.Lsetxattr(w.path("home/tool"), "security.capability", capability, 0); err != nil {
			t.Skip(err)
		}
	}
	own(1000)
	good := w.capture("healthy")
	own(0)
	w.execute(w.plan(good))
	value := make([]byte, 64)
	if n, err := unix.Lgetxattr(w.path("home/tool"), "security.capability", value); err != nil || !bytes.Equal(value[:n], capability) {
		t.Errorf("capability is %v, %v", value[:max(n, 0)], err)
	}
}

func TestImmutableFileIsNamedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
	w.write("home/a.yaml", "good")
	w.write("home/b.yaml", "good")
	good, want := w.capture("healthy"), w.tree()
	w.write("home/a.yaml", "bad")
	w.write("home/b.yaml", "bad")
	p := w.plan(good)
	if out, err := exec.Command("chattr", "+i", w.path("home/b.yaml")).CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	before := w.tree()
	_, err := restore.Execute(context.Background(), p, w.store)
	w.must(exec.Command("chattr", "-i", w.path("home/b.yaml")).Run())
	var blocked *restore.BlockedError
	if !errors.As(err, &blocked) || blocked.Name != "b.yaml" || !strings.Contains(blocked.Hint(), "chattr") {
		t.Errorf("error is %v", err)
	}
	same(t, "tree", w.tree(), before)
	w.execute(p)
	same(t, "tree", w.tree(), want)
}

func TestReadOnlyFileSystemIsNamedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w, good, _ := five(t)
	p := w.plan(good)
	mount(t, w.path("tools"), w.path("tools"), "", unix.MS_BIND, "")
	if err := unix.Mount("", w.path("tools"), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	before := w.tree()
	_, err := restore.Execute(context.Background(), p, w.store)
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "tools/") {
		t.Errorf("error is %v", err)
	}
	same(t, "tree", w.tree(), before)
}

// A directory that takes no new file, with a file that may be written.
func TestFileInAReadOnlyDirectoryIsWrittenInPlace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"config.yaml"}})
	w.write("home/config.yaml", "good")
	good, want := w.capture("healthy"), ""
	w.write("home/config.yaml", "a bad one")
	w.chmod("home", 0o555)
	t.Cleanup(func() { w.chmod("home", 0o755) })
	want = strings.Replace(w.tree(), "a bad one", "good", 1)
	report := w.execute(w.plan(good))
	same(t, "tree", w.tree(), want)
	same(t, "not atomic", report.NotAtomic, []string{"config.yaml"})
}

func TestOwnerThatCannotBeGivenIsNamedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may give files away")
	}
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*.yaml"}})
	w.write("home/a.yaml", "good")
	w.write("home/b.yaml", "good")
	good := w.capture("healthy")
	for i := range good.Members {
		good.Members[i].UID = 1 + i // as if root had captured it
	}
	w.write("home/a.yaml", "bad")
	w.write("home/b.yaml", "bad")
	before := w.tree()
	_, err := restore.Execute(context.Background(), w.plan(good), w.store)
	var blocked *restore.BlockedError
	if !errors.As(err, &blocked) || blocked.Name != "a.yaml" || !strings.Contains(blocked.Hint(), "root") {
		t.Errorf("error is %v", err)
	}
	same(t, "tree", w.tree(), before)
}

// The same as a user who may not do everything. What crashes leave does not
// depend on the user.
func TestAsNobody(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := fastDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// By this name, because the directory that it was built in is ours.
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.skip=Crash|AnyTree")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS: TestFileInAReadOnlyDirectoryIsWrittenInPlace")) {
		t.Errorf("did not run as nobody:\n%s", out)
	}
}
