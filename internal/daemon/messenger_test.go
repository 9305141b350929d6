package daemon_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/daemon"
	"deadman/internal/record"
	"deadman/internal/sink/notify"
)

// Which entries say something to people, and which that something is over.
func TestFact(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	round := func(phase, more string) string {
		return `{"step":{"now":"2026-03-01T12:00:00Z","event":{"round":{"presence":"running","boot":"b","restarts":-1,"alive":"healthy"` + more + `}}},"phase":"` + phase + `"}`
	}
	const valid = `,"live":{"hash":"h","valid":"healthy"}`
	for _, tt := range []struct {
		kind, reason, outcome, incident, body string
		want                                  notify.Fact
	}{
		{"rollback", "live-invalid", "success", "i", `{"reverted":["c.yaml: a (changed)"]}`, notify.Fact{Event: notify.Rollback, Reverted: []string{"c.yaml: a (changed)"}}},
		{"restart", "live-is-known-good", "success", "i", `{}`, notify.Fact{}},
		{"failed", "exhausted", "error", "i", `{}`, notify.Fact{Event: notify.Failed}},
		{"alert", "exhausted", "", "i", `{}`, notify.Fact{}}, // the entry after it is the one
		{"alert", "candidate-held", "", "", `{}`, notify.Fact{Event: notify.Held, Config: true}},
		{"alert", "broken-under-green", "", "", `{}`, notify.Fact{Event: notify.Alert, Config: true}},
		{"alert", "held-version-back", "", "", `{}`, notify.Fact{Event: notify.Alert, Config: true}},
		{"alert", "foreign-start", "", "i", `{}`, notify.Fact{Event: notify.ForeignStart}},
		{"alert", "rival-starts", "", "i", `{}`, notify.Fact{Event: notify.StoodDown}},
		{"alert", "relapse", "", "i", `{}`, notify.Fact{Event: notify.Alert}},
		{"note", "probation-passed", "", "i", `{}`, notify.Fact{}},

		{"observed", "", "", "", round("up", valid), notify.Fact{Well: true, Fine: true}},
		{"observed", "", "", "i", round("up", valid), notify.Fact{Well: true, Fine: true}}, // the end of an incident
		{"observed", "", "", "i", round("up", `,"ready":"unhealthy"`+valid), notify.Fact{Fine: true}},
		{"observed", "", "", "", round("degraded", `,"partial":true`+valid), notify.Fact{Fine: true}},
		{"observed", "", "", "i", round("probation", valid), notify.Fact{}}, // what we have put there
		{"observed", "", "", "", round("up", `,"live":{"hash":"h","valid":"unhealthy"}`), notify.Fact{Well: true}},
		{"observed", "", "", "", round("up", `,"live":{"hash":"h","valid":"healthy","held":true}`), notify.Fact{Well: true}},
		{"observed", "", "", "", round("up", `,"live":{"hash":"h","valid":"healthy","bad":true}`), notify.Fact{Well: true}},
		{"observed", "", "", "", round("stopped", `,"live":{"unreadable":true}`), notify.Fact{Left: true}},
		{"outcome", "accepted-by-person", "ok", "", `{"step":{"event":{"outcome":{"kind":"promote"}}},"phase":"up"}`, notify.Fact{Fine: true}},
		{"outcome", "accepted-by-person", "failed", "", `{"step":{"event":{"outcome":{"kind":"promote"}}},"phase":"up"}`, notify.Fact{}},
		{"outcome", "new-bytes", "ok", "", `{"step":{"event":{"outcome":{"kind":"capture"}}},"phase":"up"}`, notify.Fact{}},
	} {
		e := record.Entry{
			ID: 7, Hash: "x", Time: at, Agent: "a", Incident: tt.incident, Kind: tt.kind, Reason: tt.reason, Outcome: tt.outcome,
			Cause: "none-found", Snapshot: "s", Body: json.RawMessage(tt.body),
		}
		want := tt.want
		want.Record, want.Hash, want.Time, want.Agent, want.Incident = 7, "x", at, "a", tt.incident
		want.Reason, want.Cause, want.Snapshot = tt.reason, "none-found", "s"
		if diff := cmp.Diff(want, daemon.Fact(e)); diff != "" {
			t.Errorf("%s %s: %s", tt.kind, tt.reason, diff)
		}
	}
}
