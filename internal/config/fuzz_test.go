package config_test

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/config"
	"deadman/internal/snapshot"
)

// There are two implementations of patterns: this package's compares them with each
// other, to find files of two agents, and snapshot's walks directories. What one
// accepts the other accepts; both match the same paths; and what is covered by an
// exclusion here is not captured there.
func FuzzPatterns(f *testing.F) {
	for _, s := range [][3]string{
		{"config.yaml", "x", "config.yaml"},
		{"**/*.yaml", "conf.d", "conf.d/a.yaml"},
		{"a/**/z", "*.bak", "a/b/c/z"},
		{"**", "sessions/*", "sessions/1/2"},
		{"[^a-z]?.json", "**/b", "1x.json"},
		{`odd\[1\].yaml`, "**", "odd[1].yaml"},
		{"a/**", "a/**", "a/b"},
		{`\.\./x`, "x", "y"},
		{"[]a]", "[z-a]", "]"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, pattern, exclude, name string) {
		// A file in UTF-8 without NUL is all that YAML has.
		if !utf8.ValidString(pattern) || !utf8.ValidString(exclude) || !utf8.ValidString(name) || strings.ContainsRune(pattern+exclude+name, 0) || len(pattern) > 100 || len(name) > 60 {
			return
		}
		for _, p := range []string{pattern, exclude} {
			ours, theirs := config.WrongPattern(p), snapshot.ValidPattern(p)
			if ours == "" && theirs != nil {
				t.Fatalf("%q is accepted here, and there %v", p, theirs)
			}
			if ours != "" && theirs == nil && !strings.HasPrefix(p, "~") && !strings.Contains(p, "${") {
				t.Fatalf("%q is accepted there, and here %s", p, ours)
			}
		}
		if config.WrongPattern(pattern) != "" || strings.Contains(name, ".deadman-") || !filepath.IsLocal(name) || name != path.Clean(name) || name == "." {
			return
		}
		set := snapshot.Set{Root: "/r", Files: []string{pattern}}
		if here, there := config.PatternMatches("/r", pattern, name), set.Matches(name); here != there {
			t.Fatalf("%q matches %q: here %v, there %v", pattern, name, here, there)
		}
		if config.WrongPattern(exclude) == "" && config.PatternCovers("/r", exclude, pattern) {
			if set.Exclude = []string{exclude}; set.Matches(name) {
				t.Fatalf("%q is said to cover %q, and %q is captured", exclude, pattern, name)
			}
		}
	})
}

// A drop-in that is broken, in whatever way, disarms no other: the agents of the
// rest are there as they are without it, and it is named in what is said.
func FuzzDropIn(f *testing.F) {
	f.Add([]byte("agents: {b: {preset: x}}"))
	f.Add([]byte(strings.Replace(minimal, "agents", "\tagents", 1)))
	f.Add([]byte("agents:\n  a: {}\n"))
	f.Add([]byte("defaults: {period: 1ms}\nstate-dir: /x\n"))
	f.Add([]byte("agents:\n  c:\n    config: {root: /c, files: [x]}\n    supervisor: {systemd: c.service}\n"))
	f.Add([]byte{0xff, 0xfe, 0})
	good := config.Source{File: "/c/conf.d/1.yaml", Data: []byte("agents:\n  good:\n    config: {root: /good, files: [a]}\n    supervisor: {systemd: good.service}\n")}
	alone, problems := config.Parse("/s", config.Source{File: "/c/deadman.yaml"}, good)
	if problems != nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		other := config.Source{File: "/c/conf.d/2.yaml", Data: src}
		c, problems := config.Parse("/s", config.Source{File: "/c/deadman.yaml"}, good, other)
		for _, p := range problems {
			if p.File != other.File && p.File != good.File {
				t.Fatalf("a problem of %q", p.File)
			}
		}
		i := slices.IndexFunc(c.Agents, func(a config.Agent) bool { return a.Name == "good" })
		// Only what would share a file, an agent's name or a supervisor is its business.
		for _, p := range problems {
			if strings.Contains(p.Message, "good") {
				return
			}
		}
		if i < 0 {
			t.Fatalf("the good one is gone: %v", problems)
		}
		if diff := cmp.Diff(alone.Agents[0], c.Agents[i]); diff != "" {
			t.Fatalf("the good one changed:\n%s", diff)
		}
	})
}

// What is planted in a value that may be a secret is in no problem, and neither is
// what stands where the file breaks. Of other values nothing is in the messages.
func FuzzSecret(f *testing.F) {
	const mark = "7f3a91c5Zq"
	for _, s := range []string{
		"agents:\n  a:\n    notify: ['ntfy://h/#']\n    period: x\n", "agents:\n  a:\n    ping: htp://h/#\n", "agents:\n  a:\n    notfy: [#]\n",
		"agents: {a: {checks: {c: {http: {url: 'http://h/', headers: {A: #}}}}}", "agents:\n  a:\n    supervisor:\n      child: [x]\n      env: {A: #\n",
		"agents:\n  a:\n    log: #\n    log: b\n", "# #\n:", "state-dir: #", "agents:\n- #\n", "agents:\n  a:\n    config: {root: #, files: #, preserve: ['#']}\n",
		"agents:\n  a:\n    period: #\n    threshold: #\n    probation: [#]\n    recovery: {mode: #}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		planted := []byte(strings.ReplaceAll(string(src), "#", mark))
		_, problems := config.Parse("/s", config.Source{File: "f", Data: planted})
		for _, p := range problems {
			if strings.Contains(p.Message, mark) && !named(string(planted), mark) {
				t.Fatalf("%s\nin:\n%s", p.Message, planted)
			}
		}
	})
}

// named reports whether the mark may be part of a key or the name of an agent,
// which messages are allowed to name.
func named(src, mark string) bool {
	for line := range strings.Lines(src) {
		_, after, found := strings.Cut(line, mark)
		if found && strings.ContainsAny(after, ":?,}") {
			return true
		}
	}
	return strings.Contains(src, "?") || strings.Contains(src, "&") || strings.Contains(src, "*")
}
