package snapshot_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestXattrs(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"d/a": "x", "d/b": "y"})
	err := unix.Setxattr(root+"/d/a", "user.note", bytes.Repeat([]byte{0, 1}, 300), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of the temporary directory has no user attributes")
	}
	must(t, err)
	must(t, unix.Setxattr(root+"/d", "user.empty", nil, 0))
	look := observe(t, one(root, "**"))
	a, _ := look.Member("d/a")
	if got := a.Xattrs["user.note"]; !bytes.Equal(got, bytes.Repeat([]byte{0, 1}, 300)) {
		t.Errorf("the attribute has %d bytes", len(got))
	}
	d, _ := look.Member("d")
	if _, ok := d.Xattrs["user.empty"]; !ok || len(d.Xattrs) != 1 {
		t.Errorf("the directory has %v", d.Xattrs)
	}
	if b, _ := look.Member("d/b"); b.Xattrs != nil {
		t.Errorf("d/b has %v", b.Xattrs)
	}
}

func TestRestoreScriptRestoresAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	err := unix.Setxattr(f.root+"/config.yaml", "user.note", []byte("it's"), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of the temporary directory has no user attributes")
	}
	must(t, err)
	m := f.save(0)
	runScript(t, f, m.ID, func() { must(t, os.Remove(f.root+"/config.yaml")) }, func(output string, err error) {
		must(t, err)
		if _, err := exec.LookPath("setfattr"); err != nil {
			if !strings.Contains(output, "setfattr -n user.note -v 0x69742773") {
				t.Errorf("without setfattr nobody is told what to do: %s", output)
			}
			return
		}
		buf := make([]byte, 16)
		n, err := unix.Getxattr(f.root+"/config.yaml", "user.note", buf)
		if err != nil || !bytes.Equal(buf[:n], []byte("it's")) {
			t.Errorf("the attribute is %q, %v; %s", buf[:max(n, 0)], err, output)
		}
	})
}
