//go:build !linux

package record_test

import "testing"

func bindReadOnly(t *testing.T, _, _ string) (unmount func()) {
	t.Skip("needs Linux to mount")
	return nil
}

func mountMegabyte(t *testing.T, _ string) { t.Skip("needs Linux to mount") }
