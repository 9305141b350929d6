package notify_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"deadman/internal/sink/notify"
)

// Whatever an agent, a host or a key is called: the text of a message is short
// enough for every service, has no control characters and ends in what tells it
// from the others; its title fits into a header.
func FuzzText(f *testing.F) {
	f.Add("a", "h", "because", "snapshot", "a.b\nc", "deadman rollback a", "k", uint8(1))
	f.Add("\x1b[31m", "h\r\nX: y", "\u202e", "", strings.Repeat("long.key ", 400), "", "k2", uint8(200))
	f.Add("\xff", "", "", "", "\x00", "\n\n", "key", uint8(0))
	events := []notify.Event{notify.Rollback, notify.Failed, notify.Held, notify.ForeignStart, notify.StoodDown, notify.Alert, notify.Recovered}
	f.Fuzz(func(t *testing.T, agent, host, reason, rule, path, command, key string, n uint8) {
		if key == "" || len(key) > 100 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return // It is a hash.
		}
		m := notify.Message{
			Event: events[int(n)%len(events)], Agent: agent, Host: host, Reason: reason, Rule: rule, Key: key, Command: command,
			Time: time.Unix(1e9, 0), Withheld: int(n), Over: n%2 == 1,
		}
		for range n {
			m.Reverted = append(m.Reverted, path)
		}
		text := m.Text()
		if len(text) > 1900 || !utf8.ValidString(text) || !strings.HasSuffix(text, "key "+key) {
			t.Fatalf("%d bytes: %q", len(text), text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			t.Fatalf("%q", text)
		}
		if strings.ContainsFunc(m.Title(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", m.Title())
		}
	})
}

// Whatever is in the outbox's file: it opens, what waits is delivered or forgotten,
// and facts that are put into it afterwards are told.
func FuzzOutbox(f *testing.F) {
	f.Add([]byte(`{"ledger":{},"waiting":[{"message":{"key":"k","event":"alert"},"for":["x"]}],"trials":{"x":{"failures":3}},"last":"h"}`))
	f.Add([]byte(`{"waiting":null,"last":5}`))
	f.Add([]byte(`{`))
	f.Add([]byte(`{"last":"mine"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "notify.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := notify.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1.9e9, 0)
		targets, err := notify.Parse("https://127.0.0.1/x")
		if err != nil {
			t.Fatal(err)
		}
		if due := o.Due(now, targets); due.After(now.Add(time.Hour)) {
			t.Fatalf("due at %v, and it is %v", due, now)
		}
		var told []notify.Message
		fact := notify.Fact{Record: 1 << 40, Hash: "mine", Agent: "a", Time: now, Event: notify.Alert, Reason: "fuzzed", Incident: "of-its-own"}
		var box struct {
			Last   string
			Ledger json.RawMessage
		}
		fresh := json.Unmarshal(text, &box) != nil || len(box.Ledger) == 0 && box.Last != fact.Hash
		if err := o.Put([]notify.Fact{fact}, now, targets, func(m *notify.Message) { told = append(told, *m) }); err != nil {
			t.Fatal(err)
		}
		if fresh && len(told) != 1 {
			t.Fatalf("%d messages of one fact: %+v", len(told), told)
		}
		again, err := notify.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := o.Waiting(targets)
		if b, _ := again.Waiting(targets); a != b {
			t.Fatalf("%d wait, and %d after it was read again", a, b)
		}
	})
}
