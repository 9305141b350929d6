package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
)

// checkStep holds one step against what must hold after every step, whatever
// happened.
func checkStep(p lifecycle.Policy, before, after lifecycle.State, actions []lifecycle.Action, now time.Time) error {
	deeds := 0
	for _, a := range actions {
		if a.Reason == deadman.ReasonUnset {
			return fmt.Errorf("%s has no reason", a.Kind)
		}
		if !a.Deed() {
			continue
		}
		if deeds++; !reflect.DeepEqual(a, after.Pending) {
			return fmt.Errorf("%s was ordered and is not the deed in hand", a.Kind)
		}
		switch a.Kind {
		case lifecycle.DoRestore:
			if a.Snapshot == "" {
				return fmt.Errorf("a restore of nothing")
			}
			if p.Observe {
				return fmt.Errorf("a restore in observe mode")
			}
			if after.Incident.Exhausted || after.Incident.Half || after.Incident.Person != "" {
				break
			}
			if slices.Contains(before.Incident.Tried, after.Incident.Target.Identity) {
				return fmt.Errorf("a target that did not verify is tried again")
			}
		case lifecycle.DoPromote, lifecycle.DoMark:
			if a.Snapshot == "" {
				return fmt.Errorf("%s of nothing", a.Kind)
			}
		case lifecycle.DoStart, lifecycle.DoStop:
			if p.Observe && before.Incident.Person == "" && after.Incident.Person == "" && after.Hold.Verb == "" {
				return fmt.Errorf("%s in observe mode", a.Kind)
			}
		}
	}
	if deeds > 1 {
		return fmt.Errorf("%d deeds at once", deeds)
	}
	if n := len(after.Starts); n > p.StartLimitBurst {
		return fmt.Errorf("%d starts within the window, the limit is %d", n, p.StartLimitBurst)
	}
	if !before.Pending.Deed() && after.Pending.Deed() && after.Attempts <= before.Attempts {
		return fmt.Errorf("the attempt number did not grow")
	}
	timed := slices.Contains([]deadman.Phase{deadman.Verifying, deadman.Waiting, deadman.Failed}, after.Phase)
	if after.Phase != deadman.Confirming && timed != !after.Deadline.IsZero() {
		return fmt.Errorf("%s with deadline %v", after.Phase, after.Deadline)
	}
	if !after.Deadline.IsZero() && after.Deadline.Sub(now) > after.Span {
		return fmt.Errorf("a deadline further away than its full length")
	}
	if after.Known.IsZero() && !before.Known.IsZero() {
		return fmt.Errorf("the known good was lost")
	}
	var again lifecycle.State
	text, err := json.Marshal(after)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &again); err != nil {
		return err
	}
	if !reflect.DeepEqual(after, again) {
		return fmt.Errorf("the state is not itself after a trip through JSON:\n%#v\n%#v", after, again)
	}
	return nil
}
