package record_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// bindReadOnly shows dir at view, read-only, until the test ends or the returned
// function is called.
func bindReadOnly(t *testing.T, dir, view string) (unmount func()) {
	t.Helper()
	mount(t, dir, view, "", unix.MS_BIND, "")
	if err := unix.Mount("", view, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return func() { unix.Unmount(view, unix.MNT_DETACH) }
}

// mountMegabyte puts an empty file system of that size at dir.
func mountMegabyte(t *testing.T, dir string) {
	t.Helper()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=1m")
}

func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		t.Skip("cannot mount:", err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}
