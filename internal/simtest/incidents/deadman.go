package incidents

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Deadman is deadman itself: a watch over a child, or a check once a period of an
// agent that runs by itself.
type Deadman struct {
	// OneShot: `check` on a schedule.
	OneShot bool

	end    func()
	owner  func() // ends what owns the agent
	rounds atomic.Int64
	// asked is when told was read, so that a poll does not start a program each time.
	mu    sync.Mutex
	told  []string
	asked time.Time
}

// Name is the column's.
func (d *Deadman) Name() string {
	if d.OneShot {
		return "check"
	}
	return "watch"
}

// config is deadman.yaml: the defaults, with short times.
func (d *Deadman) config(w *World) string {
	s := w.Scenario
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("state-dir: %s", w.Path("state"))
	line("agents:\n  agent:")
	line("    config:\n      root: %s\n      files: %s\n      settle: 0s", w.Path("etc"), list(s.Set))
	if len(s.Preserve) > 0 {
		line("      preserve: %s", list(s.Preserve))
	}
	if len(s.Follow) > 0 {
		line("      follow: %s", list(strings.Fields(w.expand(strings.Join(s.Follow, " ")))))
	}
	if s.Validate != "" {
		line("    validate: %s", list(strings.Fields(w.expand(s.Validate))))
	}
	if s.Owner == "runit" {
		line("    supervisor: {runit: %s}", w.Path("service"))
	} else if d.OneShot {
		line("    supervisor:\n      command: {start: %s}\n      process: {pid-file: %s}", list(w.Daemon()), w.Path("run", "pid"))
	} else {
		line("    supervisor: {child: %s}", list(w.Agent()))
	}
	line("    checks:")
	expects := ""
	if s.Expects != nil {
		expects = fmt.Sprintf(", json: {%s: %s}", s.Expects[0], s.Expects[1])
	}
	line("      health: {level: alive, http: {url: \"http://127.0.0.1:%d/health\"%s}}", w.Port, expects)
	if s.Ready {
		line("      ready: {level: ready, http: {url: \"http://127.0.0.1:%d/ready\"}}", w.Port)
	}
	line("    version: {file: %s}", w.Path("run", "version"))
	for _, short := range []string{
		"period: 1s", "timeout: 1s", "threshold: 3", "retry: 100ms", "probation: 2s", "gone-grace: 300ms", "kill-delay: 500ms",
		"healthy-deadline: 3s", "start-timeout: 5s",
	} {
		if !given(s.Policy, short) {
			line("    %s", short)
		}
	}
	if !given(s.Policy, "recovery:") {
		line("    recovery: {backoff-delay: 500ms, backoff-limit: 2s, start-limit-interval: 20s}")
	}
	for _, policy := range s.Policy {
		line("    %s", w.expand(policy))
	}
	return b.String()
}

// given reports whether the scenario has a line for the same key.
func given(policy []string, line string) bool {
	key, _, _ := strings.Cut(line, ":")
	for _, p := range policy {
		if strings.HasPrefix(p, key+":") {
			return true
		}
	}
	return false
}

func list(words []string) string {
	text, _ := json.Marshal(words)
	return string(text)
}

func (d *Deadman) command(w *World, args ...string) []string {
	return append([]string{filepath.Join(w.Programs, "deadman"), "--config", w.Path("deadman.yaml")}, args...)
}

// Begin starts the watch or the schedule.
func (d *Deadman) Begin(w *World) error {
	if err := os.WriteFile(w.Path("deadman.yaml"), []byte(d.config(w)), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(w.Path("run", "version")); err != nil {
		if err := os.WriteFile(w.Path("run", "version"), []byte("1\n"), 0o600); err != nil {
			return err
		}
	}
	if w.Scenario.Owner == "runit" {
		end, err := runsv(w)
		if err != nil {
			return err
		}
		d.owner = end
	}
	if !d.OneShot {
		end, err := w.begin("deadman", d.command(w, "watch")...)
		d.end = end
		return err
	}
	if w.Scenario.Owner == "" {
		if err := w.run("agent", w.Daemon()...); err != nil {
			return err
		}
	}
	w.until("the agent", patience, func() bool { return w.pid() > 0 })
	done, ended := make(chan struct{}), make(chan struct{})
	d.end = func() { close(done); <-ended }
	go func() {
		defer close(ended)
		for next := time.Now(); ; next = next.Add(Period) {
			_ = w.run("deadman", d.command(w, "check")...)
			d.rounds.Add(1)
			if time.Now().After(next.Add(Period)) {
				next = time.Now().Add(-Period) // cron starts no second one beside it
			}
			select {
			case <-done:
				return
			case <-time.After(time.Until(next.Add(Period))):
			}
		}
	}()
	return nil
}

// status is what `status --json` says.
func (d *Deadman) status(w *World) (agent struct {
	State     string
	Incident  string
	KnownGood struct{ ID, Standing string } `json:"known_good"`
	Live      struct{ ID, Standing string }
},
) {
	argv := d.command(w, "status", "--json")
	out, _ := exec.Command(argv[0], argv[1:]...).Output()
	var report struct{ Agents []json.RawMessage }
	if json.Unmarshal(out, &report) == nil && len(report.Agents) == 1 {
		_ = json.Unmarshal(report.Agents[0], &agent)
	}
	return agent
}

// Ready: what is live is proven.
func (d *Deadman) Ready(w *World) bool {
	time.Sleep(50 * time.Millisecond) // Each question is a program.
	s := d.status(w)
	return s.Live.Standing == "proven" && s.KnownGood.ID == s.Live.ID
}

// Quiet: no incident is open.
func (d *Deadman) Quiet(w *World) bool {
	time.Sleep(50 * time.Millisecond)
	return d.status(w).State == "up"
}

// Rounds waits for that many rounds.
func (d *Deadman) Rounds(w *World, n int) {
	if d.OneShot {
		// One may be under way that has looked already.
		limit := d.rounds.Load() + int64(n) + 1
		w.until("rounds", patience*time.Duration(1+n/10), func() bool { return d.rounds.Load() >= limit })
		return
	}
	last := func() time.Time {
		info, err := os.Stat(w.Path("state", "agents", "agent", "last-check"))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	begun := time.Now()
	for seen, i := last(), 1; i <= n; i++ {
		w.until("a round", patience, func() bool { return last().After(seen) })
		seen = last()
		time.Sleep(time.Until(begun.Add(time.Duration(i) * Period))) // A change wakes it before its time.
	}
	time.Sleep(Period / 4) // A change wakes it, and a round for that may have been the last one.
}

// Restart is `deadman stop` and `deadman start`.
func (d *Deadman) Restart(w *World) error {
	if err := w.run("operator", d.command(w, "stop", "agent")...); err != nil {
		return err
	}
	return w.run("operator", d.command(w, "start", "agent")...)
}

// Operator is a command of deadman. UNDO is what `explain` says undoes the last
// rollback.
func (d *Deadman) Operator(w *World, args []string) error {
	if args[0] == "UNDO" {
		if args = d.undo(w); args == nil {
			return errors.New("nobody says how to undo it")
		}
	}
	return w.run("operator", d.command(w, args...)...)
}

func (d *Deadman) undo(w *World) []string {
	argv := d.command(w, "history", "--json")
	out, _ := exec.Command(argv[0], argv[1:]...).Output()
	last := 0
	for line := range strings.Lines(string(out)) {
		var entry struct {
			ID   int
			Kind string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Kind == "rollback" {
			last = entry.ID
		}
	}
	argv = d.command(w, "explain", strconv.Itoa(last))
	out, _ = exec.Command(argv[0], argv[1:]...).Output()
	for line := range strings.Lines(string(out)) {
		if command, ok := strings.CutPrefix(line, "to undo: deadman "); ok {
			return strings.Fields(command)
		}
	}
	return nil
}

// KnownGood is what other tools would read at the stable path.
func (d *Deadman) KnownGood(w *World) map[string]string {
	good := map[string]string{}
	files := w.Path("state", "agents", "agent", "last-known-good")
	for _, pattern := range w.Scenario.Set {
		paths, _ := filepath.Glob(filepath.Join(files, pattern))
		for _, path := range paths {
			if text, err := os.ReadFile(path); err == nil {
				name, _ := filepath.Rel(files, path)
				good[name] = string(text)
			}
		}
	}
	if len(good) == 0 {
		return nil
	}
	return good
}

// Stores are the snapshots.
func (d *Deadman) Stores(w *World) []string {
	return []string{w.Path("state", "agents", "agent", "snapshots")}
}

// Typed: it has.
func (d *Deadman) Typed() bool { return true }

// Told are the records, as key=value words, and what was said on stderr.
func (d *Deadman) Told(w *World) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked) < 100*time.Millisecond {
		return d.told
	}
	argv := d.command(w, "history", "--json")
	out, _ := exec.Command(argv[0], argv[1:]...).Output()
	d.told = nil
	for line := range strings.Lines(string(out)) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		var words []string
		for _, key := range slices.Sorted(maps.Keys(entry)) {
			words = append(words, fmt.Sprintf("%s=%v", key, entry[key]))
		}
		d.told = append(d.told, strings.Join(words, " "))
	}
	log, _ := os.ReadFile(w.Path("run", "deadman.log"))
	for line := range strings.Lines(string(log)) {
		d.told = append(d.told, "stderr "+strings.TrimSpace(line))
	}
	d.asked = time.Now()
	return d.told
}

// End ends the watch or the schedule, and leaves the agent.
func (d *Deadman) End(*World) {
	if d.end != nil {
		d.end()
		d.end = nil
	}
	if d.owner != nil {
		d.owner()
		d.owner = nil
	}
}
