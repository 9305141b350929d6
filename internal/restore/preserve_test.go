package restore_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deadman/internal/document"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// formats are files with one preserved value and one that is not: as proven,
// broken, and put back.
var formats = []struct{ file, path, good, bad, want string }{
	{
		"c.yaml", "onboarding.seen",
		"# why\nmodel: good # keep me\nonboarding:\n  seen: 1\n",
		"model: bad\nonboarding: {seen: 7}\n",
		"# why\nmodel: good # keep me\nonboarding:\n  seen: 7\n",
	},
	{"c.json", "seen", "{\"model\": \"good\",\n \"seen\": false}\n", "{\"seen\": true, \"model\": \"bad\"}", "{\"model\": \"good\",\n \"seen\": true}\n"},
	{"c.json5", "seen", "{model: 'good', // why\n seen: 1,}\n", "{model: 'bad', seen: 7}", "{model: 'good', // why\n seen: 7,}\n"},
	{".env", "SEEN", "# why\nMODEL=good\nSEEN=1\n", "MODEL=bad\nSEEN=7\n", "# why\nMODEL=good\nSEEN=7\n"},
}

func preserving(t *testing.T) (*world, snapshot.Manifest) {
	t.Helper()
	set := snapshot.Set{Root: "home", Files: []string{"*"}}
	for _, f := range formats {
		set.Preserve = append(set.Preserve, document.Key{File: f.file, Path: f.path})
	}
	w := newWorld(t, set)
	for _, f := range formats {
		w.write("home/"+f.file, f.good)
	}
	good := w.capture("healthy")
	for _, f := range formats {
		w.write("home/"+f.file, f.bad)
	}
	return w, good
}

// preserved is the tree that preserving is to be.
func preserved(t *testing.T) string {
	w := newWorld(t, snapshot.Set{Root: "home", Files: []string{"*"}})
	for _, f := range formats {
		w.write("home/"+f.file, f.want)
	}
	return w.tree()
}

func TestPreservedValuesAreSpliced(t *testing.T) {
	t.Parallel()
	w, good := preserving(t)
	p := w.plan(good)
	report := w.execute(p)
	for _, f := range formats {
		if got := w.read("home/" + f.file); got != f.want {
			t.Errorf("%s holds %q, want %q", f.file, got, f.want)
		}
	}
	if len(report.Notes) > 0 {
		t.Errorf("notes: %q", report.Notes)
	}
	for _, r := range p.Reverted() {
		if len(r.Keys) != 1 || !strings.EqualFold(r.Keys[0].Path, "model") {
			t.Errorf("%s: reverted %v", r.Name, r.Keys)
		}
	}
	entries, err := os.ReadDir(filepath.Join(w.state, "plan.d"))
	w.must(err)
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("staged %v, %v", info.Mode(), err)
		}
	}
	if len(entries) != len(formats) {
		t.Errorf("%d files are staged", len(entries))
	}
	// The next plan needs none of them.
	w.write("home/c.yaml", "model: good\nonboarding: {seen: 1}\n")
	p = &restore.Plan{Version: restore.Version}
	w.must(p.Save(w.state))
	if entries, _ = os.ReadDir(filepath.Join(w.state, "plan.d")); len(entries) > 0 {
		t.Errorf("%d files are left", len(entries))
	}
}

// The newest that parses is not always Keep's.
func TestPreservedValuesComeFromTheNewestThatParses(t *testing.T) {
	t.Parallel()
	set := snapshot.Set{Root: "home", Files: []string{"c.yaml"}, Preserve: []document.Key{{File: "c.yaml", Path: "seen"}}}
	w := newWorld(t, set)
	var manifests []snapshot.Manifest
	for _, text := range []string{"a: 1\nseen: 1\n", "a: 2\nseen: 2\n", "a: 3\nseen: 3\n", "a: [\nseen: 4\n", ""} {
		w.write("home/c.yaml", text)
		manifests = append(manifests, w.capture("healthy"))
	}
	good, keep := manifests[0], manifests[len(manifests)-1]
	slices.Reverse(manifests)
	for _, tt := range []struct {
		name string
		from []snapshot.Manifest
		want string
		note string
	}{
		{"newest", manifests, "a: 1\nseen: 3\n", ""},
		{"none parses", manifests[:2], "a: 1\nseen: 1\n", "no newer version of it parses"},
		{"none given", nil, "a: 1\nseen: 1\n", "no newer version of it parses"},
	} {
		p, err := restore.Prepare(now, w.store, good, keep, w.sets, tt.from)
		w.must(err)
		w.must(p.Save(w.state))
		report := w.execute(p)
		if got := w.read("home/c.yaml"); got != tt.want {
			t.Errorf("%s: put back %q", tt.name, got)
		}
		if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, tt.note) || tt.note == "" && notes != "" {
			t.Errorf("%s: notes %q", tt.name, notes)
		}
		w.write("home/c.yaml", "")
	}
}

func TestWhatCannotBeSplicedGoesBackAsItIs(t *testing.T) {
	t.Parallel()
	set := snapshot.Set{Root: "home", Files: []string{"c.yaml"}, Preserve: []document.Key{{File: "c.yaml", Path: "on.seen"}}}
	w := newWorld(t, set)
	w.write("home/c.yaml", "on: 1\n") // no mapping to put seen in
	good, want := w.capture("healthy"), w.tree()
	w.write("home/c.yaml", "on: {seen: secret}\n")
	report := w.execute(w.plan(good))
	same(t, "tree", w.tree(), want)
	notes := strings.Join(report.Notes, "\n")
	if !strings.Contains(notes, "c.yaml: goes back without preserved values") || strings.Contains(notes, "secret") {
		t.Errorf("notes: %q", notes)
	}
}
