package daemon_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deadman"
	"deadman/internal/api"
)

// says reports whether a report has something new to say that holds text.
func says(a api.Agent, text string) bool {
	return slices.ContainsFunc(a.Fresh, func(line string) bool { return strings.Contains(line, text) })
}

// TestTheStoreIsEmptied: the known good is not missed at the death, but at the
// next healthy round, and is there again.
func TestTheStoreIsEmptied(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	old := m.check().KnownGood.ID
	all, err := filepath.Glob(m.path("state/agents/a/snapshots/*"))
	try(t, err)
	for _, dir := range all {
		try(t, os.RemoveAll(dir))
	}
	a := m.check()
	if a.Exit != api.ExitOK || !says(a, "known-good-lost") || a.KnownGood == nil || a.KnownGood.ID == old {
		t.Fatalf("after the loss: %+v", a)
	}
	if a = m.check(); len(a.Fresh) > 0 {
		t.Errorf("said twice: %q", a.Fresh)
	}
	m.healthy() // By the same process: nothing has changed.
	m.write("etc/config.yaml", "provider: [\n")
	m.kill(m.pid())
	if a = m.check(); a.Exit != api.ExitOK || a.Action != "rollback" {
		t.Errorf("after a death: %+v", a)
	}
}

// TestAStoredFileIsDamaged: that is found when the bytes are read, once an hour,
// and what is live mends it.
func TestAStoredFileIsDamaged(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	known := m.check().KnownGood
	stored := "state/agents/a/snapshots/" + known.ID + "/files/config.yaml"
	good := m.read(stored)
	m.write(stored, "no: config\n")
	before := time.Now().Add(-2 * time.Hour)
	try(t, os.Chtimes(m.path("state/agents/a/last-verify"), before, before))
	a := m.check()
	if a.Exit != api.ExitOK || !says(a, "known-good-lost") || a.KnownGood == nil || a.KnownGood.ID != known.ID || a.KnownGood.Standing != deadman.Proven {
		t.Errorf("%+v", a)
	}
	if m.read(stored) != good {
		t.Error("it was not mended")
	}
	if a = m.check(); len(a.Fresh) > 0 {
		t.Errorf("said twice: %q", a.Fresh)
	}
}

// TestWhatCannotBeCapturedIsSaid: once, and again when it is something else; and
// status tells it for as long as it holds. The agent is well, so nothing fails.
func TestWhatCannotBeCapturedIsSaid(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.edit("files: [config.yaml]", `files: ["**/*"]`)
	m.healthy()
	core := m.path("etc/core")
	try(t, os.WriteFile(core, nil, 0o644))
	try(t, os.Truncate(core, 20<<20))
	a := m.check()
	if a.Exit != api.ExitOK || !says(a, "not-captured") || !says(a, core) {
		t.Errorf("%+v", a)
	}
	if a = m.check(); len(a.Fresh) > 0 {
		t.Errorf("said twice: %q", a.Fresh)
	}
	status := func() string {
		r, err := m.d.Status(context.Background(), nil)
		try(t, err)
		return strings.Join(r.Agents[0].Findings, "\n")
	}
	if text := status(); !strings.Contains(text, core) {
		t.Errorf("status: %q", text)
	}
	try(t, os.Rename(core, core+".1"))
	if a = m.check(); !says(a, core+".1") {
		t.Errorf("not said: %+v", a)
	}
	try(t, os.Remove(core+".1"))
	m.check()
	if text := status(); text != "" {
		t.Errorf("status: %q", text)
	}
}
