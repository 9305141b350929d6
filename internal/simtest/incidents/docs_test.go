package incidents_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/simtest/incidents"
)

var update = flag.Bool("update", false, "write docs/incidents.md")

const document = "../../../docs/incidents.md"

// known are the numbers of the incidents that were collected. They are stable, and
// each is replayed or on the list of those that are not.
const known = "1-6 9-11 13-15 17-19 21-23 25-28 30 31 33-36 38-40 42-47 49-51 53 54 56-58 60-62 64 65 68 69 71-73 75 76 78 80"

// notReplayed is the list, as lines of a number and the reason.
func notReplayed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/not-replayed.txt")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestEveryIncidentIsAccountedFor: it is replayed, or the list says why it is not.
func TestEveryIncidentIsAccountedFor(t *testing.T) {
	t.Parallel()
	replayed, listed := map[int]bool{}, map[int]string{}
	for _, s := range scenarios(t) {
		prefix, _, _ := strings.Cut(s.Name, "-")
		number, err := strconv.Atoi(strings.TrimRight(prefix, "abcdefgh"))
		if err != nil || !strings.HasPrefix(s.Title, fmt.Sprintf("%d. ", number)) {
			t.Errorf("%s: its name and its title begin with its number", s.Name)
		}
		replayed[number] = true
	}
	for _, line := range notReplayed(t) {
		first, why, _ := strings.Cut(line, " ")
		number, err := strconv.Atoi(first)
		if err != nil || len(why) < 20 {
			t.Errorf("not-replayed.txt: %q is not a number and a reason", line)
		}
		if replayed[number] && !strings.HasPrefix(why, "In part:") {
			t.Errorf("not-replayed.txt: %d is replayed; what of it is not begins with \"In part:\"", number)
		}
		listed[number] = why
	}
	for span := range strings.FieldsSeq(known) {
		from, to, ok := strings.Cut(span, "-")
		if !ok {
			to = from
		}
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		for n := first; n <= last; n++ {
			if !replayed[n] && listed[n] == "" {
				t.Errorf("incident %d has no scenario, and not-replayed.txt does not say why", n)
			}
		}
	}
}

func TestDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	want := incidents.Document(scenarios(t), notReplayed(t))
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the scenarios say; run `go test ./internal/simtest/incidents -update`\n%s", document, diff)
	}
}
