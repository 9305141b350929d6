package snapshot_test

import (
	"testing"

	"deadman/internal/snapshot"
)

func TestValidPattern(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		"config.yaml", ".env", "conf.d/*.yaml", "**", "**/*.bak*", "a/**/b", "[a-z]?.json", `odd\[1\].yaml`, "käse.yml", "...",
	} {
		if err := snapshot.ValidPattern(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	for _, pattern := range []string{
		"", "/etc/passwd", "..", "../x", "a/../b", "./a", "a//b", "a/", "[a", "*[", `a\`, "a**", "**b/c", "a\x00b", "\xff", `\.\.`, `\./x`,
	} {
		if err := snapshot.ValidPattern(pattern); err == nil {
			t.Errorf("%q is accepted", pattern)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		files, exclude, reads []string
		match, other          []string
	}{
		{
			files: []string{"config.yaml", "conf.d/*.yaml"},
			match: []string{"config.yaml", "conf.d/a.yaml", "conf.d/.hidden.yaml"},
			other: []string{"config.yml", "conf.d", "conf.d/a/b.yaml", "x/config.yaml", "", "/config.yaml", "../config.yaml", "conf.d/../conf.d/a.yaml"},
		}, {
			files: []string{"**/*.yaml"},
			match: []string{"a.yaml", "x/a.yaml", "x/y/z/.a.yaml"},
			other: []string{"a.yml", "x", "x/.deadman-ABC.yaml", ".deadman-x/a.yaml"},
		}, {
			files: []string{"a/**/z", "b/**"},
			match: []string{"a/z", "a/b/z", "a/b/c/z", "b/x", "b/x/y"},
			other: []string{"a", "b", "z", "a/b"},
		}, {
			files:   []string{"**"},
			exclude: []string{"auth.json", "sessions/*", "*.bak", "cache"},
			match:   []string{"a", "x/sessions/y", "sessions", "caches"},
			other:   []string{"auth.json", "deep/er/auth.json", "sessions/1", "sessions/1/2", "a.bak", "x/a.bak", "old.bak/a", "cache/a/b", "x/cache/a"},
		}, {
			files: []string{"*.yaml"},
			reads: []string{"shared.yaml"},
			match: []string{"a.yaml"},
			other: []string{"shared.yaml"},
		}, {
			files: []string{`odd\[1\].yaml`, "b[12]"},
			match: []string{"odd[1].yaml", "b1"},
			other: []string{"odd1.yaml", "b3"},
		},
	}
	for _, test := range tests {
		set := snapshot.Set{Root: "/r", Files: test.files, Exclude: test.exclude, Reads: test.reads}
		for _, path := range test.match {
			if !set.Matches(path) {
				t.Errorf("%q excluding %q does not match %q", test.files, test.exclude, path)
			}
		}
		for _, path := range test.other {
			if set.Matches(path) {
				t.Errorf("%q excluding %q matches %q", test.files, test.exclude, path)
			}
		}
	}
}

func TestMatchKnowsLabelsAndTypes(t *testing.T) {
	t.Parallel()
	sets := []snapshot.Set{
		{Label: "main", Root: "/a", Files: []string{"conf.d/*.yaml"}, Exclude: []string{"old"}},
		{Label: "web", Root: "/b", Files: []string{"*.json"}},
	}
	tests := []struct {
		member snapshot.Member
		want   bool
	}{
		{snapshot.Member{Set: "main", Path: "conf.d/a.yaml", Type: snapshot.File}, true},
		{snapshot.Member{Set: "main", Path: "conf.d", Type: snapshot.Dir}, true},
		{snapshot.Member{Set: "main", Path: "conf.d", Type: snapshot.Link}, true},
		{snapshot.Member{Set: "main", Path: "conf.d", Type: snapshot.File}, false},
		{snapshot.Member{Set: "main", Path: "old", Type: snapshot.Dir}, false},
		{snapshot.Member{Set: "main", Path: "a.json", Type: snapshot.File}, false},
		{snapshot.Member{Set: "web", Path: "a.json", Type: snapshot.File}, true},
		{snapshot.Member{Set: "web", Path: "a.json", Type: snapshot.File, Reads: true}, false},
		{snapshot.Member{Set: "gone", Path: "a.json", Type: snapshot.File}, false},
	}
	for _, test := range tests {
		if got := snapshot.Match(sets, test.member); got != test.want {
			t.Errorf("%s %s: %v, want %v", test.member.Type, test.member.Name(), got, test.want)
		}
	}
}
