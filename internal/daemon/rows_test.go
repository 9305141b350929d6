package daemon_test

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"

	"deadman/internal/daemon"
)

// row is one of request_log, as other programs read it.
type row struct {
	event, status string
	message       map[string]any
}

func (m *machine) rows() []row {
	m.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+m.cfg.RequestLog+"?mode=ro")
	try(m.t, err)
	defer db.Close()
	found, err := db.Query("SELECT model, status, error_message FROM request_log ORDER BY id")
	try(m.t, err)
	defer found.Close()
	var rows []row
	for found.Next() {
		var r row
		var text string
		try(m.t, found.Scan(&r.event, &r.status, &text))
		try(m.t, json.Unmarshal([]byte(text), &r.message))
		rows = append(rows, r)
	}
	try(m.t, found.Err())
	return rows
}

// TestAWordIsNoEnding: what a person asked for is one thing, how it came out
// another, though both may be called rollback.
func TestAWordIsNoEnding(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	m.write("etc/config.yaml", m.config("model: model-two"))
	a, err := m.d.Tell(t.Context(), "a", "rollback", daemon.Arg{}, 0)
	try(t, err)
	if len(a.Fresh) != 1 || !strings.HasPrefix(a.Fresh[0], "rollback: a person asked for it; reverted") {
		t.Errorf("it says %q", a.Fresh)
	}
	rows := m.rows()
	if len(rows) != 1 || rows[0].event != "rollback" || rows[0].status != "success" || rows[0].message["snapshot"] == "" {
		t.Errorf("rows %v", rows)
	}
}

// TestARestartIsNoRollback: the agent dies once more in the probation after a
// rollback, and is only started. That is another row.
func TestARestartIsNoRollback(t *testing.T) {
	t.Parallel()
	m := rolledBack(t)
	m.kill(m.pid())
	if a := m.check(); a.Exit != 0 || a.Action != "restart" {
		// The second start on the same bytes waits for a gap.
		m.until("a restart", func() bool { a = m.check(); return a.Action == "restart" })
	}
	rows := m.rows()
	if len(rows) != 2 || rows[0].event != "rollback" || rows[1].event != "restart" {
		t.Fatalf("rows %v", rows)
	}
	first, second := rows[0].message, rows[1].message
	if first["old_config_hash"] == first["new_config_hash"] {
		t.Errorf("rollback %v", first)
	}
	if second["reason"] != "live-is-known-good" || second["old_config_hash"] != first["new_config_hash"] || second["new_config_hash"] != first["new_config_hash"] {
		t.Errorf("restart %v after %v", second, first)
	}
	if _, ok := second["reverted"]; ok {
		t.Errorf("restart %v", second)
	}
}
