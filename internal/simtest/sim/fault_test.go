package sim_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
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
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, file, ok := strings.Cut(strings.TrimSpace(string(archive.Comment)), "\nfile ")
			if !ok || len(archive.Files) != 2 {
				t.Fatal("a fault is a rule, a file, and what is old and new in it")
			}
			original, err := filepath.Abs(filepath.Join("../../..", file))
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			old := strings.TrimSuffix(string(archive.Files[0].Data), "\n")
			if strings.Count(string(text), old) != 1 {
				t.Fatalf("%s is not once in %s", archive.Files[0].Name, file)
			}
			planted := filepath.Join(t.TempDir(), "planted.go")
			text = []byte(strings.Replace(string(text), old, strings.TrimSuffix(string(archive.Files[1].Data), "\n"), 1))
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: planted}})
			if err != nil {
				t.Fatal(err)
			}
			overlayFile := filepath.Join(t.TempDir(), "overlay.json")
			for name, data := range map[string][]byte{planted: text, overlayFile: overlay} {
				if err := os.WriteFile(name, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("go", "test", "-overlay", overlayFile, "-run", "^TestHistories$", ".", "-histories", "20000", "-noshrink").CombinedOutput()
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
