package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// fixture is an agent with one config file and a store for it.
type fixture struct {
	*testing.T
	root, dir string
	sets      []snapshot.Set
	store     *snapshot.Store
}

func newFixture(t *testing.T) *fixture {
	root := tree(t, map[string]string{"config.yaml": "a: 1\n"})
	f := &fixture{T: t, root: root, dir: t.TempDir() + "/agents/bezalel", sets: one(root, "**")}
	f.store = f.open()
	return f
}

func (f *fixture) open() *snapshot.Store {
	f.Helper()
	s, err := snapshot.Open(f.dir, "bezalel")
	must(f, err)
	f.Cleanup(func() { s.Close() })
	return s
}

// save captures the config and stores it, n minutes after noon.
func (f *fixture) save(n int) snapshot.Manifest {
	f.Helper()
	m, err := f.store.Save(observe(f, f.sets), f.sets, snapshot.Meta{
		Now: noon.Add(time.Duration(n) * time.Minute), AgentVersion: "v1", Evidence: "healthy", Standing: deadman.Candidate,
	})
	must(f, err)
	return m
}

func (f *fixture) write(text string) {
	f.Helper()
	must(f, os.WriteFile(f.root+"/config.yaml", []byte(text), 0o644))
}

func (f *fixture) load(id string) snapshot.Manifest {
	f.Helper()
	m, err := f.store.Load(id)
	must(f, err)
	return m
}

// stored returns all names in snapshots/.
func (f *fixture) stored() []string {
	f.Helper()
	entries, err := os.ReadDir(f.dir + "/snapshots")
	must(f, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grow(t, f.root, map[string]string{"d/e/b": "two", "d/l": "-> e/b"})
	must(t, os.Chmod(f.root+"/d/e/b", 0o444))
	look := observe(t, f.sets)
	m := f.save(5)
	if want := "20261124T120500Z-" + look.Hash[:8]; m.ID != want {
		t.Errorf("id is %s, want %s", m.ID, want)
	}
	want := snapshot.Manifest{
		Version: 1, ID: m.ID, Agent: "bezalel", Created: noon.Add(5 * time.Minute), Seen: noon.Add(5 * time.Minute),
		Hash: look.Hash, Content: look.Content, Identity: look.Identity, AgentVersion: "v1", Evidence: "healthy",
		Standing: deadman.Candidate, Sets: f.sets, Roots: look.Roots, Members: look.Members,
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, f.load(m.ID)); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if b, err := f.store.ReadFile(m.ID, "d/e/b"); err != nil || string(b) != "two" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := f.store.ReadFile(m.ID, "d/l"); err == nil {
		t.Error("a link was read as a file")
	}
	must(t, f.store.Verify(m.ID))

	// A person with cp is served by files of the same tree, for root only.
	must(t, filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		must(t, err)
		mode := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir() || e.Name() == "restore.sh"]
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
		}
		return nil
	}))
	files := f.dir + "/snapshots/" + m.ID + "/files"
	if b, err := os.ReadFile(files + "/d/e/b"); err != nil || string(b) != "two" {
		t.Errorf("stored %q, %v", b, err)
	}
	if _, err := os.Lstat(files + "/d/l"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link is in the store: %v", err)
	}
	if b, _ := os.ReadFile(f.dir + "/snapshots/" + m.ID + "/manifest.json"); bytes.Contains(b, []byte("a: 1")) {
		t.Error("the manifest holds a value of the config")
	}
}

func TestSameBytesAreStoredOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.save(0)
	must(t, f.store.Mark(first.ID, snapshot.Change{Time: noon, Standing: deadman.Bad, Reason: "cured", Incident: "i1"}))
	f.write("a: 2\n")
	second := f.save(1)
	f.write("a: 1\n")
	again := f.save(2)
	if again.ID != first.ID || second.ID == first.ID {
		t.Fatalf("ids %s, %s, %s", first.ID, second.ID, again.ID)
	}
	if again.Standing != deadman.Bad || len(again.History) != 1 || !again.Created.Equal(noon) || !again.Seen.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("saved again: %+v", again)
	}
	if diff := cmp.Diff(first.Members, again.Members); diff != "" {
		t.Errorf("the evidence of the first capture has changed:\n%s", diff)
	}
	if diff := cmp.Diff(again, f.load(first.ID)); diff != "" {
		t.Errorf("stored and returned differ:\n%s", diff)
	}
	if got := f.stored(); len(got) != 2 {
		t.Errorf("stored %q", got)
	}
}

func TestSavingAgainKnowsTodaysPatterns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.save(0)
	f.sets = []snapshot.Set{{Root: f.root, Files: []string{"*.yaml", "new"}, Preserve: []document.Key{{File: "config.yaml", Path: "a"}}}}
	again := f.save(1)
	if again.ID != first.ID || again.Identity == first.Identity {
		t.Errorf("id %s → %s, identity %s → %s", first.ID, again.ID, first.Identity, again.Identity)
	}
	if diff := cmp.Diff(f.sets, f.load(first.ID).Sets); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	if got, err := f.store.IdentityOf(first, f.sets); err != nil || got != again.Identity {
		t.Errorf("identity under today's keys is %s, %v, want %s", got, err, again.Identity)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grow(t, f.root, map[string]string{"d/b": "two"})
	m := f.save(0)
	files := f.dir + "/snapshots/" + m.ID + "/files"
	must(t, os.WriteFile(files+"/config.yaml", []byte("a: 7\n"), 0o600))
	must(t, os.RemoveAll(files+"/d"))
	err := f.store.Verify(m.ID)
	if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), `"config.yaml"`) || !strings.Contains(err.Error(), `"d/b"`) {
		t.Errorf("verify: %v", err)
	}
	if _, err := f.store.ReadFile(m.ID, "config.yaml"); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	// The same bytes seen live again heal it.
	if again := f.save(1); again.ID != m.ID {
		t.Errorf("saved as %s, want %s", again.ID, m.ID)
	}
	must(t, f.store.Verify(m.ID))
}

func TestLoadByPrefix(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.save(0)
	f.write("a: 2\n")
	b := f.save(60)
	for prefix, want := range map[string]string{a.ID: a.ID, "20261124T12": a.ID, "20261124T13": b.ID} {
		if m, err := f.store.Load(prefix); err != nil || m.ID != want {
			t.Errorf("%q: %s, %v", prefix, m.ID, err)
		}
	}
	if _, err := f.store.Load("2026"); err == nil || !strings.Contains(err.Error(), a.ID) || !strings.Contains(err.Error(), b.ID) {
		t.Errorf("ambiguous: %v", err)
	}
	for _, id := range []string{"", "2027", "../" + a.ID, "."} {
		if m, err := f.store.Load(id); err == nil {
			t.Errorf("%q: %s", id, m.ID)
		}
	}
	if _, err := f.store.Load("2027"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestIDsAreUnique(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.save(0)
	// The same second and the same hash again, because the first is broken.
	must(t, os.WriteFile(f.dir+"/snapshots/"+m.ID+"/manifest.json", []byte("{"), 0o600))
	again := f.save(0)
	if again.ID != m.ID+"-2" {
		t.Errorf("id is %s", again.ID)
	}
	if got, ok, err := f.store.ByHash(m.Hash); err != nil || !ok || got.ID != again.ID {
		t.Errorf("by hash: %s, %v, %v", got.ID, ok, err)
	}
	if _, err := f.store.Load(m.ID); err == nil {
		t.Error("the broken one was loaded")
	}
}

func TestListSurvivesABrokenOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.save(0)
	f.write("a: 2\n")
	b := f.save(1)
	f.write("a: 3\n")
	c := f.save(2)
	must(t, os.Rename(f.dir+"/snapshots/"+b.ID, f.dir+"/snapshots/20200101T000000Z-00000000"))
	must(t, os.WriteFile(f.dir+"/snapshots/notes.txt", nil, 0o600))
	list, err := f.store.List()
	if err == nil || !strings.Contains(err.Error(), "20200101T000000Z-00000000") {
		t.Errorf("error is %v", err)
	}
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	equal(t, "list", ids, []string{c.ID, a.ID})
	same, _ := f.store.ByIdentity(a.Identity)
	if len(same) != 1 || same[0].ID != a.ID {
		t.Errorf("by identity: %v", same)
	}
}

func TestUnfinishedIsSweptBySaveAndNotByOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grow(t, f.dir, map[string]string{"snapshots/.tmp-20261124T115900Z-00000000/files/config.yaml": "half"})
	other := f.open()
	if len(f.stored()) != 1 {
		t.Error("Open has swept what another process may be writing")
	}
	if list, err := other.List(); err != nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	m := f.save(0)
	equal(t, "stored", f.stored(), []string{m.ID})
}

func TestRetainAndRemove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []string
	for i := range 6 {
		f.write(fmt.Sprintf("a: %d\n", i))
		ids = append(ids, f.save(i*20).ID)
	}
	must(t, f.store.SetKnownGood(ids[0], true))
	plan, err := f.store.Retain(snapshot.Retention{Newest: 3}, []string{ids[1]})
	must(t, err)
	var got []string
	for _, v := range plan {
		got = append(got, string(v.Reason))
	}
	equal(t, "plan", got, []string{"latest", "previous", "newest", "old", "needed", "known-good"})
	if len(f.stored()) != 6 {
		t.Error("a plan has removed something")
	}
	must(t, f.store.Remove(plan))
	must(t, f.store.Remove(plan))
	equal(t, "stored", f.stored(), slices.Concat(ids[:2], ids[3:]))

	// What became the known good, or was pinned, since the plan stays.
	plan = []snapshot.Verdict{{ID: ids[0]}, {ID: ids[1]}, {ID: ids[3]}, {ID: "../lock"}}
	must(t, f.store.Pin(ids[1], true))
	must(t, f.store.Remove(plan))
	equal(t, "stored", f.stored(), []string{ids[0], ids[1], ids[4], ids[5]})
}

func TestReadersDuringWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.save(0)
	must(t, f.store.SetKnownGood(first.ID, true))
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		s := f.open()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.List(); err != nil {
				t.Errorf("list: %v", err)
			}
			if _, ok, err := s.KnownGood(); !ok || err != nil {
				t.Errorf("known good: %v, %v", ok, err)
			}
		}
	})
	for i := range 10 {
		f.write(fmt.Sprintf("a: %d\n", i+2))
		id := f.save(i).ID
		must(t, f.store.SetKnownGood(id, i%2 == 0))
		plan, err := f.store.Retain(snapshot.Retention{Newest: 2}, nil)
		must(t, err)
		must(t, f.store.Remove(plan))
	}
	close(stop)
	reader.Wait()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, agent := range []string{"", ".", "..", "a/b"} {
		if _, err := snapshot.Open(t.TempDir(), agent); err == nil {
			t.Errorf("%q is accepted", agent)
		}
	}
	file := tree(t, map[string]string{"x": ""}) + "/x"
	if _, err := snapshot.Open(file, "a"); err == nil {
		t.Error("a file is accepted as a store")
	}
}
