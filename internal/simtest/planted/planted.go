// Package planted puts known faults into the program, for suites that must find
// them: a suite that finds none of what is planted finds nothing.
//
// A fault is a text file: the rule that it breaks, with its place in the design; a
// line `file PATH`, and more lines of that form if the suite has use for them; and
// a part of that file as it is (`old`) and as it becomes (`new`). It is planted by
// an overlay, so that nothing in the checkout changes.
package planted

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Fault is one that is planted.
type Fault struct {
	// Rule is what it breaks, Words are the lines after that, by their first word.
	Rule  string
	Words map[string]string
	// Overlay is the file for `go build -overlay`.
	Overlay string
}

// Plant reads the fault at path and makes its overlay in dir. top is the root of
// the module.
func Plant(path, top, dir string) (Fault, error) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return Fault{}, err
	}
	rule, rest, _ := strings.Cut(strings.TrimSpace(string(archive.Comment)), "\n")
	f := Fault{Rule: strings.TrimPrefix(rule, "# "), Words: map[string]string{}, Overlay: filepath.Join(dir, "overlay.json")}
	for line := range strings.Lines(rest) {
		word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		f.Words[word] = text
	}
	if f.Words["file"] == "" || len(archive.Files) != 2 {
		return f, errors.New("a fault is a rule, a file, and what is old and new in it")
	}
	original, err := filepath.Abs(filepath.Join(top, f.Words["file"]))
	if err != nil {
		return f, err
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return f, err
	}
	before := strings.TrimSuffix(string(archive.Files[0].Data), "\n")
	after := strings.TrimSuffix(string(archive.Files[1].Data), "\n")
	if strings.Count(string(text), before) != 1 {
		return f, fmt.Errorf("%s is not once in %s", archive.Files[0].Name, f.Words["file"])
	}
	copied := filepath.Join(dir, "planted.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		return f, err
	}
	return f, errors.Join(
		os.WriteFile(copied, []byte(strings.Replace(string(text), before, after, 1)), 0o644),
		os.WriteFile(f.Overlay, overlay, 0o644),
	)
}
