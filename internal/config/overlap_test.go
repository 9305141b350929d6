package config_test

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"deadman/internal/config"
)

// The overlap of two patterns is decided without a file system. Here paths are
// tried one by one: two patterns that one path matches must be reported, and
// what is reported must not be what an exclude takes away entirely.
func TestOverlapAgreesWithMatching(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, a := range []string{"a", "b", "ab"} {
		paths = append(paths, a)
		for _, b := range []string{"a", "b", "ab"} {
			paths = append(paths, a+"/"+b)
			for _, c := range []string{"a", "b", "ba"} {
				paths = append(paths, a+"/"+b+"/"+c)
			}
		}
	}
	element := rapid.SampledFrom([]string{"a", "b", "ab", "*", "?", "a*", "*b", "[ab]", "[^a]", "**", "?b"})
	patterns := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(element, 1, 3).Draw(t, "elements"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		rootA := rapid.SampledFrom([]string{"/", "/a", "/b"}).Draw(t, "root a")
		rootB := rapid.SampledFrom([]string{"/", "/a", "/a/b"}).Draw(t, "root b")
		a, b, exclude := patterns.Draw(t, "a"), patterns.Draw(t, "b"), patterns.Draw(t, "exclude")
		src := fmt.Sprintf(`
state-dir: /elsewhere/with/a/very/long/name
agents:
  a: {config: {root: %s, files: ["%s"]}, supervisor: {child: [x]}}
  b: {config: {root: %s, files: ["%s"], exclude: ["%s"]}, supervisor: {child: [x]}}
`, rootA, a, rootB, b, exclude)
		_, problems := config.Parse("/s", config.Source{File: "f", Data: []byte(src)})
		reported := false
		for _, p := range problems {
			if strings.Contains(p.Message, "own state directory") {
				return // `**` beneath / holds the state too; that is another test
			}
			reported = reported || strings.Contains(p.Message, "cannot guard a file twice")
		}
		shared := ""
		for _, p := range paths {
			if beneath(rootA, a, p) && beneath(rootB, b, p) && !excluded(rootB, exclude, p) {
				shared = p
			}
		}
		if shared != "" && !reported {
			t.Fatalf("both match /%s, and that is not reported:\n%s", shared, src)
		}
		if exclude == b && reported {
			t.Fatalf("all of b is excluded, and an overlap is reported:\n%s", src)
		}
	})
}

// beneath matches the slow and plain way.
func beneath(root, pattern, p string) bool {
	rel, ok := relative(root, p)
	return ok && matches(strings.Split(pattern, "/"), strings.Split(rel, "/"))
}

func relative(root, p string) (string, bool) {
	if root == "/" {
		return p, true
	}
	return strings.CutPrefix("/"+p, root+"/")
}

func matches(pattern, names []string) bool {
	switch {
	case len(pattern) == 0 || len(names) == 0:
		return len(pattern) == 0 && len(names) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return true
	case pattern[0] == "**":
		return matches(pattern[1:], names) || matches(pattern, names[1:])
	}
	ok, _ := path.Match(pattern[0], names[0])
	return ok && matches(pattern[1:], names[1:])
}

// excluded is true if an exclude matches the path or a directory above it, or
// without a slash the base name of either.
func excluded(root, pattern, p string) bool {
	rel, ok := relative(root, p)
	if !ok {
		return false
	}
	names := strings.Split(rel, "/")
	for i := range names {
		base, _ := path.Match(pattern, names[i])
		if matches(strings.Split(pattern, "/"), names[:i+1]) || (!strings.Contains(pattern, "/") && (base || pattern == "**")) {
			return true
		}
	}
	return false
}
