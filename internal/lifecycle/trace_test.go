package lifecycle_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
	"deadman/internal/simtest/sim"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata/*.txt")

// TestTraces runs testdata/*.txt. A file is a paragraph of intent and then a
// conversation: lines of events, `----`, and what the machine answered. With
// -update the answers are rewritten; commit that only if you understand what
// caused each change.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newTrace().play(want)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the trace differs; got:\n%s", got)
			}
		})
	}
}

// epoch is the time at which traces begin.
var epoch = time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)

// trace plays one conversation. It checks, beside what is written there, what
// must hold after every step.
type trace struct {
	policy lifecycle.Policy
	state  lifecycle.State
	now    time.Time
	round  lifecycle.Round
	// incident: one was open before the last step.
	incident bool
}

func newTrace() *trace {
	return &trace{
		policy: lifecycle.DefaultPolicy(),
		now:    epoch,
		round:  lifecycle.Round{Boot: "b1", Restarts: -1},
	}
}

func (tr *trace) play(src []byte) ([]byte, error) {
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(src))
	var block []string
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "----":
			fmt.Fprintln(&out, line)
			for _, command := range block {
				answer, err := tr.command(command)
				if err != nil {
					return nil, fmt.Errorf("line %d: %s: %v", n, command, err)
				}
				out.WriteString(answer)
			}
			block = nil
			for lines.Scan() && lines.Text() != "" {
				n++
			}
			n++
			fmt.Fprintln(&out)
		default:
			fmt.Fprintln(&out, line)
			if line != "" && !strings.HasPrefix(line, "#") {
				block = append(block, line)
			}
		}
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n'), lines.Err()
}

// command carries out one line:
//
//	policy KEY=VALUE...     before the first event
//	+DURATION               time passes, nothing is heard
//	look KEY=VALUE...       a round; what is not given is as in the round before
//	done ok|failed KEY=...  the outcome of the deed in hand
//	word VERB KEY=VALUE...  a person's word
//	given NAME...           these versions are proven, one after the other
//	verified                healthy looks, a second apart, threshold of them
//	steady DURATION         the same look every 30s; what changes is answered
//	dump                    the state as JSON
func (tr *trace) command(line string) (string, error) {
	words := strings.Fields(line)
	args := words[1:]
	var ev lifecycle.Event
	switch {
	case strings.HasPrefix(words[0], "+"):
		d, err := time.ParseDuration(words[0][1:])
		if err != nil {
			return "", err
		}
		tr.now = tr.now.Add(d)
		if len(args) > 0 {
			return tr.command(strings.Join(args, " "))
		}
	case words[0] == "policy":
		return "", tr.setPolicy(args)
	case words[0] == "dump":
		text, err := json.MarshalIndent(tr.state, "", "  ")
		return string(text) + "\n", err
	case words[0] == "given":
		return tr.given(args)
	case words[0] == "verified":
		return tr.several("+1s look running alive=healthy", tr.policy.Threshold)
	case words[0] == "steady":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		return tr.several("+30s look "+strings.Join(args[1:], " "), int(d/(30*time.Second)))
	case words[0] == "look":
		previous := tr.now.Add(-tr.policy.Period)
		if tr.state.Since.After(previous) {
			previous = tr.state.Since
		}
		tr.round.Previous = previous
		if err := tr.setRound(args); err != nil {
			return "", err
		}
		round := tr.round
		ev.Round = &round
	case words[0] == "done":
		o, err := tr.outcome(args)
		if err != nil {
			return "", err
		}
		ev.Outcome = o
	case words[0] == "word":
		w, err := tr.word(args)
		if err != nil {
			return "", err
		}
		ev.Word = w
	default:
		return "", fmt.Errorf("no such command")
	}
	next, actions := lifecycle.Step(tr.policy, tr.state, tr.now, ev)
	if err := errors.Join(sim.CheckStep(tr.policy, tr.state, next, actions, tr.now), sim.CheckTrip(next)); err != nil {
		return "", err
	}
	tr.incident = tr.state.Incident.Open()
	tr.state = next
	return tr.answer(line, actions), nil
}

// given proves versions, and answers only how that ended.
func (tr *trace) given(names []string) (string, error) {
	var answer string
	for i, name := range names {
		commands := []string{
			fmt.Sprintf("look running pid=%d start=-1s changed=-2s alive=healthy live=%s", i+1, name), "done ok",
			"+60s look", "done ok", "look",
		}
		if i == 0 {
			commands = slices.Insert(commands, 2, "look", "done ok")
		}
		for _, command := range commands {
			var err error
			if answer, err = tr.command(command); err != nil {
				return "", fmt.Errorf("%s: %v", command, err)
			}
		}
	}
	return answer, nil
}

// several plays a command n times. It answers the last, and what led to
// actions or to another phase before it.
func (tr *trace) several(command string, n int) (string, error) {
	var out strings.Builder
	for i := range n {
		phase := tr.state.Phase
		answer, err := tr.command(command)
		if err != nil {
			return "", err
		}
		if i == n-1 || strings.Count(answer, "\n") > 1 || tr.state.Phase != phase {
			out.WriteString(answer)
		}
		for slices.Contains([]lifecycle.ActionKind{lifecycle.DoCapture, lifecycle.DoPromote, lifecycle.DoMark}, tr.state.Pending.Kind) {
			if _, err := tr.command("done ok"); err != nil {
				return "", err
			}
		}
	}
	return out.String(), nil
}

func (tr *trace) answer(line string, actions []lifecycle.Action) string {
	s := tr.state
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %s", tr.now.Sub(epoch), s.Phase)
	if !s.Deadline.IsZero() {
		fmt.Fprintf(&b, " until %s", s.Deadline.Sub(epoch))
	}
	if !s.Known.IsZero() {
		fmt.Fprintf(&b, " known=%s", s.Known.Snapshot)
		if s.Known.Provisional {
			b.WriteString("?")
		}
	}
	if !s.Armed.IsZero() {
		fmt.Fprintf(&b, " armed=%s till %s", s.Armed.Config.Snapshot, s.Armed.Until.Sub(epoch))
	}
	if s.Incident.Open() {
		b.WriteString(" incident")
		if s.Incident.Cause != deadman.CauseUnset {
			fmt.Fprintf(&b, "=%s", s.Incident.Cause)
		}
	}
	b.WriteString("\n")
	for _, a := range actions {
		fmt.Fprintf(&b, "         %s", a.Kind)
		if a.Snapshot != "" {
			fmt.Fprintf(&b, " %s", a.Snapshot)
		}
		if a.Standing != deadman.StandingUnset {
			fmt.Fprintf(&b, " %s", a.Standing)
		}
		if a.Provisional {
			b.WriteString(" provisional")
		}
		fmt.Fprintf(&b, ": %s", a.Reason)
		if a.Cause != deadman.CauseUnset && !tr.incident && !s.Incident.Open() {
			fmt.Fprintf(&b, " %s", a.Cause)
		}
		if a.Would != deadman.ReasonUnset {
			fmt.Fprintf(&b, " %s", a.Would)
		}
		if a.Evidence != "" {
			fmt.Fprintf(&b, " (%s)", a.Evidence)
		}
		if a.Detail != "" {
			fmt.Fprintf(&b, " (%s)", a.Detail)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (tr *trace) setPolicy(args []string) error {
	p := &tr.policy
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		d, _ := time.ParseDuration(value)
		n, _ := strconv.Atoi(value)
		switch key {
		case "observe":
			p.Observe = value != "no"
		case "first":
			p.First = lifecycle.First(value)
		case "across-versions":
			p.AcrossVersions = true
		case "threshold":
			p.Threshold = n
		case "probation":
			p.Probation = d
		case "burst":
			p.StartLimitBurst = n
		case "interval":
			p.StartLimitInterval = d
		case "gone-grace":
			p.GoneGrace = d
		case "healthy-deadline":
			p.HealthyDeadline = d
		case "backoff-delay":
			p.BackoffDelay = d
		case "backoff-limit":
			p.BackoffLimit = d
		default:
			return fmt.Errorf("no policy key %q", key)
		}
	}
	return nil
}

// setRound reads `running pid=1 start=-1h alive=healthy live=A`. The name of a
// version stands for its hash and identity; `live=A~1` has the identity of A
// and other bytes; `!` behind it does not validate, `?` is held by a guard.
func (tr *trace) setRound(args []string) error {
	r := &tr.round
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "running", "gone", "obscured":
			_ = r.Presence.UnmarshalText([]byte(key))
			if key != "running" {
				r.Process, r.StartedAt = deadman.Process{}, time.Time{}
			}
		case "pid":
			pid, _ := strconv.Atoi(value)
			r.Process = deadman.Process{PID: pid, Start: time.Duration(pid) * time.Second, Boot: r.Boot}
		case "start":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			r.StartedAt = tr.now.Add(d)
		case "changed":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			r.Live.Changed = tr.now.Add(d)
			r.Live.Written = r.Live.Changed
		case "touched":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			r.Live.Changed = tr.now.Add(d)
		case "alive":
			if err := r.Alive.UnmarshalText([]byte(value)); err != nil {
				return err
			}
		case "restarts":
			r.Restarts, _ = strconv.ParseInt(value, 10, 64)
		case "activating":
			r.Activating = value != "no"
		case "inodes":
			r.Live.Inodes = value
		case "settled":
			r.Live.Settled = true
		case "previous":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			r.Previous = tr.now.Add(d)
		case "ready":
			if err := r.Ready.UnmarshalText([]byte(value)); err != nil {
				return err
			}
		case "live":
			was := r.Live
			r.Live = live(value)
			r.Live.Changed, r.Live.Written, r.Live.Inodes = was.Changed, was.Written, was.Inodes
			r.Live.Snapshot = ""
		case "boot":
			r.Boot = value
		case "partial":
			r.Partial = value != "no"
		case "stopped":
			r.Stopped = value != "no"
		case "unreadable":
			r.Live.Unreadable = value != "no"
		case "unsettled":
			r.Live.Settled = false
		case "lost":
			r.Lost = nil
			if value != "no" {
				r.Lost = strings.Split(value, ",")
			}
		case "problem":
			r.Problem = value
		case "bad":
			r.Live.Bad = true
		case "clock-set":
			r.ClockSet = value != "no"
		case "version":
			r.Version = value
		case "causes":
			causes, err := causes(value)
			if err != nil {
				return err
			}
			r.Causes = causes
		default:
			return fmt.Errorf("no round key %q", key)
		}
	}
	return nil
}

// live reads the name of a version.
func live(name string) lifecycle.Live {
	l := lifecycle.Live{Valid: deadman.Healthy, Settled: true}
	if strings.HasSuffix(name, "!") {
		l.Valid = deadman.Unhealthy
	}
	if strings.HasSuffix(name, "?") {
		l.Held = true
	}
	name = strings.TrimRight(name, "!?")
	l.Hash = "hash-" + name
	l.Identity, _, _ = strings.Cut(name, "~")
	l.Snapshot = strings.ToLower(name)
	return l
}

func causes(list string) ([]deadman.Cause, error) {
	if list == "" {
		return nil, nil
	}
	var causes []deadman.Cause
	for name := range strings.SplitSeq(list, ",") {
		var c deadman.Cause
		if err := c.UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
		causes = append(causes, c)
	}
	return causes, nil
}

// outcome reads `ok live=B shelf=A,OLD canonical=C safe=none causes=... pid=2`. The deed is the one
// in hand. again: the store had lost the bytes and has a new snapshot of them.
func (tr *trace) outcome(args []string) (*lifecycle.Outcome, error) {
	p := tr.state.Pending
	o := &lifecycle.Outcome{Kind: p.Kind, Attempt: p.Attempt, Wall: tr.now, Boot: tr.round.Boot, Version: tr.round.Version}
	o.Live = tr.round.Live
	again := ""
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "ok":
			o.OK = true
		case "failed":
		case "again":
			again = "-2"
		case "live":
			o.Live = live(value)
			o.Live.Changed, o.Live.Written = tr.round.Live.Changed, tr.round.Live.Written
		case "changed":
			d, err := time.ParseDuration(value)
			if err != nil {
				return nil, err
			}
			o.Live.Changed = tr.now.Add(d)
			o.Live.Written = o.Live.Changed
		case "bad":
			o.Live.Bad = true
		case "cured":
			o.Live.Cured, _ = strconv.Atoi(value)
		case "shelf":
			for name := range strings.SplitSeq(value, ",") {
				l := live(name)
				o.Shelf = append(o.Shelf, lifecycle.Target{Config: l.Config, Proven: !l.Held, Valid: l.Valid})
			}
		case "canonical", "safe":
			t := lifecycle.Target{Origin: lifecycle.Origin(key)}
			if l := live(value); value == "none" {
				t.Detail = "cannot be read"
			} else if t.Config, t.Valid, t.Held = l.Config, l.Valid, l.Held; l.Held || l.Valid == deadman.Unhealthy {
				t.Detail = "is not fit"
			}
			o.Shelf = append(o.Shelf, t)
		case "unreadable":
			o.Live.Unreadable = true
		case "causes":
			list, err := causes(value)
			if err != nil {
				return nil, err
			}
			o.Causes = list
		case "version":
			o.Version = value
		case "versions":
			o.Versions = strings.Split(value, ",")
		case "pid":
			pid, _ := strconv.Atoi(value)
			o.Process = deadman.Process{PID: pid, Start: time.Duration(pid) * time.Second, Boot: tr.round.Boot}
			tr.round.Presence, tr.round.Process = deadman.Running, o.Process
			tr.round.StartedAt = tr.now
		case "appeared":
			pid, _ := strconv.Atoi(value)
			o.Appeared = deadman.Process{PID: pid, Start: time.Duration(pid) * time.Second, Boot: tr.round.Boot}
		case "boot":
			o.Boot = value
		case "resumed":
			o.Resumed = true
		case "partly":
			o.Partly = true
		case "composed":
			l := live(strings.TrimSuffix(value, "-bad"))
			l.Bad = strings.HasSuffix(value, "-bad")
			o.Composed = &l
		case "changed-since-keep":
			o.Changed = true
		default:
			return nil, fmt.Errorf("no outcome key %q", key)
		}
	}
	// What was done shows at the next look.
	switch {
	case o.OK && o.Kind == lifecycle.DoStop:
		tr.round.Presence, tr.round.Alive = deadman.Gone, deadman.Unhealthy
		tr.round.Process, tr.round.StartedAt = deadman.Process{}, time.Time{}
	case o.OK && o.Kind == lifecycle.DoRestore:
		tr.round.Live = o.Live
		tr.round.Live.Changed, tr.round.Live.Written, tr.round.Live.Snapshot = tr.now, tr.now, ""
	case o.Kind == lifecycle.DoKeep && !o.OK:
		o.Live.Snapshot = "" // Not stored.
		tr.round.Live = o.Live
	case o.Kind == lifecycle.DoCapture || o.Kind == lifecycle.DoKeep:
		o.Snapshot = strings.ToLower(strings.TrimPrefix(o.Live.Hash, "hash-")) + again
		if o.Kind == lifecycle.DoKeep {
			tr.round.Live = o.Live
			tr.round.Live.Snapshot = ""
		}
	}
	return o, nil
}

func (tr *trace) word(args []string) (*lifecycle.Word, error) {
	w := &lifecycle.Word{Verb: lifecycle.Verb(args[0])}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "for":
			d, err := time.ParseDuration(value)
			if err != nil {
				return nil, err
			}
			w.Until = tr.now.Add(d)
		case "config":
			w.Config = live(value).Config
		case "reload":
			w.Reload = true
		case "force":
			w.Force = true
		default:
			return nil, fmt.Errorf("no word key %q", key)
		}
	}
	return w, nil
}
