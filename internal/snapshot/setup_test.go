package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman/internal/snapshot"
)

// noon is when things are saved in these tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// tree makes files beneath a new directory. A name that ends in "/" is a
// directory, a text that starts with "-> " a link.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	grow(t, dir, files)
	return dir
}

func grow(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, path))
		} else if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
		} else {
			must(t, os.WriteFile(path, []byte(text), 0o644))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files to other users")
	}
}

func one(root string, files ...string) []snapshot.Set {
	return []snapshot.Set{{Root: root, Files: files}}
}

func observe(t testing.TB, sets []snapshot.Set) *snapshot.Look {
	t.Helper()
	look, err := snapshot.Observe(t.Context(), sets, snapshot.DefaultLimits)
	must(t, err)
	return look
}

// refused expects Observe to refuse path for this reason, with a hint, and
// within a time that shows that nothing waited on what was planted.
func refused(t *testing.T, sets []snapshot.Set, limits snapshot.Limits, why snapshot.Refusal, path string) {
	t.Helper()
	type result struct {
		look *snapshot.Look
		err  error
	}
	done := make(chan result, 1)
	go func() {
		look, err := snapshot.Observe(context.Background(), sets, limits)
		done <- result{look, err}
	}()
	select {
	case r := <-done:
		var e *snapshot.RefusedError
		if !errors.As(r.err, &e) {
			t.Fatalf("got %v, %v, want a refusal", r.look, r.err)
		}
		if e.Why != why || e.Path != path {
			t.Errorf("refused %q because %q, want %q because %q", e.Path, e.Why, path, why)
		}
		if e.Hint() == "" {
			t.Error("the refusal has no hint")
		}
		if r.look != nil {
			t.Error("a refused look was returned")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Observe waits")
	}
}

func names(look *snapshot.Look) []string {
	var list []string
	for _, m := range look.Members {
		list = append(list, string(m.Type)+" "+m.Name())
	}
	return list
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// inode is what the file system says of a file.
type inode struct {
	number   uint64
	mode     uint32
	uid, gid int
	ctime    int64 // ns
}

func stat(t *testing.T, path string) inode {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return inode{st.Ino, uint32(st.Mode) & 0o7777, int(st.Uid), int(st.Gid), ctime(st)}
}
