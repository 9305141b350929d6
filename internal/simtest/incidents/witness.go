package incidents

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// witness is the harness' own log of every byte that was live. It looks every
// few milliseconds, and knows of each change whose it was: the scenario's (made
// under its lock), the agent's (which writes down the hash before it writes), or
// else the guard's.
type witness struct {
	w    *World
	done chan struct{}
	wait sync.WaitGroup

	mu   sync.Mutex
	live map[string]string // name → content
	// needed are the contents that must not be lost, by hash: what was live at the
	// end of a hold or at a death, and what the guard replaced.
	needed map[string]string
	// changes counts the guard's, by file; last is when.
	changes map[string]int
	last    map[string]time.Time
	// poisoned are the bad variants that were the known good.
	poisoned map[string]bool
	// highest numbers found by `want kept`, by file and pattern.
	highest map[string]int
}

func newWitness(w *World) *witness {
	t := &witness{
		w: w, done: make(chan struct{}), live: w.liveFiles(), needed: map[string]string{}, changes: map[string]int{},
		last: map[string]time.Time{}, poisoned: map[string]bool{}, highest: map[string]int{},
	}
	t.wait.Go(func() {
		for {
			select {
			case <-t.done:
				return
			case <-time.After(poll):
				t.look()
			}
		}
	})
	return t
}

func (t *witness) stop() {
	select {
	case <-t.done:
	default:
		close(t.done)
	}
	t.wait.Wait()
}

// liveFiles are the files of the config set that are there, with their contents.
// What a link leads to is its content.
func (w *World) liveFiles() map[string]string {
	out := map[string]string{}
	for _, pattern := range w.Scenario.Set {
		paths, _ := filepath.Glob(w.Path("etc", pattern))
		for _, path := range paths {
			if text, err := os.ReadFile(path); err == nil {
				name, _ := filepath.Rel(w.Path("etc"), path)
				out[name] = string(text)
			}
		}
	}
	return out
}

// look compares what is live with what was.
func (t *witness) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.w.liveFiles()
	own, _ := os.ReadFile(t.w.Path("run", "own"))
	for name, text := range now {
		before, was := t.live[name]
		if was && before == text {
			continue
		}
		if !strings.Contains(string(own), hash(text)) {
			t.guardChanged(name, before, was)
		}
	}
	for name, before := range t.live {
		if _, is := now[name]; !is {
			t.guardChanged(name, before, true)
		}
	}
	t.live = now
	t.note()
}

// guardChanged notes a change that only the guard can have made. Whoever writes in
// place is seen with half a file: that is one change.
func (t *witness) guardChanged(name, before string, was bool) {
	if time.Since(t.last[name]) > 300*time.Millisecond {
		t.changes[name]++
		if was {
			t.needed[hash(before)] = before
		}
	}
	t.last[name] = time.Now()
}

// note looks for what must never be.
func (t *witness) note() {
	good := t.w.system.KnownGood(t.w)
	for _, bad := range t.w.Scenario.Bad {
		for _, text := range good {
			if text == t.w.variant(bad) {
				t.poisoned[bad] = true
			}
		}
	}
	for _, want := range t.w.Scenario.Wants {
		if want[0] == "kept" {
			key := want[1] + want[2]
			t.highest[key] = max(t.highest[key], t.w.number(want[1], want[2]))
		}
	}
}

// number is the one that a pattern finds in a file of etc/, 0 if none.
func (w *World) number(file, pattern string) int {
	text, _ := os.ReadFile(w.Path("etc", file))
	if found := regexp.MustCompile(pattern).FindSubmatch(text); found != nil {
		n, _ := strconv.Atoi(string(found[1]))
		return n
	}
	return 0
}

// change makes a change that is the scenario's. Before the guard comes there is
// no witness, and nothing to tell apart.
func (t *witness) change(make func() error) error {
	if t == nil {
		return make()
	}
	t.look()
	t.mu.Lock()
	defer t.mu.Unlock()
	err := make()
	t.live = t.w.liveFiles()
	return err
}

// mark notes what is live as something that must not be lost.
func (t *witness) mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range t.live {
		t.needed[hash(text)] = text
	}
}

// lost are the contents that are needed and neither live nor in one of the dirs,
// by their first bytes.
func (t *witness) lost(dirs []string) []string {
	have := map[string]bool{}
	for _, text := range t.w.liveFiles() {
		have[hash(text)] = true
	}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if text, err := os.ReadFile(path); err == nil {
					have[hash(string(text))] = true
					have[hash(t.plain(string(text)))] = true
				}
			}
			return nil
		})
	}
	var lost []string
	for sum, text := range t.needed {
		if !have[sum] && !have[hash(t.plain(text))] {
			lost = append(lost, strconv.Quote(text[:min(len(text), 60)]))
		}
	}
	return lost
}

// plain is a text without its numbers, where the agent counts in its own config:
// what becomes of those `want kept` says.
func (t *witness) plain(text string) string {
	if len(t.w.Scenario.Preserve) == 0 {
		return text
	}
	return numbers.ReplaceAllString(text, "0")
}

var numbers = regexp.MustCompile(`[0-9]+`)

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
