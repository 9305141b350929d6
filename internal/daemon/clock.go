package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"deadman/internal/atomicfile"
	"deadman/internal/proc"
)

// stepMin is by how much the wall clock must differ from where the time since
// boot says it should be before it counts as having been set. Slewing never
// shows here: the kernel slews both clocks alike.
const stepMin = 2 * time.Second

// clock tells the time of one boot: the wall clock as it was when this boot
// was first seen, advanced by CLOCK_BOOTTIME. Setting the wall clock does not
// move it, so no deadline fires early or late because somebody did.
type clock struct {
	Boot string `json:"boot"`
	// Base is the wall time at CLOCK_BOOTTIME zero, by the first look.
	Base time.Time `json:"base"`
	// Wall is the same by the last look that found it changed, and Set the time
	// since boot of that look: of files and processes older than Set nobody can
	// say which came first.
	Wall time.Time     `json:"wall"`
	Set  time.Duration `json:"set,omitempty"`
}

// openClock reads the clock of this boot from the state directory, or begins
// it. It is written once a boot, and whenever the wall clock was set; where it
// cannot be written the time is as good as the wall clock is now.
func openClock(stateDir string, boot string) clock {
	wall, up := time.Now().UTC().Round(0), proc.Uptime()
	base := wall.Add(-up)
	path := filepath.Join(stateDir, "clock.json")
	var c clock
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &c) // A clock that cannot be read is a new one.
	}
	switch {
	case c.Boot != boot || c.Base.IsZero():
		c = clock{Boot: boot, Base: base, Wall: base}
	case base.Sub(c.Wall).Abs() >= stepMin:
		c.Wall, c.Set = base, up
	default:
		return c
	}
	c.save(stateDir)
	return c
}

// readClock is the clock as it was saved, for those who only look.
func readClock(stateDir string) clock {
	var c clock
	text, err := os.ReadFile(filepath.Join(stateDir, "clock.json"))
	boot, _ := proc.BootID()
	if err != nil || json.Unmarshal(text, &c) != nil || c.Boot != boot {
		base := time.Now().UTC().Round(0).Add(-proc.Uptime())
		return clock{Boot: boot, Base: base, Wall: base}
	}
	return c
}

func (c clock) save(stateDir string) {
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return
	}
	defer root.Close()
	text, err := json.Marshal(c)
	if err == nil {
		_ = atomicfile.WriteFile(root, "clock.json", text, 0o600)
	}
}

// Now is the time of this boot.
func (c clock) Now() time.Time { return c.Base.Add(proc.Uptime()) }

// wallSet reports whether the wall clock was set since a moment that is start
// after boot, as far as we have seen.
func (c clock) wallSet(start time.Duration) bool {
	if start < c.Set {
		return true
	}
	base := time.Now().Add(-proc.Uptime())
	return base.Sub(c.Wall).Abs() >= stepMin
}

// toWall is what the wall clock shows at a time of this boot, by its offset now.
func (c clock) toWall(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	base := time.Now().UTC().Round(0).Add(-proc.Uptime())
	return t.Add(base.Sub(c.Base))
}
