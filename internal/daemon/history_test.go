package daemon_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"deadman/internal/api"
	"deadman/internal/daemon"
	"deadman/internal/record"
)

// rolledBack is a machine whose agent was killed on a broken config and brought
// back.
func rolledBack(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.healthy()
	m.write("etc/config.yaml", "provider: [sk-secret\n")
	m.kill(m.pid())
	if a := m.check(); a.Exit != api.ExitOK || a.Action != "rollback" {
		t.Fatalf("check: %+v", a)
	}
	return m
}

// Everything that is asked about one rollback, on one machine: a machine takes
// seconds.
func TestRollbackIsExplained(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := rolledBack(t)
	good := m.read("etc/config.yaml")

	entries, err := m.d.History(ctx, daemon.HistoryQuery{Agent: "a"})
	if err != nil {
		t.Fatal(err)
	}
	kinds := kindsOf(entries)
	for _, kind := range []string{"capture", "promote", "stop", "keep", "restore", "start", "rollback"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("history lacks %s: %v", kind, kinds)
		}
	}
	if slices.Contains(kinds, "observed") || slices.Contains(kinds, "outcome") {
		t.Errorf("history has what nobody asked for: %v", kinds)
	}
	if !slices.IsSortedFunc(entries, func(a, b api.Entry) int { return int(a.ID - b.ID) }) {
		t.Error("history is not oldest first")
	}
	all, err := m.d.History(ctx, daemon.HistoryQuery{All: true})
	if err != nil || !slices.Contains(kindsOf(all), "observed") || !slices.Contains(kindsOf(all), "outcome") {
		t.Errorf("all of the history: %v, %v", kindsOf(all), err)
	}
	last, err := m.d.History(ctx, daemon.HistoryQuery{Limit: 2})
	if err != nil || len(last) != 2 || last[1].ID != entries[len(entries)-1].ID {
		t.Errorf("the last two: %v, %v", last, err)
	}

	rollback := entries[slices.Index(kinds, "rollback")]
	if rollback.OldHash == "" || rollback.NewHash == "" || len(rollback.Reverted) == 0 || rollback.Incident == "" {
		t.Errorf("rollback: %+v", rollback)
	}
	restore := entries[slices.Index(kinds, "restore")]
	suspect := ""
	for _, s := range snapshots(t, m) {
		if s.Hash == rollback.OldHash {
			suspect = s.ID
		}
	}
	undo := "deadman restore a " + suspect

	for _, id := range []string{strconv.FormatInt(rollback.ID, 10), rollback.Incident, strconv.FormatInt(restore.ID, 10)} {
		x, err := m.d.Explain(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if x.Entry.Reason != "live-invalid" || !strings.Contains(x.Rule, "does not validate") {
			t.Errorf("%s: %+v, rule %q", id, x.Entry, x.Rule)
		}
		if x.Undo != undo {
			t.Errorf("%s: undo %q, want %q", id, x.Undo, undo)
		}
		if len(x.Considered) == 0 || !slices.ContainsFunc(x.Considered, func(r api.Rule) bool { return r.Reason == "live-is-known-good" && r.Rule != "" }) {
			t.Errorf("%s: considered %v", id, x.Considered)
		}
		evidence := strings.Join(x.Evidence, "\n")
		for _, want := range []string{"there was no process", "does not validate", "incident since", "could be put back", "kept as " + suspect, "on disk under a healthy process"} {
			if !strings.Contains(evidence, want) {
				t.Errorf("%s: evidence lacks %q:\n%s", id, want, evidence)
			}
		}
		if len(x.Timeline) < 5 || slices.Contains(kindsOf(x.Timeline), "observed") {
			t.Errorf("%s: timeline %v", id, kindsOf(x.Timeline))
		}
		noValues(t, x)
	}
	x, err := m.d.Explain(ctx, suspect)
	if err != nil || x.Entry.Snapshot != suspect || len(x.Evidence) == 0 || len(x.Timeline) == 0 {
		t.Errorf("explain %s: %+v, %v", suspect, x, err)
	}
	if _, err := m.d.Explain(ctx, "no such thing"); err == nil {
		t.Error("no such thing was explained")
	}
	noValues(t, all)

	compareAll(t, m, suspect)

	// The log on disk, replayed by another program, gives the stored state, also
	// after further rounds.
	m.check()
	replays(t, m)
	if n, err := m.d.Verify(ctx); err != nil || n < int64(len(all)) {
		t.Errorf("verify: %d, %v", n, err)
	}
	if m.read("etc/config.yaml") != good {
		t.Error("asking has changed the config")
	}
}

// replays: another program steps what is recorded, and gets what is stored.
func replays(t *testing.T, m *machine) {
	t.Helper()
	ctx := context.Background()
	other := daemon.Open(m.cfg, daemon.Options{})
	defer other.Close()
	state, err := other.Replay(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	log, err := record.OpenReadOnly(m.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	saved, err := log.Load(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(saved.State) {
		t.Errorf("replayed %s\nstored   %s", again, saved.State)
	}
}

func TestVerifyFindsAnotherState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := newMachine(t)
	m.check()
	if _, err := m.d.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	m.d.Close()
	// A state that does not follow from its events, saved as if it did.
	log, err := record.Open(m.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := log.Load(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(saved.State, &state); err != nil {
		t.Fatal(err)
	}
	state["barred"] = []string{"nobody"}
	if saved.State, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if _, _, err := log.Commit(ctx, saved, nil); err != nil {
		t.Fatal(err)
	}
	log.Close()
	other := daemon.Open(m.cfg, daemon.Options{})
	defer other.Close()
	_, err = other.Verify(ctx)
	if err == nil || !strings.Contains(err.Error(), "barred") {
		t.Errorf("verify: %v", err)
	}
}

func TestHistoryWithoutALog(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := newMachine(t)
	entries, err := m.d.History(ctx, daemon.HistoryQuery{Agent: "a"})
	if err != nil || entries == nil || len(entries) != 0 {
		t.Errorf("history: %v, %v", entries, err)
	}
	if _, err := m.d.History(ctx, daemon.HistoryQuery{Agent: "b"}); err == nil {
		t.Error("an agent that nobody knows has a history")
	}
	if n, err := m.d.Verify(ctx); n != 0 || err != nil {
		t.Errorf("verify: %d, %v", n, err)
	}
	if list := snapshots(t, m); len(list) != 0 {
		t.Errorf("snapshots: %v", list)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "state")); err == nil {
		t.Error("asking has made a state directory")
	}
}

func kindsOf(entries []api.Entry) []string {
	kinds := make([]string, len(entries))
	for i, e := range entries {
		kinds[i] = e.Kind
	}
	return kinds
}

// noValues fails if what is shown holds a value of the configs.
func noValues(t *testing.T, x any) {
	t.Helper()
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"hunter2", "sk-secret", "model-one", "model-two", "secret note"} {
		if strings.Contains(string(text), value) {
			t.Errorf("it holds the value %q: %s", value, text)
		}
	}
}
