package incidents

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Judgements, in their order in a [Verdict].
const (
	Recovered = iota // or rightly left alone
	Unpoisoned
	NothingLost
	NoHarm // no wrongful rollback, and no start beyond the limit
	Told
	Judgements
)

// Letters name the judgements in a scoreboard.
const Letters = "RGLHT"

// Verdict is how a system did in a scenario.
type Verdict struct {
	Passed [Judgements]bool
	// Why has a line for each thing that was not as it must be.
	Why []string
}

// Failed counts the judgements that were no.
func (v Verdict) Failed() int {
	n := 0
	for _, passed := range v.Passed {
		if !passed {
			n++
		}
	}
	return n
}

// wanted reports whether all that should hold at the end holds.
func (w *World) wanted() bool {
	for _, want := range w.Scenario.Wants {
		if w.lacks(want) != "" {
			return false
		}
	}
	return true
}

// lacks says what is not as it should be at the end, "" if all is.
func (w *World) lacks(want []string) string {
	path := ""
	if len(want) > 1 {
		path = w.Path("etc", want[1])
	}
	switch want[0] {
	case "up":
		if !w.well() {
			return "the agent is not well"
		}
	case "down":
		if w.well() {
			return "the agent is well, which it cannot be"
		}
	case "same":
		if pid := w.pid(); pid != w.first {
			return "it is another process of the agent"
		}
	case "mode":
		mode, _ := strconv.ParseUint(want[2], 8, 32)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != os.FileMode(mode) {
			return want[1] + " has not mode " + want[2]
		}
	case "owner":
		if owner(path, want[2]) != want[2] {
			return want[1] + " does not belong to " + want[2]
		}
	case "link":
		if target, err := os.Readlink(path); err != nil || target != w.expand(want[2]) {
			return want[1] + " is no link to where it led"
		}
	case "kept":
		if w.number(want[1], want[2]) < w.witness.highest[want[1]+want[2]] {
			return "what the agent wrote in " + want[1] + " is older than it was"
		}
	default:
		text, err := os.ReadFile(w.Path("etc", want[0]))
		switch {
		case want[1] == "-" && err == nil:
			return want[0] + " is there"
		case want[1] != "-" && (err != nil || string(text) != w.variant(want[1])):
			return want[0] + " is not " + want[1]
		}
	}
	return ""
}

// owner is whose a file is, with the group if that is asked for.
func owner(path, asked string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat := info.Sys().(*syscall.Stat_t)
	uid := strconv.Itoa(int(stat.Uid))
	if strings.Contains(asked, ":") {
		return uid + ":" + strconv.Itoa(int(stat.Gid))
	}
	return uid
}

// judge gives the five judgements.
func (w *World) judge() Verdict {
	w.witness.look()
	w.witness.stop()
	v := Verdict{Passed: [Judgements]bool{true, true, true, true, true}}
	no := func(judgement int, format string, args ...any) {
		v.Passed[judgement] = false
		v.Why = append(v.Why, string(Letters[judgement])+": "+fmt.Sprintf(format, args...))
	}
	for _, want := range w.Scenario.Wants {
		if lack := w.lacks(want); lack != "" {
			no(Recovered, "%s", lack)
		}
	}
	if w.system.KnownGood(w) == nil {
		no(Unpoisoned, "there is no known good")
	}
	for _, bad := range w.Scenario.Bad {
		if w.witness.poisoned[bad] {
			no(Unpoisoned, "the known good was %s", bad)
		}
	}
	for _, lost := range w.witness.lost(w.system.Stores(w)) {
		no(NothingLost, "not stored: %s", lost)
	}
	for name, n := range w.witness.changes {
		if n > w.Scenario.Rollbacks {
			no(NoHarm, "%s was changed %d times", name, n)
		}
	}
	starts, _ := os.ReadFile(w.Path("run", "starts"))
	if n := bytes.Count(starts, []byte("\n")); n > w.Scenario.Starts {
		no(NoHarm, "it was started %d times", n)
	}
	w.judgeTold(no)
	for _, file := range w.leaks() {
		no(Told, "a secret is in %s", file)
	}
	slices.Sort(v.Why)
	for _, trouble := range w.trouble {
		v.Why = append(v.Why, "   "+trouble)
	}
	return v
}

// anyWord is what a log without types says of a death.
var anyWord = regexp.MustCompile(`(?i)exit|restart|fail|not running|down|respawn|stopp|rollback|restor`)

func (w *World) judgeTold(no func(int, string, ...any)) {
	lines := w.system.Told(w)
	if !w.system.Typed() {
		if len(w.Scenario.Told) > 0 && !slices.ContainsFunc(lines, anyWord.MatchString) {
			no(Told, "nothing was told")
		}
		return
	}
	for _, words := range w.Scenario.Told {
		words = strings.Fields(w.expand(strings.Join(words, " ")))
		if !tells(lines, words) {
			no(Told, "not told: %s", strings.Join(words, " "))
		}
	}
	for _, words := range w.Scenario.Silent {
		if tells(lines, words) {
			no(Told, "told: %s", strings.Join(words, " "))
		}
	}
}

// leaks are the files outside the config, the stores and the agent's own output in
// which a secret is.
func (w *World) leaks() []string {
	var found []string
	skip := append(w.system.Stores(w), w.Path("etc"))
	for _, dir := range w.Scenario.Follow {
		skip = append(skip, w.expand(dir))
	}
	_ = filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if slices.Contains(skip, path) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || filepath.Base(path) == "knobs" {
			return nil
		}
		text, _ := os.ReadFile(path)
		for _, secret := range w.Scenario.Secret {
			if bytes.Contains(text, []byte(secret)) {
				name, _ := filepath.Rel(w.Dir, path)
				found = append(found, name)
			}
		}
		return nil
	})
	return found
}
