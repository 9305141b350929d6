package sim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/simtest/planted"
)

// TestFaults plants each fault of faults/*.txt, one at a time, and has the
// simulation find it. They are chosen from the design: a rule, and what the code
// would be that breaks it. One that is not caught is a rule that nobody watches.
func TestFaults(t *testing.T) {
	if os.Getenv("DEADMAN_RUN") != "sim" {
		t.Skip("`make sim` runs it")
	}
	paths, err := filepath.Glob("faults/*.txt")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d faults: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			fault, err := planted.Plant(path, "../../..", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "test", "-overlay", fault.Overlay, "-run", "^TestHistories$", ".", "-histories", "20000", "-noshrink").CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("not caught in 20000 histories")
			case !strings.Contains(string(out), "seed "):
				t.Errorf("it does not build:\n%s", out)
			default:
				_, found, _ := strings.Cut(string(out), "seed ")
				found, _, _ = strings.Cut(found, "\n")
				t.Log("caught: seed " + found)
			}
		})
	}
}
