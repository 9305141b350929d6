package atomicfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"deadman/internal/atomicfile"
)

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a/b/c")
	for range 2 {
		if err := atomicfile.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 || !info.IsDir() {
			t.Fatalf("%v %v", info, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.MkdirAll(filepath.Join(dir, "file/d"), 0o700); err == nil {
		t.Error("made a directory in a file")
	}
	if os.Geteuid() == 0 {
		return
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o300); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Chmod(closed, 0o700) })
	if err := atomicfile.MkdirAll(filepath.Join(closed, "d"), 0o700); err != nil {
		t.Errorf("in a directory that may be written and not read: %v", err)
	}
}
