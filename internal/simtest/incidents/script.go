package incidents

import (
	"os"
	"time"
)

// Script is the watchdog that dozens of projects have: a copy at every healthy
// look, and the copy back when the agent is gone.
type Script struct{ peer }

// Name is the column's.
func (*Script) Name() string { return "script" }

// Missing is its client.
func (*Script) Missing() string { return missing("curl") }

// Configs is the script.
func (*Script) Configs() []string { return []string{"script.sh"} }

// Begin starts the agent, and the script beside it.
func (p *Script) Begin(w *World) error {
	p.log = "run/script.log"
	if err := p.configure(w, "script.sh", "script.sh", 0o755); err != nil {
		return err
	}
	if err := p.daemon(w); err != nil {
		return err
	}
	return p.begin(w, "script", "/bin/sh", w.Path("script.sh"))
}

// Ready once it has copied the config.
func (p *Script) Ready(w *World) bool {
	good := p.KnownGood(w)
	for name, text := range w.liveFiles() {
		if good[name] != text {
			return false
		}
	}
	return p.peer.Ready(w)
}

// Rounds waits for that many looks, with one that may be under way: a scenario's
// period stands for minutes or hours, in which it would have looked.
func (*Script) Rounds(w *World, n int) {
	last := func() time.Time {
		info, err := os.Stat(w.Path("run", "last-look"))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	for range n + 1 {
		seen := last()
		w.until("a look", patience, func() bool { return last().After(seen) })
	}
}

// Restart is a person's.
func (*Script) Restart(w *World) error { return restartByHand(w) }

// KnownGood is its copy.
func (*Script) KnownGood(w *World) map[string]string {
	good := w.setFiles(w.Path("good"))
	if len(good) == 0 {
		return nil
	}
	return good
}

// Stores are where the copies are.
func (*Script) Stores(w *World) []string { return []string{w.Path("good"), w.Path("broken")} }
