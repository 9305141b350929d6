//go:build linux && (amd64 || arm64)

package crash_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"deadman/internal/simtest/crash"
	"deadman/internal/simtest/planted"
)

// TestPlanted plants each fault of faults/*.txt, one at a time, and has the judges
// find it. A fault says in which scenario, and at which calls deadman is killed.
func TestPlanted(t *testing.T) {
	wanted(t, "planted")
	paths, err := filepath.Glob("faults/*.txt")
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d faults: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			if *only != "" && !strings.Contains(path, *only) {
				t.Skip("not asked for")
			}
			t.Parallel()
			fault, err := planted.Plant(path, "../../..", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			p, err := build(t.TempDir(), fault.Overlay)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == fault.Words["scenario"] })
			if i < 0 {
				t.Fatalf("there is no scenario %q", fault.Words["scenario"])
			}
			s := scenarios[i]
			w, err := newWorld(t.TempDir(), p, s.probe())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.close)
			if err := s.prepare(w); err != nil {
				t.Fatal(err)
			}
			if err := w.save(); err != nil {
				t.Fatal(err)
			}
			tried, found := w.find(t, s, regexp.MustCompile("^"+fault.Words["at"]))
			if found == nil {
				t.Fatalf("not caught at %d points", tried)
			}
			text, _, _ := strings.Cut(found.Error(), "\n")
			t.Logf("caught at point %d: %s", tried, text)
		})
	}
}

// find kills the deed before each call of those, until something is found.
func (w *world) find(t *testing.T, s scenario, at *regexp.Regexp) (tried int, found error) {
	t.Helper()
	calls, err := w.list(s)
	if err != nil {
		return 0, err // found with nobody killing it
	}
	for n, call := range calls {
		if !at.MatchString(call) {
			continue
		}
		tried++
		if _, err := w.crash(s, n+1); err != nil {
			return tried, err
		}
	}
	return tried, nil
}

// list is the calls of a deed that is let go, in order.
func (w *world) list(s scenario) (calls []string, err error) {
	_, err = w.letGo(s, func(_ int, h crash.Held) crash.Verdict {
		calls = append(calls, h.String())
		return crash.Verdict{}
	})
	return calls, err
}
