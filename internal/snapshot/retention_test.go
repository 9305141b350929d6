package snapshot_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"deadman"
	"deadman/internal/snapshot"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPlan reads scenarios from testdata/retention.txt. Each begins with "# "
// and what it shows, then has lines "known ID", "needed ID…", "policy NEWEST
// PROVEN" and one line a snapshot:
//
//	ID MINUTE[..SEEN] STANDING IDENTITY [pinned]
//
// and after "----" the plan. Change the plan with -update only if you
// understand what made it change.
func TestPlan(t *testing.T) {
	t.Parallel()
	const file = "testdata/retention.txt"
	golden, err := os.ReadFile(file)
	must(t, err)
	var got strings.Builder
	for i, scenario := range strings.Split(strings.TrimSpace(string(golden)), "\n\n") {
		input, _, ok := strings.Cut(scenario, "\n----")
		if !ok {
			t.Fatalf("scenario without ----: %q", scenario)
		}
		if i > 0 {
			got.WriteString("\n")
		}
		fmt.Fprintf(&got, "%s\n----\n", input)
		manifests, known, policy, needed := parseScenario(t, input)
		for _, v := range snapshot.Plan(manifests, known, policy, needed) {
			fmt.Fprintf(&got, "%-6s %s: %s\n", map[bool]string{true: "keep", false: "remove"}[v.Keep], v.ID, v.Reason)
		}
	}
	if *update {
		must(t, os.WriteFile(file, []byte(got.String()), 0o644))
	} else if got.String() != string(golden) {
		t.Errorf("%s has changed; got\n%s", file, got.String())
	}
}

func parseScenario(t *testing.T, input string) (manifests []snapshot.Manifest, known string, policy snapshot.Retention, needed []string) {
	policy = snapshot.DefaultRetention
	for line := range strings.Lines(input) {
		words := strings.Fields(line)
		switch words[0] {
		case "#":
		case "known":
			known = words[1]
		case "needed":
			needed = words[1:]
		case "policy":
			if _, err := fmt.Sscan(words[1]+" "+words[2], &policy.Newest, &policy.Proven); err != nil {
				t.Fatal(err)
			}
		default:
			var created, seen int
			if n, _ := fmt.Sscanf(words[1], "%d..%d", &created, &seen); n < 2 {
				seen = created
			}
			m := snapshot.Manifest{
				ID: words[0], Identity: words[3], Pinned: slices.Contains(words, "pinned"),
				Created: noon.Add(time.Duration(created) * time.Minute), Seen: noon.Add(time.Duration(seen) * time.Minute),
			}
			must(t, m.Standing.UnmarshalText([]byte(words[2])))
			manifests = append(manifests, m)
		}
	}
	return manifests, known, policy, needed
}

// TestPlanProperties holds for every store that anybody can come to have.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		minute := rapid.IntRange(0, 300)
		manifests := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) snapshot.Manifest {
			return snapshot.Manifest{
				Standing: deadman.Standing(rapid.IntRange(0, 4).Draw(t, "standing")),
				Identity: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}).Draw(t, "identity"),
				Pinned:   rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
				Created:  noon.Add(time.Duration(minute.Draw(t, "created")) * time.Minute),
				Seen:     noon.Add(time.Duration(minute.Draw(t, "seen")) * time.Minute),
			}
		}), 0, 80).Draw(t, "manifests")
		ids := []string{""}
		for i := range manifests {
			manifests[i].ID = fmt.Sprintf("s%02d", i)
			ids = append(ids, manifests[i].ID)
		}
		known := rapid.SampledFrom(ids).Draw(t, "known")
		needed := rapid.SliceOfN(rapid.SampledFrom(ids), 0, 3).Draw(t, "needed")
		policy := snapshot.Retention{Newest: rapid.IntRange(0, 25).Draw(t, "newest"), Proven: rapid.IntRange(0, 5).Draw(t, "proven")}

		input := slices.Clone(manifests)
		plan := snapshot.Plan(manifests, known, policy, needed)
		verdicts := map[string]snapshot.Verdict{}
		for _, v := range plan {
			if _, twice := verdicts[v.ID]; twice {
				t.Fatalf("%s has two verdicts", v.ID)
			}
			if v.Reason == "" {
				t.Fatalf("%s has no reason", v.ID)
			}
			verdicts[v.ID] = v
		}
		if len(verdicts) != len(manifests) {
			t.Fatalf("%d verdicts on %d snapshots", len(verdicts), len(manifests))
		}

		var kept []snapshot.Manifest
		proven, keptProven := 0, 0
		blamed := map[deadman.Standing]int{}
		for i, m := range manifests {
			if m.ID != input[i].ID {
				t.Fatal("the input was reordered")
			}
			v := verdicts[m.ID]
			must := m.ID == known || m.Pinned || slices.Contains(needed, m.ID)
			if must && !v.Keep {
				t.Fatalf("%s is removed: %s", m.ID, v.Reason)
			}
			if m.Standing == deadman.Proven {
				proven++
			}
			if !v.Keep {
				continue
			}
			kept = append(kept, m)
			if m.Standing == deadman.Proven {
				keptProven++
			}
			if !must {
				blamed[m.Standing]++
			}
		}
		if keptProven < min(proven, policy.Proven) {
			t.Fatalf("%d of %d proven are kept, and the policy says %d", keptProven, proven, policy.Proven)
		}
		if blamed[deadman.Suspect] > 10 || blamed[deadman.Bad] > 10 {
			t.Fatalf("too many kept: %v", blamed)
		}
		// Where something of an identity that is blamed was kept before, one is still.
		for _, standing := range []deadman.Standing{deadman.Suspect, deadman.Bad} {
			seen := map[string]bool{}
			for _, m := range manifests {
				if m.Standing == standing {
					seen[m.Identity] = true
				}
			}
			here := map[string]bool{}
			for _, m := range kept {
				if m.Standing == standing {
					here[m.Identity] = true
				}
			}
			if len(here) < min(len(seen), 10) {
				t.Fatalf("of %d identities that are %v, %d are left", len(seen), standing, len(here))
			}
		}
		for _, v := range snapshot.Plan(kept, known, policy, needed) {
			if !v.Keep {
				t.Fatalf("%s is removed by a second plan: %s", v.ID, v.Reason)
			}
		}
	})
}
