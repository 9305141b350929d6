package record_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/record"
)

// Two entries have the same digest only if they are the same.
func FuzzDigest(f *testing.F) {
	f.Add(int64(1), int64(0), int64(0), int64(1), "rollback", "config", "", uint8(4))
	f.Add(int64(12), int64(3), int64(-7), int64(9), "1:a\n1:b\n", "", "x\x00\n0:", uint8(200))
	f.Fuzz(func(t *testing.T, id, seconds, uptime, revision int64, kind, cause, body string, cut uint8) {
		e := record.Entry{
			ID: id, Time: time.Unix(seconds%4e9, 0).UTC(), Uptime: time.Duration(uptime), Revision: revision,
			Kind: kind, Cause: cause, Body: json.RawMessage(body),
		}
		if copied := e; copied.Digest() != e.Digest() {
			t.Fatal("not a function of the entry")
		}
		// Moving text over a border between fields is the forgery that a plain
		// concatenation would not notice.
		text := kind + cause
		at := min(int(cut), len(text))
		moved := e
		moved.Kind, moved.Cause = text[:at], text[at:]
		if same := at == len(kind); (moved.Digest() == e.Digest()) != same {
			t.Errorf("kind %q cause %q and kind %q cause %q: same digest is %v", kind, cause, moved.Kind, moved.Cause, !same)
		}
		for name, change := range map[string]func(*record.Entry){
			"id":       func(e *record.Entry) { e.ID++ },
			"time":     func(e *record.Entry) { e.Time = e.Time.Add(time.Nanosecond) },
			"uptime":   func(e *record.Entry) { e.Uptime++ },
			"revision": func(e *record.Entry) { e.Revision++ },
			"boot":     func(e *record.Entry) { e.Boot += "x" },
			"agent":    func(e *record.Entry) { e.Agent += "x" },
			"incident": func(e *record.Entry) { e.Incident += "x" },
			"reason":   func(e *record.Entry) { e.Reason += "x" },
			"snapshot": func(e *record.Entry) { e.Snapshot += "x" },
			"old hash": func(e *record.Entry) { e.OldHash += "x" },
			"new hash": func(e *record.Entry) { e.NewHash += "x" },
			"outcome":  func(e *record.Entry) { e.Outcome += "x" },
			"body":     func(e *record.Entry) { e.Body = append([]byte("x"), e.Body...) },
			"prev":     func(e *record.Entry) { e.Prev += "x" },
		} {
			changed := e
			change(&changed)
			if changed.Digest() == e.Digest() {
				t.Errorf("a changed %s does not change the digest", name)
			}
		}
		signed := e
		signed.Hash = "x"
		if signed.Digest() != e.Digest() {
			t.Error("the hash is part of its own digest")
		}
	})
}

// Whatever an entry holds, it is read as Commit said it was stored, and holds
// the chain; what cannot be stored leaves nothing behind.
func FuzzStored(f *testing.F) {
	f.Add("rollback", "why", `{"b":1, "a":[1,2]}`, int64(5))
	f.Add("nul\x00inside", "bad \xff utf-8", `"\u2028<>&"`, int64(-1))
	f.Add("", "", ``, int64(0))
	f.Add("k", "", `{`, int64(1))
	l := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, kind, reason, body string, seconds int64) {
		e := record.Entry{Time: time.Unix(seconds, 1), Kind: kind, Reason: reason, Body: json.RawMessage(body)}
		before := all(t, l, record.Query{Newest: true, Limit: 1})
		stored, err := l.Append(t.Context(), []record.Entry{e})
		newest := all(t, l, record.Query{Newest: true, Limit: 1})
		if err != nil {
			if y := e.Time.UTC().Year(); y >= 0 && y <= 9999 && (body == "" || json.Valid([]byte(body))) {
				t.Errorf("refused: %v", err)
			}
			stored = before
		} else if _, err := l.Append(t.Context(), stored); err != nil {
			t.Errorf("what was stored cannot be stored again: %v", err)
		}
		if diff := cmp.Diff(stored, newest); diff != "" {
			t.Errorf("stored (-), read (+):\n%s", diff)
		}
		if len(newest) > 0 && newest[0].Hash != newest[0].Digest() {
			t.Error("the hash does not hold after reading")
		}
	})
}
