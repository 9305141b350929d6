package powerloss_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	. "deadman/internal/simtest/powerloss"
)

// Inodes of the tests.
const (
	dir Inode = iota + 2
	old
	fresh
)

func file(text string) *Node { return &Node{Mode: syscall.S_IFREG | 0o600, Data: []byte(text)} }

func write(i Inode, text string) Op {
	return Op{Kind: OpWrite, Text: "write " + text, Inode: i, Data: []byte(text)}
}

func create(in Inode, name string, i Inode, n *Node) Op {
	return Op{Kind: OpNames, Text: "create " + name, Inode: i, Born: n, Names: []Name{{in, name, i}}}
}

func rename(from Inode, a string, to Inode, b string, i Inode) Op {
	return Op{Kind: OpNames, Text: "rename " + a + " to " + b, Names: []Name{{from, a, 0}, {to, b, i}}}
}

func fsync(i Inode) Op { return Op{Kind: OpSync, Inode: i} }

// text is what a disk holds at a path: "-" for nothing.
func text(d *Disk, path string) string {
	n := d.At(path)
	if n == nil {
		return "-"
	}
	return strings.ReplaceAll(string(n.Data), "\x00", "0")
}

// seen is what a path can hold when the power goes after all of ops.
func seen(ops []Op, path string) []string {
	h := History{Begin: NewDisk(), Ops: ops}
	var all []string
	h.Losses(func(k int, _ *Op) bool { return k == len(ops) }, func(l Loss) bool {
		all = append(all, text(l.Disk, path))
		return true
	})
	slices.Sort(all)
	return slices.Compact(all)
}

func TestLosses(t *testing.T) {
	t.Parallel()
	replaced := func(ops ...Op) []Op {
		return append([]Op{create(Root, "f", old, file("old")), {Kind: OpSyncAll}}, ops...)
	}
	for _, tt := range []struct {
		name string
		ops  []Op
		path string
		want []string
	}{
		{"nothing is synced", []Op{create(Root, "f", fresh, file("")), write(fresh, "news")}, "f", []string{"", "-", "0000", "ne", "news"}},
		{"the bytes are, the name is not", []Op{create(Root, "f", fresh, file("")), write(fresh, "news"), fsync(fresh)}, "f", []string{"-", "news"}},
		{"the name is, the bytes are not", []Op{create(Root, "f", fresh, file("")), write(fresh, "news"), fsync(Root)}, "f", []string{"", "0000", "ne", "news"}},
		{"both are", []Op{create(Root, "f", fresh, file("")), write(fresh, "news"), fsync(fresh), fsync(Root)}, "f", []string{"news"}},
		{"a sync is of what was before", []Op{create(Root, "f", fresh, file("")), fsync(Root), fsync(fresh), write(fresh, "news")}, "f", []string{"", "0000", "ne", "news"}},
		{
			"replaced as it should be",
			replaced(create(Root, "t", fresh, file("")), write(fresh, "news"), fsync(fresh), rename(Root, "t", Root, "f", fresh), fsync(Root)),
			"f",
			[]string{"news"},
		},
		{
			"replaced, the directory not synced",
			replaced(create(Root, "t", fresh, file("")), write(fresh, "news"), fsync(fresh), rename(Root, "t", Root, "f", fresh)),
			"f",
			[]string{"news", "old"},
		},
		{
			"replaced, the file not synced",
			replaced(create(Root, "t", fresh, file("")), write(fresh, "news"), rename(Root, "t", Root, "f", fresh), fsync(Root)),
			"f",
			[]string{"", "0000", "ne", "news"},
		},
		{
			"a directory's name is not its own to sync",
			[]Op{create(Root, "d", dir, &Node{Mode: syscall.S_IFDIR | 0o700}), create(dir, "f", fresh, file("x")), fsync(dir)},
			"d/f",
			[]string{"-", "x"},
		},
		{
			"from one directory to another takes both",
			[]Op{
				create(Root, "d", dir, &Node{Mode: syscall.S_IFDIR | 0o700}),
				create(Root, "f", fresh, file("x")),
				{Kind: OpSyncAll},
				rename(Root, "f", dir, "g", fresh), fsync(dir),
			},
			"d/g",
			[]string{"-", "x"},
		},
		{"a shorter file", replaced(Op{Kind: OpTruncate, Text: "truncate", Inode: old, Size: 1}), "f", []string{"o", "old"}},
	} {
		if got := seen(tt.ops, tt.path); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s can be %q, want %q", tt.name, tt.path, got, tt.want)
		}
	}
}

// TestReordered: each operation that was not synced may be the only one that is
// there, and the only one that is not.
func TestReordered(t *testing.T) {
	t.Parallel()
	h := History{Begin: NewDisk(), Ops: []Op{
		create(Root, "a", old, file("")), create(Root, "b", fresh, file("")), create(Root, "c", dir, file("")),
	}}
	var got []string
	n := h.Losses(nil, func(l Loss) bool {
		if l.Point == 3 {
			var there string
			for _, name := range []string{"a", "b", "c"} {
				if l.Disk.At(name) != nil {
					there += name
				}
			}
			got = append(got, there)
		}
		return true
	})
	slices.Sort(got)
	if got = slices.Compact(got); n != 4 || !slices.Equal(got, []string{"", "a", "ab", "abc", "ac", "b", "bc", "c"}) {
		t.Errorf("%d points, at the last one %q", n, got)
	}
}

// TestLateSync: what becomes durable after something younger is where it belongs
// all the same.
func TestLateSync(t *testing.T) {
	t.Parallel()
	h := History{Begin: NewDisk(), Ops: []Op{
		create(Root, "d", dir, &Node{Mode: syscall.S_IFDIR | 0o700}),
		create(Root, "f", fresh, file("x")),
		{Kind: OpSyncAll},
		rename(Root, "f", dir, "f", fresh), // waits for both
		{Kind: OpNames, Text: "remove f", Names: []Name{{dir, "f", 0}}},
		fsync(dir), // the removal, and half of the rename
		fsync(Root),
	}}
	h.Losses(nil, func(l Loss) bool {
		if l.Point == len(h.Ops) && (l.Disk.At("d/f") != nil || l.Disk.At("f") != nil) {
			t.Errorf("%s: what was removed is there:\n%s", l.What, Difference(NewDisk(), l.Disk))
		}
		return true
	})
}

// TestUnnamed: what is in a directory without a name is found once it has one.
func TestUnnamed(t *testing.T) {
	t.Parallel()
	h := History{Begin: NewDisk(), Ops: []Op{
		create(Root, "d", dir, &Node{Mode: syscall.S_IFDIR | 0o700}),
		create(dir, "f", fresh, file("x")),
		create(dir, "g", old, file("y")),
		fsync(fresh), fsync(dir), fsync(old),
	}}
	h.Losses(nil, func(l Loss) bool {
		if l.Point != len(h.Ops) {
			return true
		}
		lost := strings.Contains(l.What, "all that") || strings.Contains(l.What, "without the names") || strings.HasPrefix(l.What, "all but")
		if want := map[bool]string{true: "-", false: "x"}[lost]; text(l.Disk, "d/f") != want {
			t.Errorf("%s: %q, want %q", l.What, text(l.Disk, "d/f"), want)
		}
		return true
	})
}

func TestWriteDisk(t *testing.T) {
	t.Parallel()
	h := History{Begin: NewDisk(), Ops: []Op{
		create(Root, "d", dir, &Node{Mode: syscall.S_IFDIR | 0o500, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}),
		create(dir, "f", fresh, &Node{Mode: syscall.S_IFREG | 0o640, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}),
		write(fresh, "news"),
		{Kind: OpNames, Text: "link", Names: []Name{{dir, "g", fresh}}},
		create(dir, "l", old, &Node{Mode: syscall.S_IFLNK | 0o777, Target: "f", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}),
	}}
	there := t.TempDir()
	if err := h.After(len(h.Ops)).Write(there, "d", "absent"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(there, "d"), 0o700) })
	for _, name := range []string{"f", "g", "l"} {
		if got, err := os.ReadFile(filepath.Join(there, "d", name)); err != nil || string(got) != "news" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	a, errA := os.Stat(filepath.Join(there, "d/f"))
	b, errB := os.Stat(filepath.Join(there, "d/g"))
	if errA != nil || errB != nil || !os.SameFile(a, b) || a.Mode().Perm() != 0o640 {
		t.Errorf("f and g: %v %v %v %v", a, errA, b, errB)
	}
	if info, err := os.Stat(filepath.Join(there, "d")); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("d: %v %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(there, "absent")); err == nil {
		t.Error("what was not there is there")
	}
}
