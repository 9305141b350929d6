package snapshot_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman"
	"deadman/internal/snapshot"
)

func TestKnownGood(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if m, ok, err := f.store.KnownGood(); ok || err != nil {
		t.Errorf("before there is one: %s, %v, %v", m.ID, ok, err)
	}
	a := f.save(0)
	must(t, f.store.SetKnownGood(a.ID, true))
	link := f.dir + "/last-known-good"
	if target, err := os.Readlink(link); err != nil || target != "snapshots/"+a.ID+"/files" {
		t.Errorf("the link is %q, %v", target, err)
	}
	if b, err := os.ReadFile(link + "/config.yaml"); err != nil || string(b) != "a: 1\n" {
		t.Errorf("through the link: %q, %v", b, err)
	}
	if m, ok, err := f.store.KnownGood(); !ok || err != nil || m.ID != a.ID || !m.Provisional {
		t.Errorf("first: %+v, %v, %v", m, ok, err)
	}
	f.write("a: 2\n")
	b := f.save(1)
	must(t, f.store.Prove(b.ID, snapshot.Proof{Time: noon, AgentVersion: "v1", Evidence: "started-on"}))
	must(t, f.store.SetKnownGood(b.ID, false))
	// What the link says is all that another process needs.
	if m, ok, err := f.open().KnownGood(); !ok || err != nil || m.ID != b.ID || m.Provisional || m.Standing != deadman.Proven {
		t.Errorf("second: %+v, %v, %v", m, ok, err)
	}
	if f.load(a.ID).Provisional {
		t.Error("the first is still provisional")
	}
	if err := f.store.SetKnownGood("2020", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}

	for _, target := range []string{"/etc", "snapshots/../../x/files", "snapshots/" + a.ID, "snapshots/20200101T000000Z-00000000/files"} {
		must(t, os.Remove(link))
		must(t, os.Symlink(target, link))
		if m, ok, err := f.store.KnownGood(); ok || err == nil {
			t.Errorf("%q: %s, %v, %v", target, m.ID, ok, err)
		}
	}
}

func TestStandingAndHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.save(0).ID
	proof := snapshot.Proof{Time: noon, AgentVersion: "v1", Evidence: "started-on", Process: deadman.Process{PID: 7, Start: time.Second, Boot: "b"}}
	must(t, f.store.Prove(id, proof))
	later := proof
	later.Time = noon.Add(time.Hour)
	must(t, f.store.Prove(id, later))
	v2 := later
	v2.AgentVersion = "v2"
	must(t, f.store.Prove(id, v2))
	suspect := snapshot.Change{Time: noon.Add(2 * time.Hour), Standing: deadman.Suspect, Reason: "died", Incident: "i1", AgentVersion: "v2"}
	must(t, f.store.Mark(id, suspect))
	must(t, f.store.Mark(id, suspect)) // a crash in between repeats it

	cure := snapshot.Change{Time: noon.Add(3 * time.Hour), Reason: "cured", Incident: "i1"}
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			cure.Incident, cure.Standing = "i2", deadman.Bad
		}
		if n, err := f.store.Blame(id, cure); err != nil || n != want {
			t.Errorf("blame %d: %d, %v, want %d", i, n, err, want)
		}
	}
	must(t, f.store.Pin(id, true))

	m := f.load(id)
	if diff := cmp.Diff([]snapshot.Proof{later, v2}, m.Proofs); diff != "" {
		t.Errorf("proofs (-want +got):\n%s", diff)
	}
	told := []snapshot.Change{
		{Time: noon, Standing: deadman.Proven, Reason: "started-on", AgentVersion: "v1"},
		suspect,
		{Time: noon.Add(3 * time.Hour), Standing: deadman.Suspect, Reason: "cured", Incident: "i1"},
		{Time: noon.Add(3 * time.Hour), Standing: deadman.Bad, Reason: "cured", Incident: "i2"},
	}
	if diff := cmp.Diff(told, m.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if m.Standing != deadman.Bad || m.Cured != 2 || !m.Pinned {
		t.Errorf("standing %v, cured %d, pinned %v", m.Standing, m.Cured, m.Pinned)
	}
	must(t, f.store.Prove(id, v2))
	if got := f.load(id).Standing; got != deadman.Proven {
		t.Errorf("after a new proof it is %v", got)
	}
	for i := range 60 {
		must(t, f.store.Mark(id, snapshot.Change{Time: noon, Standing: deadman.Suspect, Reason: fmt.Sprint(i)}))
	}
	if h := f.load(id).History; len(h) != 50 || h[49].Reason != "59" {
		t.Errorf("%d entries, the last %v", len(h), h[len(h)-1])
	}
}
