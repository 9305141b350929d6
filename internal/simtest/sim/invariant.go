package sim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
)

// CheckStep holds one step against what must hold after every step, whatever
// happened. It is cheap but for [CheckTrip].
func CheckStep(p lifecycle.Policy, before, after lifecycle.State, actions []lifecycle.Action, now time.Time) error {
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
			target := after.Incident.Target.Identity
			if after.Incident.Exhausted || after.Incident.Half || after.Incident.Person != "" {
				break
			}
			if was := before.Incident; a.Reason == deadman.Relapse {
				// It is from one that has verified in the end, whatever came before.
				if !was.Verified || !was.RolledBack || was.Target.Identity != target {
					return fmt.Errorf("a relapse from what has not verified")
				}
				break
			}
			if slices.Contains(after.Incident.Tried, target) && slices.ContainsFunc(after.Incident.Failures,
				func(f lifecycle.Failure) bool { return f.Identity == target }) {
				return fmt.Errorf("a target that did not verify is tried again")
			}
		case lifecycle.DoPromote, lifecycle.DoMark:
			if a.Snapshot == "" {
				return fmt.Errorf("%s of nothing", a.Kind)
			}
		}
		touches := a.Kind == lifecycle.DoStop || a.Kind == lifecycle.DoRestore || a.Kind == lifecycle.DoStart
		if touches && p.Observe && !down(before.Phase) && after.Incident.Person == "" && after.Hold.Verb == "" {
			return fmt.Errorf("%s in observe mode", a.Kind)
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
	told := deadman.KnownGoodLost.String() + " " + before.Known.Snapshot
	if after.Known.IsZero() && !before.Known.IsZero() && !slices.Contains(after.Said, told) {
		return fmt.Errorf("the known good was lost")
	}
	return nil
}

// CheckTrip: a state is itself after a trip through JSON, which is how it is stored.
func CheckTrip(after lifecycle.State) error {
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

// down: the agent is down, or on its way up, by our hand.
func down(phase deadman.Phase) bool {
	switch phase {
	case deadman.Stopping, deadman.Keeping, deadman.Restoring, deadman.Launching, deadman.Verifying, deadman.Waiting, deadman.Failed:
		return true
	}
	return false
}
