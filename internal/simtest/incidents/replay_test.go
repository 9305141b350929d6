package incidents_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deadman/internal/simtest/incidents"
)

var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "deadman-replay")
	if err != nil {
		panic(err)
	}
	programs = dir
	build := exec.Command("go", "build", "-o", dir, "deadman/cmd/deadman", "deadman/internal/simtest/gateway/gateway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func scenarios(t *testing.T) []*incidents.Scenario {
	t.Helper()
	paths, err := filepath.Glob("*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var out []*incidents.Scenario
	for _, path := range paths {
		s, err := incidents.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// play runs a scenario under a system in a directory of its own.
func play(t *testing.T, s *incidents.Scenario, system incidents.System) incidents.Verdict {
	t.Helper()
	if lack := s.Lacks(); lack != "" {
		if slices.Contains(strings.Fields(os.Getenv("DEADMAN_REQUIRE")), lack) {
			t.Fatalf("%s is required, and missing", lack)
		}
		t.Skipf("it needs %s", lack)
	}
	w, err := incidents.NewWorld(s, t.TempDir(), programs)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Run(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		for _, line := range system.Told(w) {
			t.Log(line)
		}
	}
	return v
}

// TestReplay: deadman passes all five judgements in every incident, as a watch and
// as a check on a schedule.
func TestReplay(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "replay" {
		t.Skip("`make replay` runs it")
	}
	for _, s := range scenarios(t) {
		for _, system := range []incidents.System{&incidents.Deadman{}, &incidents.Deadman{OneShot: true}} {
			if s.Only != nil && !slices.Contains(s.Only, system.Name()) {
				continue
			}
			t.Run(s.Name+"/"+system.Name(), func(t *testing.T) {
				t.Parallel()
				if v := play(t, s, system); v.Failed() > 0 {
					t.Errorf("%s\n%s", s.Title, strings.Join(v.Why, "\n"))
				}
			})
		}
	}
}

// TestNothing: without a guard every incident fails a judgement, or it would
// prove nothing that deadman passes it.
func TestNothing(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "replay" {
		t.Skip("`make replay` runs it")
	}
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if v := play(t, s, incidents.Nothing{}); v.Failed() == 0 {
				t.Error("it passes all judgements")
			}
		})
	}
}
