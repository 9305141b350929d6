package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/atomicfile"
)

// open returns a fresh directory and a Root on it.
func open(t *testing.T) (string, *os.Root) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return dir, root
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names lists dir, so that a test sees a leftover.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWriteFileCreatesAndReplaces(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	for _, tt := range []struct {
		name, data string
		perm       fs.FileMode
	}{
		{"a", "one", 0o644},
		{"a", "", 0o600},
		{"a", "three", 0o666},                // more than the umask lets through
		{"a", "four", 0o755 | fs.ModeSetuid}, // cleared by a write, so set after it
		{"\xff\xfe", "not UTF-8", 0o640},
	} {
		if err := atomicfile.WriteFile(root, tt.name, []byte(tt.data), tt.perm); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(dir, tt.name)); got != tt.data {
			t.Errorf("%q holds %q, want %q", tt.name, got, tt.data)
		}
		info, err := os.Stat(filepath.Join(dir, tt.name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != tt.perm {
			t.Errorf("%q has mode %v, want %v", tt.name, info.Mode(), tt.perm)
		}
	}
	if got := names(t, dir); got != "a \xff\xfe" {
		t.Errorf("directory holds %q", got)
	}
}

func TestReplacingDoesNotFollowALink(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "passwd")
	write(t, outside, "root")
	for verb, do := range map[string]func(*os.Root, string) error{
		"write": func(r *os.Root, name string) error { return atomicfile.WriteFile(r, name, []byte("mine"), 0o600) },
		"link":  func(r *os.Root, name string) error { return atomicfile.Symlink(r, "elsewhere", name) },
	} {
		dir, root := open(t)
		if err := os.Symlink(outside, filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		if err := do(root, "a"); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if target, _ := os.Readlink(filepath.Join(dir, "a")); target == outside {
			t.Errorf("%s left the link in place", verb)
		}
		if got := read(t, outside); got != "root" {
			t.Errorf("%s wrote through the link: %q", verb, got)
		}
	}
}

func TestNothingHappensOutsideTheRoot(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../a", "/a", ".", "", "out/a", "missing/a", "x/../../a"} {
		if err := atomicfile.WriteFile(root, name, nil, 0o600); err == nil {
			t.Errorf("wrote %q", name)
		}
		if err := atomicfile.Symlink(root, "x", name); err == nil {
			t.Errorf("linked %q", name)
		}
		if err := atomicfile.Exchange(root, name, name); err == nil {
			t.Errorf("exchanged %q", name)
		}
	}
	if got := names(t, outside) + names(t, dir); got != "out" {
		t.Errorf("directories hold %q", got)
	}
}

// A directory cannot be renamed over: the same path as any failure of the last
// rename.
func TestFailureLeavesNoTemporaryName(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	if err := os.MkdirAll(filepath.Join(dir, "a/full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteFile(root, "a", []byte("x"), 0o600); err == nil {
		t.Error("replaced a directory by a file")
	}
	if err := atomicfile.Symlink(root, "x", "a"); err == nil {
		t.Error("replaced a directory by a link")
	}
	if got := names(t, dir); got != "a" {
		t.Errorf("directory holds %q", got)
	}
}

func TestReaderSeesOldOrNew(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	old, new := bytes.Repeat([]byte("o"), 1<<16), bytes.Repeat([]byte("n"), 1<<15)
	write(t, filepath.Join(dir, "a"), string(old))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 20 {
			err = errors.Join(err, atomicfile.WriteFile(root, "a", [][]byte{new, old}[i%2], 0o600))
		}
		done <- err
	}()
	for {
		if got := read(t, filepath.Join(dir, "a")); got != string(old) && got != string(new) {
			t.Fatalf("read %d bytes that nobody wrote as a whole", len(got))
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "d/a"), "was a")
	if err := os.Symlink("nowhere", filepath.Join(dir, "d/b")); err != nil {
		t.Fatal(err)
	}
	err := atomicfile.Exchange(root, "d/a", "d/b")
	if errors.Is(err, atomicfile.ErrNoExchange) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "d/b")); got != "was a" {
		t.Errorf("b holds %q", got)
	}
	if target, err := os.Readlink(filepath.Join(dir, "d/a")); target != "nowhere" {
		t.Errorf("a leads to %q, %v", target, err)
	}
	if err := atomicfile.Exchange(root, "d/a", "d/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("exchange with nothing: %v", err)
	}
	if err := atomicfile.Exchange(root, "d/a", "b"); err == nil {
		t.Error("exchanged across directories")
	}
}

func TestMoveDoesNotReplace(t *testing.T) {
	t.Parallel()
	dir, root := open(t)
	other, to := open(t)
	write(t, filepath.Join(dir, "a"), "was a")
	write(t, filepath.Join(other, "b"), "was b")
	if err := atomicfile.Move(root, "a", to, "b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("moved over a file: %v", err)
	}
	if read(t, filepath.Join(dir, "a")) != "was a" || read(t, filepath.Join(other, "b")) != "was b" {
		t.Error("a refused move changed something")
	}
	if err := os.Symlink("nowhere", filepath.Join(other, "c")); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Move(root, "a", to, "c"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("moved over a dangling link: %v", err)
	}
	if err := atomicfile.Move(root, "a", to, "d"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir) + read(t, filepath.Join(other, "d")); got != "was a" {
		t.Errorf("after the move: %q", got)
	}
	if err := atomicfile.Move(to, "c", root, "c"); err != nil {
		t.Fatal(err)
	}
	if target, _ := os.Readlink(filepath.Join(dir, "c")); target != "nowhere" {
		t.Errorf("a moved link leads to %q", target)
	}
	if err := atomicfile.Move(root, "c", to, "../c"); err == nil {
		t.Error("moved out of the directory")
	}
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	_, root := open(t)
	if err := atomicfile.SyncDir(root, "."); err != nil {
		t.Error(err)
	}
	if err := atomicfile.SyncDir(root, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("synced a missing directory: %v", err)
	}
}

func TestIsTemp(t *testing.T) {
	t.Parallel()
	temp := atomicfile.TempName()
	for name, want := range map[string]bool{
		temp:                        true,
		"conf.d/" + temp:            true,
		temp + ".old":               true,
		temp + "/config.yaml":       false,
		strings.ToLower(temp):       false,
		temp + "A":                  false,
		temp[:len(temp)-1]:          false,
		atomicfile.Prefix + "notes": false,
		"config.yaml":               false,
	} {
		if got := atomicfile.IsTemp(name); got != want {
			t.Errorf("IsTemp(%q) = %v", name, got)
		}
	}
}
