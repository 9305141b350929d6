package lifecycle_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"deadman"
	"deadman/internal/lifecycle"
)

// TestArmOracle: what is armed goes back with the first round that is not before
// the deadline of the last word and sees another config, unless a person has
// confirmed since that word.
func TestArmOracle(t *testing.T) {
	oracle(t, func(t *rapid.T) {
		p := lifecycle.DefaultPolicy()
		p.Probation = 1000 * time.Hour // Nothing is promoted meanwhile.
		tr := servingTrace(p)
		names := []string{"A", "B", "C"}
		var armed string
		var until time.Time
		for range 30 {
			tr.now = tr.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "after")) * time.Second)
			switch what := rapid.IntRange(0, 6).Draw(t, "what"); what {
			case 0:
				armed = tr.round.Live.Identity
				until = tr.now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "for")) * time.Second)
				config := tr.round.Live.Config
				config.Snapshot = armed
				tr.step(lifecycle.Event{Word: &lifecycle.Word{Verb: lifecycle.Arm, Config: config, Until: until}})
			case 1:
				armed = ""
				tr.step(lifecycle.Event{Word: &lifecycle.Word{Verb: lifecycle.Confirm}})
			case 2, 3:
				name := rapid.SampledFrom(names).Draw(t, "write")
				tr.round.Live.Hash, tr.round.Live.Identity = "hash-"+name, name
				tr.round.Live.Changed, tr.round.Live.Written = tr.now, tr.now
			default:
				r := tr.round
				tr.step(lifecycle.Event{Round: &r})
				over := armed != "" && !tr.now.Before(until)
				want := over && tr.round.Live.Identity != armed
				if got := tr.state.Pending.Reason == deadman.ArmExpired; got != want {
					t.Fatalf("armed %q until %v, live %s at %v: goes back is %v, should be %v", armed, until, r.Live.Identity, tr.now, got, want)
				}
				if want {
					return
				}
				if over {
					armed = ""
				}
				if !tr.state.Armed.IsZero() != (armed != "") {
					t.Fatalf("armed is %v, should be %q", tr.state.Armed, armed)
				}
				for tr.state.Pending.Deed() {
					tr.done(lifecycle.Outcome{OK: true, Live: tr.round.Live, Snapshot: tr.round.Live.Identity})
				}
			}
		}
	})
}

// TestStateTrip: what a State says of a config of which nothing is known is not
// lost on its way through JSON.
func TestStateTrip(t *testing.T) {
	s := lifecycle.State{
		Seen:  lifecycle.Seen{HeldFor: time.Minute, Unready: true},
		Trial: lifecycle.Trial{Outcome: deadman.TrialEnded},
		Armed: lifecycle.Armed{Span: time.Minute},
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again lifecycle.State
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(s, again) {
		t.Errorf("%s\n%+v\n%+v\n%v", text, s, again, err)
	}
}
