package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// fullManifest is one that was really saved, with every field set.
func fullManifest(t testing.TB) snapshot.Manifest {
	root := oddTree(t)
	must(t, os.Symlink("to\xffwhere", root+"/link"))
	sets := []snapshot.Set{{
		Label: "main", Root: root, Files: []string{"**"}, Exclude: []string{"*.bak"}, Reads: []string{"r"}, Follow: []string{"/srv"},
		Preserve: []document.Key{{File: "config.yaml", Path: "onboarding.seen"}}, Formats: map[string]document.Format{"x.conf": document.YAML},
	}}
	s, err := snapshot.Open(t.TempDir(), "a")
	must(t, err)
	defer s.Close()
	m, err := s.Save(observe(t, sets), sets, snapshot.Meta{Now: noon, AgentVersion: "v1", Evidence: "keep"})
	must(t, err)
	m.Provisional, m.Pinned, m.Cured = true, true, 2
	m.History = []snapshot.Change{{Time: noon, Standing: deadman.Bad, Reason: "cured", Incident: "i", AgentVersion: "v"}}
	m.Proofs = []snapshot.Proof{{Time: noon, AgentVersion: "v", Evidence: "e", Process: deadman.Process{PID: 1, Start: time.Second, Boot: "b"}}}
	return m
}

func TestManifestComesBack(t *testing.T) {
	t.Parallel()
	m := fullManifest(t)
	b, err := m.Encode()
	must(t, err)
	got, err := snapshot.ParseManifest(b)
	must(t, err)
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !json.Valid(b) || !bytes.Contains(b, []byte(`{
        "base64": "`)) {
		t.Errorf("a name that is not UTF-8 is not encoded:\n%s", b)
	}
}

func TestManifestIsNotTrusted(t *testing.T) {
	t.Parallel()
	m := fullManifest(t)
	b, err := m.Encode()
	must(t, err)
	spoil := func(what, old, new string) {
		t.Helper()
		bad := strings.Replace(string(b), old, new, 1)
		if bad == string(b) {
			t.Fatalf("%s: nothing to spoil", what)
		}
		if got, err := snapshot.ParseManifest([]byte(bad)); err == nil || !cmp.Equal(got, snapshot.Manifest{}) {
			t.Errorf("%s is accepted: %v", what, err)
		}
	}
	spoil("another version", `"version": 1`, `"version": 2`)
	spoil("another id", `"id": "`, `"id": "../`)
	spoil("another mode", `"mode": 420`, `"mode": 511`)
	spoil("an impossible mode", `"mode": 420`, `"mode": 65535`)
	spoil("another path", `"path": "-rf"`, `"path": "-rm"`)
	spoil("a path that leads out", `"path": "-rf"`, `"path": "../rf"`)
	spoil("a type", `"type": "file"`, `"type": "fifo"`)
	spoil("an unknown label", `"set": "main"`, `"set": "other"`)
	spoil("a relative root", `"root": "/`, `"root": "`)
	spoil("a standing", `"standing": "candidate"`, `"standing": "best"`)
	spoil("half of it", "}", "")
	if got, err := snapshot.ParseManifest(nil); err == nil || !cmp.Equal(got, snapshot.Manifest{}) {
		t.Errorf("nothing is accepted: %v", err)
	}
	later := strings.Replace(string(b), `"version": 1`, `"version": 1, "later": true`, 1)
	if _, err := snapshot.ParseManifest([]byte(later)); err != nil {
		t.Errorf("a field of a later program makes it unreadable: %v", err)
	}
	m.Members[0].Mode++
	if _, err := m.Encode(); err == nil {
		t.Error("a manifest was written that cannot be read")
	}
}

// FuzzManifest: a failed parse returns nothing; what was parsed prints to
// something that parses to the same and prints the same. The seeds have few
// members or none: a hash over many rejects nearly every mutation.
func FuzzManifest(f *testing.F) {
	m := fullManifest(f)
	m.Members = nil
	empty := fmt.Sprintf("%x", sha256.Sum256(nil))
	m.Hash, m.Content = empty, empty
	b, err := m.Encode()
	must(f, err)
	f.Add(b)
	root := tree(f, map[string]string{"a": "-> b"})
	s, err := snapshot.Open(f.TempDir(), "a")
	must(f, err)
	defer s.Close()
	m, err = s.Save(observe(f, one(root, "a")), one(root, "a"), snapshot.Meta{Now: noon})
	must(f, err)
	b, err = m.Encode()
	must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := snapshot.ParseManifest(b)
		if err != nil {
			if !cmp.Equal(m, snapshot.Manifest{}) {
				t.Fatalf("a failed parse returned %+v", m)
			}
			return
		}
		sound(t, m)
		if m.Hash != hashOf(m.Members) {
			t.Fatalf("a hash of %d members is accepted that is not theirs", len(m.Members))
		}
		printed, err := m.Encode()
		if err != nil {
			t.Fatalf("cannot print what was parsed: %v", err)
		}
		again, err := snapshot.ParseManifest(printed)
		if err != nil {
			t.Fatalf("cannot parse what was printed: %v", err)
		}
		reprinted, err := again.Encode()
		if err != nil || !bytes.Equal(printed, reprinted) {
			t.Fatalf("print ∘ parse is not the identity: %v\n%s\n%s", err, printed, reprinted)
		}
	})
}

// FuzzMember: whatever bytes a name or a link has, they come back from JSON.
func FuzzMember(f *testing.F) {
	f.Add("main", "a/b", "../c", "/d")
	for _, name := range odd {
		f.Add("", name, name, "/"+name)
	}
	f.Fuzz(func(t *testing.T, set, path, target, followed string) {
		m := snapshot.Member{Set: set, Path: path, Target: target, Followed: followed}
		b, err := json.Marshal(m)
		must(t, err)
		var got snapshot.Member
		must(t, json.Unmarshal(b, &got))
		if !cmp.Equal(m, got) {
			t.Errorf("%+v became %+v by way of %s", m, got, b)
		}
	})
}
