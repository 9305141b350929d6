package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"
)

// hashOf is the config hash as DESIGN defines it, written a second time.
func hashOf(members []snapshot.Member) string {
	var b bytes.Buffer
	for _, m := range members {
		fmt.Fprintf(&b, "%s\x00%s\x00%04o\x00%d:%d\x00%s\n", m.Name(), m.Type, m.Mode, m.UID, m.GID, m.SHA256)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

// sound fails unless everything that m names is beneath the store and a root, and
// what it says of itself holds.
func sound(t *testing.T, m snapshot.Manifest) {
	t.Helper()
	if !filepath.IsLocal(m.ID) || strings.Contains(m.ID, "/") {
		t.Fatalf("the id %q leads elsewhere", m.ID)
	}
	for _, s := range m.Sets {
		if !filepath.IsAbs(s.Root) || strings.Contains(s.Label, "/") || s.Label == ".." {
			t.Fatalf("the set %q at %q", s.Label, s.Root)
		}
	}
	for i, member := range m.Members {
		for _, name := range []string{member.Path, member.Name()} {
			if !filepath.IsLocal(name) || name != path.Clean(name) || name == "." || strings.ContainsRune(name, 0) {
				t.Fatalf("the member %q leads elsewhere", name)
			}
		}
		if strings.ContainsRune(member.Target+member.Followed, 0) || member.Followed != "" && !filepath.IsAbs(member.Followed) {
			t.Fatalf("the member %q leads to %q, %q", member.Name(), member.Target, member.Followed)
		}
		if i > 0 && m.Members[i-1].Name() >= member.Name() {
			t.Fatalf("the members %q and %q are one or out of order", m.Members[i-1].Name(), member.Name())
		}
	}
}

// A manifest with whatever names is refused, or names nothing outside, and is the
// same after it was written and read.
func FuzzManifestNames(f *testing.F) {
	f.Add("", "a/b", "../c", "/d", "file", uint32(0o644), 0)
	f.Add("main", "..", "x\x00", "d", "link", uint32(0o777), -1)
	f.Add("..", "/a", "", "", "dir", uint32(0o755), 5)
	f.Add("a/b", "a//b", "t", "/\x00", "fifo", uint32(0o10000), 1)
	f.Fuzz(func(t *testing.T, label, name, target, followed, kind string, mode uint32, uid int) {
		member := snapshot.Member{
			Set: label, Path: name, Type: snapshot.Type(kind), Mode: mode, UID: uid, Target: target, Followed: followed,
			SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(target))),
		}
		if member.Type == snapshot.Dir {
			member.SHA256 = ""
		}
		m := snapshot.Manifest{
			Version: snapshot.ManifestVersion, ID: "20060102T150405Z-0123abcd", Agent: "a", Created: noon, Seen: noon,
			Sets: []snapshot.Set{{Label: label, Root: "/r"}}, Members: []snapshot.Member{member},
		}
		m.Hash, m.Identity = hashOf(m.Members), hashOf(nil)
		var content bytes.Buffer
		fmt.Fprintf(&content, "%s\x00%s\x00%s\n", member.Name(), member.Type, member.SHA256)
		m.Content = fmt.Sprintf("%x", sha256.Sum256(content.Bytes()))
		// What Encode refuses somebody else may write.
		raw, err := json.Marshal(m)
		must(t, err)
		read, readErr := snapshot.ParseManifest(raw)
		if readErr == nil {
			sound(t, read)
		}
		b, err := m.Encode()
		if (err == nil) != (readErr == nil) && strings.ToValidUTF8(kind, "") == kind {
			t.Fatalf("writing says %v, reading %v", err, readErr)
		}
		if err != nil {
			return
		}
		if again, err := snapshot.ParseManifest(b); err != nil || !cmp.Equal(again, m) {
			t.Fatalf("%v\n%s", err, cmp.Diff(m, again))
		}
	})
}

// Whatever happens to a stored file, the snapshot verifies if and only if the
// bytes are those that were stored.
func FuzzVerify(f *testing.F) {
	root := tree(f, map[string]string{"a": "text\n"})
	dir := f.TempDir()
	store, err := snapshot.Open(dir, "a")
	must(f, err)
	f.Cleanup(func() { store.Close() })
	m, err := store.Save(observe(f, one(root, "a")), one(root, "a"), snapshot.Meta{Now: noon})
	must(f, err)
	f.Add([]byte("text\n"))
	f.Add([]byte("text"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		must(t, os.WriteFile(filepath.Join(dir, "snapshots", m.ID, "files", "a"), b, 0o600))
		if err := store.Verify(m.ID); (err == nil) != (string(b) == "text\n") {
			t.Fatalf("%q: %v", b, err)
		}
	})
}

// matches is what a pattern means, said as plainly as possible.
func matches(pattern, names []string) bool {
	switch {
	case len(pattern) == 0:
		return len(names) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return len(names) > 0
	case pattern[0] == "**":
		return matches(pattern[1:], names) || len(names) > 0 && matches(pattern, names[1:])
	case len(names) == 0:
		return false
	}
	ok, _ := path.Match(pattern[0], names[0])
	return ok && matches(pattern[1:], names[1:])
}

// A path is of a set if and only if a pattern of Files matches it, and no pattern
// of Exclude and Reads does so, nor matches a directory above it.
func FuzzMatches(f *testing.F) {
	for _, s := range [][3]string{
		{"config.yaml", "x", "config.yaml"},
		{"**/*.yaml", "conf.d", "conf.d/a.yaml"},
		{"a/**/z", "*.bak", "a/b/c/z"},
		{"**", "sessions/*", "sessions/1/2"},
		{"[a-z]?.json", "**/b", "a1.json"},
		{`odd\[1\].yaml`, "**", "odd[1].yaml"},
		{"**/**", "a", ".deadman-x/a"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, files, exclude, name string) {
		if snapshot.ValidPattern(files) != nil || snapshot.ValidPattern(exclude) != nil || strings.Count(files+exclude, "**") > 4 || len(name) > 60 {
			return
		}
		names := strings.Split(name, "/")
		clean := filepath.IsLocal(name) && name == path.Clean(name) && name != "." && !strings.ContainsRune(name, 0)
		want := clean && matches(strings.Split(files, "/"), names)
		reads := want && !matches(strings.Split(exclude, "/"), names)
		for i, n := range names {
			base, _ := path.Match(exclude, n)
			if matches(strings.Split(exclude, "/"), names[:i+1]) || !strings.Contains(exclude, "/") && (base || exclude == "**") || strings.HasPrefix(n, atomicfile.Prefix) {
				want = false
			}
			reads = reads && !strings.HasPrefix(n, atomicfile.Prefix)
		}
		if got := (snapshot.Set{Root: "/r", Files: []string{files}, Exclude: []string{exclude}}).Matches(name); got != want {
			t.Errorf("%q without %q matches %q: %v", files, exclude, name, got)
		}
		if got := (snapshot.Set{Root: "/r", Files: []string{files}, Reads: []string{exclude}}).Matches(name); got != reads {
			t.Errorf("%q but %q of another matches %q: %v", files, exclude, name, got)
		}
	})
}
