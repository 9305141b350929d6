package powerloss_test

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	. "deadman/internal/simtest/powerloss"
)

// root is the module, from here.
const root = "../../.."

//go:embed removals.txt
var removalsText string

// removal is a line of removals.txt: a sync, and the deed that must miss it.
type removal struct{ sync, deed string }

func removals(t *testing.T) []removal {
	t.Helper()
	var list []removal
	for n, line := range strings.Split(removalsText, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		sync, rest, ok := strings.Cut(line, " | ")
		if !ok {
			t.Fatalf("removals.txt:%d: no bar", n+1)
		}
		list = append(list, removal{strings.TrimSpace(sync), strings.TrimSpace(rest)})
	}
	return list
}

// TestEverySyncIsListed: none can be added to the program, or taken out of it,
// without a word about who misses it.
func TestEverySyncIsListed(t *testing.T) {
	t.Parallel()
	syncs, err := Syncs(root)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, s := range syncs {
		want = append(want, s.String())
	}
	for _, r := range removals(t) {
		got = append(got, r.sync)
		if !slices.Contains(deedNames, r.deed) {
			t.Errorf("%s: no deed is called %q", r.sync, r.deed)
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			t.Errorf("removals.txt lacks a line for\n%s", s)
		}
	}
	for i, s := range got {
		if !slices.Contains(want, s) {
			t.Errorf("removals.txt has a line for a sync that is not in the source:\n%s", s)
		}
		if slices.Contains(got[:i], s) {
			t.Errorf("removals.txt has two lines for\n%s", s)
		}
	}
	if len(want) < 30 {
		t.Errorf("only %d syncs were found: is the module at %s?", len(want), root)
	}
}

// deedNames are those of all deeds, on every system.
var deedNames = strings.Fields(`capture rollback tree accept restore full retention root in-place no-exchange raced raced-remove raced-no-exchange raced-crash raced-remove-crash killed in-place-killed in-place-full in-the-way reserve spool aside child owned rivals init`)
