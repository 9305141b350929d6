package requestlog_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/sink/requestlog"
)

// A row of whatever text is in the table once, however often it is delivered and
// whatever somebody else has written there under our name; its details are one
// JSON object.
func FuzzDeliver(f *testing.F) {
	f.Add("a", "rollback", "/c/config.yaml", "x", "because", "s", int64(7), int64(1e9), `{"record_id":7}`)
	f.Add("'; DROP TABLE request_log; --", "\x00", "\xff", "\u2028", "", "", int64(-1), int64(0), `{`)
	f.Add("", "", "", "", "", "", int64(0), int64(-5), "")
	path := filepath.Join(f.TempDir(), "request_log.db")
	if err := requestlog.Deliver(f.Context(), path, []requestlog.Row{{Time: time.Unix(1, 0), Agent: "first"}}); err != nil {
		f.Fatal(err)
	}
	db, err := driver.Open("file:" + path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	f.Fuzz(func(t *testing.T, agent, event, config, cause, reason, snapshot string, record, seconds int64, foreign string) {
		if seconds < 0 || seconds > 250e9 || strings.ContainsRune(agent, 0) || strings.ToValidUTF8(agent, "") != agent {
			return
		}
		row := requestlog.Row{
			Time: time.Unix(seconds, 0), Agent: agent, Event: event, ConfigPath: config, Cause: cause, Reason: reason, Snapshot: snapshot,
			Record: record, OldHash: "o", NewHash: "n", OK: true,
		}
		stamp := row.Time.UTC().Format("2006-01-02T15:04:05.000Z")
		if _, err := db.Exec(`DELETE FROM request_log WHERE agent_name = ?`, agent); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO request_log (timestamp, agent_name, provider, model, endpoint, status, error_message)
			VALUES (?, ?, 'deadman', 'foreign', '', '', ?)`, stamp, agent, foreign); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := requestlog.Deliver(t.Context(), path, []requestlog.Row{row, row}); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		var details sql.NullString
		if err := db.QueryRow(`SELECT count(*), max(error_message) FROM request_log WHERE agent_name = ? AND NOT (model = 'foreign' AND endpoint = '' AND status = '')`, agent).Scan(&n, &details); err != nil {
			t.Fatal(err)
		}
		var theirs struct {
			Record int64 `json:"record_id"`
		}
		if json.Unmarshal([]byte(foreign), &theirs) == nil && theirs.Record == record {
			return // Who writes our own key says that it is there.
		}
		var said map[string]any
		if n != 1 || json.Unmarshal([]byte(details.String), &said) != nil || said["old_config_hash"] != "o" {
			t.Fatalf("%d rows, %s", n, details.String)
		}
	})
}
