package daemon_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"deadman"
	"deadman/internal/api"
)

func snapshots(t *testing.T, m *machine) []api.Snapshot {
	t.Helper()
	list, err := m.d.Snapshots(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// compareAll looks at the snapshots of a machine that was rolled back from
// suspect.
func compareAll(t *testing.T, m *machine, suspect string) {
	t.Helper()
	ctx := context.Background()
	list := snapshots(t, m)
	if len(list) != 2 || list[0].ID != suspect || list[0].Live || list[0].KnownGood ||
		list[0].Standing == deadman.Proven || !list[1].Live || !list[1].KnownGood || list[1].Standing != deadman.Proven {
		t.Fatalf("snapshots: %+v", list)
	}
	if len(list[1].Proofs) == 0 || len(list[1].History) == 0 {
		t.Errorf("a proven snapshot without proof: %+v", list[1])
	}
	good := list[1].ID
	for _, id := range []string{good, "known-good", "live"} {
		s, err := m.d.Show(ctx, "a", id)
		if err != nil || s.ID != good || !s.Live || !s.KnownGood || len(s.Members) != 1 || s.Members[0].Name != "config.yaml" || s.Members[0].Mode != "0644" {
			t.Errorf("show %s: %+v, %v", id, s, err)
		}
	}

	if diff := differences(t, m, "", "", false); len(diff) != 0 {
		t.Errorf("live is the known good, and differs: %+v", diff)
	}
	// The suspect does not parse: what differs is the file, and no key can be
	// named.
	if diff := differences(t, m, suspect, "known-good", false); len(diff) != 1 || diff[0].Kind != "changed" || diff[0].Keys != nil || diff[0].Text != "" {
		t.Errorf("from the suspect: %+v", diff)
	}
	if diff := differences(t, m, suspect, "live", true); len(diff) != 1 || !strings.Contains(diff[0].Text, "\n-provider: [sk-secret\n") {
		t.Errorf("text was asked for: %+v", diff)
	}

	if err := m.d.Pin(ctx, "a", suspect, true); err != nil {
		t.Fatal(err)
	}
	if s, err := m.d.Show(ctx, "a", suspect); err != nil || !s.Pinned {
		t.Errorf("pinned: %+v, %v", s, err)
	}
	if err := m.d.Pin(ctx, "a", suspect, false); err != nil {
		t.Fatal(err)
	}
	if s := snapshots(t, m)[0]; s.Pinned {
		t.Errorf("still pinned: %+v", s)
	}
	if _, err := m.d.Show(ctx, "a", "19990101"); err == nil || !strings.Contains(hint(err), "deadman snapshots a") {
		t.Errorf("a snapshot that is not there: %v, hint %q", err, hint(err))
	}
}

func differences(t *testing.T, m *machine, a, b string, text bool) []api.Difference {
	t.Helper()
	diff, err := m.d.Diff(context.Background(), "a", a, b, text)
	if err != nil {
		t.Fatal(err)
	}
	return diff
}

func hint(err error) string {
	if h, ok := err.(interface{ Hint() string }); ok {
		return h.Hint()
	}
	return ""
}

func TestDiffNamesKeysAndNoValues(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.open(strings.NewReplacer("files: [config.yaml]", "files: [config.yaml, .env, notes, link]").Replace(m.text))
	m.write("etc/.env", "TOKEN=hunter2\nPORT=1\n")
	m.write("etc/notes", "a secret note\n")
	if err := os.Symlink("/nowhere", m.path("etc/link")); err != nil {
		t.Fatal(err)
	}
	m.healthy()

	m.write("etc/config.yaml", m.config("model: model-two\nstamp: 7"))
	m.write("etc/.env", "PORT=1\n")
	if err := os.Chmod(m.path("etc/notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.path("etc/link")); err != nil {
		t.Fatal(err)
	}
	diff := differences(t, m, "", "", false)
	want := []api.Difference{
		{Name: ".env", Kind: "changed", Keys: []string{"TOKEN (removed)"}},
		{Name: "config.yaml", Kind: "changed", Keys: []string{"model (changed)", "stamp (added)"}},
		{Name: "link", Kind: "removed"},
		{Name: "notes", Kind: "metadata", Keys: []string{"mode 0644 to 0600"}},
	}
	if !slices.EqualFunc(diff, want, func(a, b api.Difference) bool {
		return a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.Keys, b.Keys) && a.Text == ""
	}) {
		t.Errorf("diff: %+v", diff)
	}
	noValues(t, diff)
	if s, err := m.d.Show(context.Background(), "a", "live"); err != nil || s.ID != "live" || !s.Live || s.Hash == "" {
		t.Errorf("a config that is not stored: %+v, %v", s, err)
	}
	if err := m.d.Pin(context.Background(), "a", "live", true); err == nil {
		t.Error("what is not stored was pinned")
	}
}
