package record_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/record"
)

// Whatever is in a spool: a state that is read from it is one that some line of it
// holds; and what is committed on top of it is read back, then and when the spool
// has been brought into the database.
func FuzzSpool(f *testing.F) {
	line := `{"seq":1,"state":{"agent":"a","revision":3,"version":1,"state":{"x":1}},"entries":[{"time":"2026-11-24T12:00:00Z","kind":"k"}]}` + "\n"
	f.Add([]byte(`{"spool":"S"}` + "\n" + line))
	f.Add([]byte(line))
	f.Add([]byte(`{"spool":"S"}` + "\n" + line + `{"seq":2,"sta`))
	f.Add([]byte(`{"spool":"S"}` + "\nnonsense\n" + strings.Replace(line, `:3,`, `:9223372036854775807,`, 1)))
	f.Add([]byte(`{"spool":"S"}` + "\n" + strings.Replace(line, `"seq":1`, `"seq":-4`, 1) + line))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir, run := fast(t), fast(t)
		if err := os.WriteFile(filepath.Join(dir, "spool.jsonl"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		j := record.NewJournal(dir, run, "")
		defer j.Close()
		saved, err := j.Load(t.Context(), "a")
		if err == nil && (saved.Revision < 1 || saved.Agent != "a") || err != nil && !errors.Is(err, record.ErrNoState) {
			t.Fatalf("%+v, %v", saved, err)
		}
		if saved.Revision > 1<<62 {
			return // Nobody saves so often.
		}
		mine := record.Saved{Agent: "a", Revision: saved.Revision, Version: 1, State: json.RawMessage(`{"mine":true}`)}
		receipt, err := j.Commit(t.Context(), mine, []record.Entry{{Time: time.Unix(5, 0), Kind: "mine"}})
		if err != nil {
			t.Fatalf("after %+v: %v", saved, err)
		}
		got, err := j.Load(t.Context(), "a")
		if err != nil || got.Revision != saved.Revision+1 || string(got.State) != string(mine.State) {
			t.Fatalf("committed to %v, loaded %+v, %v", receipt.Place, got, err)
		}
		if receipt.Place != record.InDatabase {
			return
		}
		l, err := j.Log()
		if err != nil {
			t.Fatal(err)
		}
		verify(t, l)
		if newest := all(t, l, record.Query{Newest: true, Limit: 1}); newest[0].Kind != "mine" {
			t.Fatalf("the newest entry is %+v", newest[0])
		}
	})
}

// A state of whatever version is stored as it is, and kept as it is when another
// takes its place; a word left in an inbox arrives as it was said, and so does its
// answer. What is not JSON is refused, and the error does not repeat it.
func FuzzSaved(f *testing.F) {
	f.Add(`{"future":[1]}`, 9, "a", "stop", `{"for":5}`, "root")
	f.Add(`"\u2028<>&"`, -1, "b", "", `null`, "")
	f.Add(`{"7f3a91c5Zq`, 1, "c", "x\x00", `7f3a91c5Zq`, "\xff")
	f.Add(`1.0000000000000000000001`, 0, "\u00e9", "pause", ``, "a\nb")
	l := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, state string, version int, agent, verb, args, by string) {
		if agent == "" || strings.ContainsRune(agent+verb, 0) || strings.ToValidUTF8(agent+verb+args, "") != agent+verb+args {
			return // Names come from a config, and arguments are JSON of ours.
		}
		was, err := l.Load(t.Context(), agent)
		if err != nil && !errors.Is(err, record.ErrNoState) {
			t.Fatal(err)
		}
		saved, _, err := l.Commit(t.Context(), record.Saved{Agent: agent, Revision: was.Revision, Version: version, State: json.RawMessage(state)}, nil)
		if (err == nil) != json.Valid([]byte(state)) {
			t.Fatalf("%q: %v", state, err)
		}
		if err != nil && strings.Contains(err.Error(), "7f3a91c5Zq") {
			t.Fatal(err)
		}
		if err == nil {
			got, err := l.Load(t.Context(), agent)
			if err != nil || !cmp.Equal(got, saved) || !sameJSON(t, got.State, state) || got.Version != version {
				t.Fatalf("%+v became %+v (%v)", saved, got, err)
			}
			if err := l.Preserve(t.Context(), agent); err != nil {
				t.Fatal(err)
			}
			kept, err := l.Kept(t.Context(), agent)
			if err != nil || len(kept) == 0 || !cmp.Equal(kept[len(kept)-1], saved) {
				t.Fatalf("%+v was kept as %+v (%v)", saved, kept, err)
			}
		}
		id, err := l.Post(t.Context(), agent, verb, json.RawMessage(args), by, time.Unix(1, 2))
		if (err == nil) != (args == "" || json.Valid([]byte(args))) {
			t.Fatalf("%q: %v", args, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "7f3a91c5Zq") {
				t.Fatal(err)
			}
			return
		}
		pending, err := l.Pending(t.Context(), agent)
		if err != nil || len(pending) != 1 || pending[0].ID != id || pending[0].Verb != verb || !sameJSON(t, pending[0].Args, args) {
			t.Fatalf("%q %s became %+v (%v)", verb, args, pending, err)
		}
		if ok, err := l.Claim(t.Context(), id); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := l.Withdraw(t.Context(), id); ok || err != nil {
			t.Fatalf("what was claimed is withdrawn: %v, %v", ok, err)
		}
		if err := l.Answer(t.Context(), id, json.RawMessage(`{"x":1}`)); err != nil {
			t.Fatal(err)
		}
		if said, ok, err := l.Answered(t.Context(), id); err != nil || !ok || string(said) != `{"x":1}` {
			t.Fatal(string(said), ok, err)
		}
	})
}

// sameJSON reports whether two texts are one value, digits and order included.
func sameJSON(t *testing.T, a []byte, b string) bool {
	t.Helper()
	if len(a) == 0 || b == "" {
		return len(a) == 0 && b == ""
	}
	raw, err := json.Marshal(json.RawMessage(b))
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(json.RawMessage(a))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw) == string(other)
}

// fast is a directory in memory, where there is one: a database is made for every
// input, and synced.
func fast(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "deadman-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
