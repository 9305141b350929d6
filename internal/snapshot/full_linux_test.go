package snapshot_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"deadman/internal/snapshot"
)

// TestDiskFull needs a file system of its own, small enough to fill.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) }) // A child that another test forks may hold it for a moment.
	f := &fixture{T: t, root: tree(t, map[string]string{"config.yaml": "a: 1\n"}), dir: disk + "/agents/x"}
	f.sets = one(f.root, "**")
	s, err := snapshot.Open(f.dir, "x")
	must(t, err)
	defer s.Close()
	f.store = s
	first := f.save(0)

	f.write(strings.Repeat("x", 300<<10))
	_, err = s.Save(observe(t, f.sets), f.sets, snapshot.Meta{Now: noon})
	var full *snapshot.NoSpaceError
	if !errors.As(err, &full) || full.Hint() == "" || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	equal(t, "stored", f.stored(), []string{first.ID})
	must(t, s.Verify(first.ID))
}
