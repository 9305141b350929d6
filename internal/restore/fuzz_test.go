package restore_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// A plan of whatever bytes is refused, or is saved and loaded as the same, and
// names nothing outside of the directories that it says it is about. Carrying it
// out ends, and leaves what is outside as it was.
func FuzzPlan(f *testing.F) {
	const here = "/root-of-the-set"
	member := `{"path":"a/b","type":"file","mode":420,"uid":0,"gid":0,"size":1,"sha256":"` + strings.Repeat("0", 64) + `","inode":1,"device":1,"ctime":"2026-11-24T12:00:00Z"}`
	for _, steps := range []string{
		``,
		`{"op":"put","dir":"` + here + `","temp":".deadman-x","have":` + member + `,"want":` + member + `}`,
		`{"op":"mkdir","dir":"` + here + `","want":` + strings.Replace(member, `"file"`, `"dir"`, 1) + `}`,
		`{"op":"remove","dir":"` + here + `","temp":".deadman-y","have":` + member + `}`,
		`{"op":"rmdir","dir":"` + here + `","have":` + member + `},{"op":"settle","dir":"` + here + `","want":` + member + `}`,
		`{"op":"hold","dir":"` + here + `","have":` + member + `,"want":` + member + `}`,
		`{"op":"put","dir":"` + here + `/../outside","temp":"../x","want":` + strings.Replace(member, "a/b", "../outside/file", 1) + `}`,
		`{"op":"remove","dir":"/","temp":"x","have":` + strings.Replace(member, "a/b", "../../outside/file", 1) + `}`,
		`{"op":"put","dir":"` + here + `","want":null}`, `{"op":"remove","dir":"x"}`, `{}`,
	} {
		f.Add([]byte(`{"version":1,"agent":"a","snapshot":"s","keep":"k","created":"2026-11-24T12:00:00Z","steps":[` + steps +
			`],"sets":[{"root":"` + here + `","files":["**"]}],"was":[{"root":"` + here + `","files":["**"]}],"roots":[]}`))
	}
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"**"}})
		w.write("home/a/b", "x")
		w.write("outside/file", "untouched")
		w.must(os.WriteFile(filepath.Join(w.state, "plan.json"), []byte(strings.ReplaceAll(string(text), here, w.path("home"))), 0o600))
		p, found, err := restore.Load(w.state)
		if (p != nil) != found || err != nil && found {
			t.Fatalf("%v, %v, %v", p, found, err)
		}
		if err != nil {
			return
		}
		for _, s := range p.Steps {
			rel, err := filepath.Rel(s.Dir, s.Path())
			if err != nil || !filepath.IsLocal(rel) || rel == "." || strings.Contains(s.Temp, "/") {
				t.Fatalf("%s of %q leads to %q", s.Op, s.Dir, s.Path())
			}
			if rel, err := filepath.Rel(w.path("home"), s.Path()); err != nil || !filepath.IsLocal(rel) {
				return // It says itself that it is about another place: nothing for a test to carry out.
			}
		}
		if len(p.Roots)+len(p.Follows) > 0 {
			return
		}
		copied := filepath.Join(filepath.Dir(w.state), "copy")
		w.must(os.Mkdir(copied, 0o700))
		spliced := false
		for _, s := range p.Steps {
			spliced = spliced || s.Spliced
		}
		if err := p.Save(copied); err == nil {
			again, _, err := restore.Load(copied)
			w.must(err)
			was, _ := json.Marshal(p)
			is, _ := json.Marshal(again)
			if diff := cmp.Diff(string(was), string(is)); diff != "" {
				t.Fatalf("saved (-), loaded (+):\n%s", diff)
			}
		} else if !spliced {
			t.Fatal(err)
		}
		p, _, err = restore.Load(w.state)
		w.must(err)
		_, _, _ = restore.Inspect(p)
		_, _ = restore.Execute(t.Context(), p, w.store)
		if got, err := os.ReadFile(w.path("outside/file")); err != nil || string(got) != "untouched" {
			t.Fatalf("what is outside: %q, %v", got, err)
		}
		if names, _ := os.ReadDir(w.path("outside")); len(names) != 1 {
			t.Fatalf("what is outside: %v", names)
		}
	})
}
