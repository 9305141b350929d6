package attack_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// faultRounds is in how many rounds a fault must be found, at the latest.
const faultRounds = "20000"

// TestFaults takes away each protection of faults/*.txt, one at a time, and has the
// attack find it. Each names the rule, a file, and what becomes of what in it.
func TestFaults(t *testing.T) {
	if os.Getenv("DEADMAN_RUN") != "attack" {
		t.Skip("`make attack-faults` runs it")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the attacker is to be another user than deadman")
	}
	paths, err := filepath.Glob("faults/*.txt")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d faults: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			out, err := exec.Command("go", "test", "-overlay", overlay(t, path), "-timeout", "1h", "-run", "^TestAttack$", ".", "-rounds", faultRounds).CombinedOutput()
			_, found, caught := strings.Cut(string(out), "violation in ")
			switch {
			case err == nil:
				t.Errorf("not caught in %s rounds", faultRounds)
			case !caught:
				t.Errorf("it fails for another reason:\n%s", out)
			default:
				found, _, _ = strings.Cut(found, "\n")
				t.Log("caught in " + found)
			}
		})
	}
}

// overlay plants a fault: the path of a file for `go test -overlay`.
func overlay(t *testing.T, path string) string {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, file, ok := strings.Cut(strings.TrimSpace(string(archive.Comment)), "\nfile ")
	if !ok {
		t.Fatal("a fault is a rule, a file, and what is old and new in it")
	}
	dir := t.TempDir()
	replace := map[string]string{}
	var old string
	for _, part := range archive.Files {
		switch text := strings.TrimSuffix(string(part.Data), "\n"); {
		case strings.HasPrefix(part.Name, "also "):
			file = strings.TrimPrefix(part.Name, "also ")
		case strings.HasPrefix(part.Name, "old"):
			old = text
		default:
			original, err := filepath.Abs(filepath.Join("../../..", file))
			if err != nil {
				t.Fatal(err)
			}
			planted := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
			from := original
			if _, ok := replace[original]; ok {
				from = planted
			}
			source, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(source), old) != 1 {
				t.Fatalf("what is to be changed for %s is not once in %s", part.Name, file)
			}
			if err := os.WriteFile(planted, []byte(strings.Replace(string(source), old, text, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			replace[original] = planted
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFaultsFit: each fault is of the code as it is.
func TestFaultsFit(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("faults/*.txt")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d faults: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { overlay(t, path) })
	}
}
