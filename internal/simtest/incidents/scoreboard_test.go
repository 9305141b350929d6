package incidents_test

import (
	"os"
	"strings"
	"testing"

	"deadman/internal/simtest/incidents"
)

func TestScoreboard(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "scoreboard" {
		t.Skip("`make scoreboard` runs it")
	}
	for _, s := range scenarios(t) {
		for _, p := range incidents.Peers() {
			if p.Missing() != "" {
				continue
			}
			t.Run(s.Name+"/"+p.Name(), func(t *testing.T) {
				t.Parallel()
				v := play(t, s, p)
				t.Logf("%v\n%s", v.Passed, strings.Join(v.Why, "\n"))
			})
		}
	}
}
