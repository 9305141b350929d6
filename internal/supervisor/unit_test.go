package supervisor_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"deadman"
	"deadman/internal/supervisor"
)

// TestUnits says what the states mean that a unit can be in. testdata/systemd
// holds what `systemctl show` of systemd 252 printed of real units in them.
func TestUnits(t *testing.T) {
	const (
		running  = deadman.Running
		gone     = deadman.Gone
		obscured = deadman.Obscured
	)
	type want struct {
		presence            deadman.Presence
		stopped, activating bool
		latched, exit       string
	}
	wants := map[string]want{
		"running":                 {presence: running},
		"removed-running":         {presence: running}, // its unit file is gone
		"masked-running":          {presence: running},
		"disabled-running":        {presence: running},
		"disabled-while-running":  {presence: running},
		"activating-notify":       {presence: running}, // a process, and not ready yet
		"activating-start-pre":    {presence: gone, activating: true},
		"auto-restart":            {presence: gone, activating: true, exit: "exit 1"},
		"deactivating":            {presence: running, activating: true},
		"remain-after-exit":       {presence: gone, exit: "exit 0"},
		"exit-0":                  {presence: gone, exit: "exit 0"},
		"exit-78":                 {presence: gone, exit: "exit 78"},
		"exit-78-then-stop":       {presence: gone, exit: "exit 78"}, // there was nothing to stop
		"killed":                  {presence: gone, exit: "killed by SIGKILL"},
		"terminated":              {presence: gone, exit: "killed by SIGTERM"}, // by a signal, not through systemd
		"reset-failed":            {presence: gone, exit: "killed by SIGKILL"},
		"notify-exit-0":           {presence: gone, exit: "exit 0"},
		"start-limit-hit":         {presence: gone, exit: "exit 1", latched: "failed"},
		"stopped":                 {presence: gone, stopped: true, exit: "killed by SIGTERM"},
		"stopped-exit-1":          {presence: gone, stopped: true, exit: "exit 1"}, // it does not like SIGTERM
		"stopped-leftovers":       {presence: gone, stopped: true, exit: "killed by SIGTERM"},
		"stopped-activating":      {presence: gone, stopped: true, exit: "killed by SIGTERM"},
		"stopped-in-auto-restart": {presence: gone, stopped: true, exit: "exit 1"},
		"masked":                  {presence: gone, stopped: true},
		"masked-stopped":          {presence: gone, stopped: true},
		"disabled-never-started":  {presence: gone, stopped: true},
		"disabled-stopped":        {presence: gone, stopped: true},
		"enabled-never-started":   {presence: gone},
		"not-found":               {presence: obscured},
		// Unloaded as soon as they were down.
		"static-exit-0":    {presence: obscured},
		"static-stopped":   {presence: obscured},
		"condition-failed": {presence: obscured},
	}
	files, err := filepath.Glob("testdata/systemd/*.txt")
	if err != nil || len(files) != len(wants) {
		t.Fatalf("%d recordings, %d expectations: %v", len(files), len(wants), err)
	}
	for name, w := range wants {
		t.Run(name, func(t *testing.T) {
			got := supervisor.OfUnit(recorded(t, name), "", false)
			if (want{got.Presence, got.Stopped, got.Activating, got.Latched, got.Exit}) != w {
				t.Errorf("got %+v\nwant %+v", got, w)
			}
			if got.Restarts < 0 {
				t.Error("no count of restarts")
			}
		})
	}
}

// A stop of ours is not a person's, in whatever state it left the unit; the next
// stop of the same unit is.
func TestUnitStoppedByUs(t *testing.T) {
	for _, name := range []string{"stopped", "stopped-exit-1", "stopped-leftovers", "stopped-activating", "stopped-in-auto-restart"} {
		p := recorded(t, name)
		id := hex.EncodeToString(p["InvocationID"].([]byte))
		if got := supervisor.OfUnit(p, id, false); got.Stopped || got.Presence != deadman.Gone {
			t.Errorf("%s, by us: %+v", name, got)
		}
		if got := supervisor.OfUnit(p, strings.Repeat("0", 32), false); !got.Stopped {
			t.Errorf("%s, by us in an earlier life: %+v", name, got)
		}
	}
	// It was unloaded after our stop. A person may still mask or disable it.
	for name, stopped := range map[string]bool{"static-stopped": false, "masked": true, "disabled-stopped": true} {
		if got := supervisor.OfUnit(recorded(t, name), "-", false); got.Presence != deadman.Gone || got.Stopped != stopped {
			t.Errorf("%s, by us: %+v", name, got)
		}
	}
}

// A unit that ran although it was disabled is not down because of that.
func TestUnitRanDisabled(t *testing.T) {
	if got := supervisor.OfUnit(recorded(t, "disabled-stopped"), "", true); got.Presence != deadman.Obscured || got.Stopped {
		t.Errorf("unloaded: %+v", got)
	}
	for _, state := range []string{"exit-0", "exit-78"} {
		p := recorded(t, state)
		p["UnitFileState"] = "disabled"
		if got := supervisor.OfUnit(p, "", true); got.Presence != deadman.Gone || got.Stopped {
			t.Errorf("%s, ran disabled: %+v", state, got)
		}
		if got := supervisor.OfUnit(p, "", false); !got.Stopped {
			t.Errorf("%s, was disabled: %+v", state, got)
		}
	}
}

// What was not recorded: a result that takes a reboot or another kernel.
func TestUnitWords(t *testing.T) {
	p := recorded(t, "start-limit-hit")
	p["Result"] = "start-limit-hit"
	if got := supervisor.OfUnit(p, "", false); got.Latched != "start-limit-hit" {
		t.Errorf("start limit: %+v", got)
	}
	p["Result"] = "oom-kill"
	if got := supervisor.OfUnit(p, "", false); got.Result != "oom-kill" || got.Presence != deadman.Gone {
		t.Errorf("out of memory: %+v", got)
	}
	p = recorded(t, "start-limit-hit")
	p["ActiveState"], p["Result"] = "inactive", "success"
	if got := supervisor.OfUnit(p, "", false); got.Presence != deadman.Obscured {
		t.Errorf("reset after the start limit: %+v", got)
	}
	p = recorded(t, "enabled-never-started")
	p["ConditionTimestampMonotonic"] = uint64(1)
	if got := supervisor.OfUnit(p, "", false); !got.Stopped {
		t.Errorf("its conditions do not hold: %+v", got)
	}
	p = recorded(t, "enabled-never-started")
	p["Job"] = []any{uint32(7), "/org/freedesktop/systemd1/job/7"}
	if got := supervisor.OfUnit(p, "", false); !got.Activating {
		t.Errorf("a start is queued: %+v", got)
	}
	if got := supervisor.OfUnit(map[string]any{}, "", false); got.Presence != deadman.Obscured || got.Restarts != supervisor.RestartsUnknown {
		t.Errorf("nothing known: %+v", got)
	}
}

// recorded reads the lines of `systemctl show` into the types of D-Bus.
func recorded(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/systemd/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	p := map[string]any{}
	number := func(text string, bits int) uint64 {
		n, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case strings.HasSuffix(key, "TimestampMonotonic"):
			p[key] = number(value, 64)
		case slices.Contains([]string{"MainPID", "ControlPID", "NRestarts"}, key):
			p[key] = uint32(number(value, 32))
		case slices.Contains([]string{"ExecMainCode", "ExecMainStatus"}, key):
			p[key] = int32(number(value, 31))
		case key == "InvocationID":
			id, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			p[key] = id
		case key == "Job" && value != "":
			p[key] = []any{uint32(number(value, 32)), "/org/freedesktop/systemd1/job/" + value}
		case key == "ConditionResult":
			p[key] = value == "yes"
		default:
			p[key] = value
		}
	}
	return p
}
