package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/cause"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// What is kept of each incident, for whoever reads up on it later, is in
// agents/<a>/incidents/<id>/: the last output of the agent, what was looked at for
// a cause, which keys differed from the known good, and the timeline. It may hold
// secrets, because agents print them: 0600 in a directory of 0700, and in no log.
// None of it decides anything, and that it could not be kept is no error.

const (
	// incidentsMax is how many incidents are kept, the newest.
	incidentsMax = 20
	// outputLines and outputBytes bound each output that is kept.
	outputLines = 200
	outputBytes = 64 << 10
	// textMax is how long a file that grows may become.
	textMax = 256 << 10
	// gatherTime bounds all of it. No deed waits for that; only the end of the
	// program does.
	gatherTime = 2 * time.Second

	causesFile   = "causes.txt"
	changesFile  = "changes.txt"
	timelineFile = "timeline.txt"
	// againPrefix is before the output that followed a failed attempt.
	againPrefix = "again-"
)

func incidentsDir(agentDir string) string { return filepath.Join(agentDir, "incidents") }

// incidentDir is that of an incident, "" if there is no such place.
func incidentDir(agentDir, id string) string {
	if agentDir == "" || id == "" || strings.ContainsRune(id, filepath.Separator) || !filepath.IsLocal(id) {
		return ""
	}
	return filepath.Join(incidentsDir(agentDir), id)
}

// makeIncident makes the directory of an incident. It makes no agent's directory:
// one that somebody has removed is not brought back by this.
func makeIncident(dir string) bool {
	for _, dir := range []string{filepath.Dir(dir), dir} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return false
		}
	}
	return true
}

// gather keeps, in the background, what a person will ask for. One at a time: an
// attempt that fails at once has printed nothing that the next one has not.
func (w *world) gather(s lifecycle.State, o lifecycle.Outcome, findings []cause.Finding) {
	dir := incidentDir(w.dir, s.Incident.ID)
	if dir == "" || slices.Contains(o.Causes, deadman.DiskFull) {
		return // What room is left belongs to the recovery.
	}
	if w.gathered != nil {
		select {
		case <-w.gathered:
		default:
			return
		}
	}
	done := make(chan struct{})
	w.gathered = done
	exit := w.last.process.Exit
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), gatherTime)
		defer cancel()
		if !makeIncident(dir) {
			return
		}
		w.pruneIncidents()
		_, err := os.Lstat(filepath.Join(dir, causesFile))
		first := errors.Is(err, fs.ErrNotExist)
		notes := []string{fmt.Sprintf("%s  %s", time.Now().UTC().Format(time.RFC3339), s.Pending.Reason)}
		note := func(format string, args ...any) { notes = append(notes, "  "+fmt.Sprintf(format, args...)) }
		if exit != "" {
			note("how it ended: %s", exit)
		}
		for _, f := range findings {
			note("%s", f)
		}
		for _, source := range w.outputs() {
			text, err := source.read(ctx)
			name := source.name
			if !first {
				name = againPrefix + name
			}
			if err == nil && len(text) > 0 {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
			}
			if err != nil {
				note("not kept: %s: %v", source.what, bareError(err))
			}
		}
		if first {
			if changes, err := w.changes(s, o.Snapshot); err != nil {
				note("not kept: what differs from the known good: %v", bareError(err))
			} else if len(changes) > 0 {
				_ = os.WriteFile(filepath.Join(dir, changesFile), []byte(strings.Join(changes, "\n")+"\n"), 0o600)
			}
		}
		appendText(filepath.Join(dir, causesFile), notes)
	}()
}

// awaitGathered gives what is being kept its time; an agent may not wait for it.
func (w *world) awaitGathered() {
	if w.gathered == nil {
		return
	}
	select {
	case <-w.gathered:
	case <-time.After(gatherTime):
	}
}

// bareError is err without the path, which its context names.
func bareError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// appendText adds lines to a file that may grow so far and no further.
func appendText(path string, lines []string) {
	if info, err := os.Lstat(path); err == nil && (info.Size() > textMax || !info.Mode().IsRegular()) {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = io.WriteString(f, strings.Join(lines, "\n")+"\n")
}

// pruneIncidents removes all but the newest. Their names are times.
func (w *world) pruneIncidents() {
	entries, err := os.ReadDir(incidentsDir(w.dir))
	if err != nil {
		return
	}
	for i := range max(0, len(entries)-incidentsMax) {
		_ = os.RemoveAll(filepath.Join(incidentsDir(w.dir), entries[i].Name()))
	}
}

// output is one place where the end of what an agent has printed can be read.
type output struct {
	name, what string
	read       func(ctx context.Context) ([]byte, error)
}

// outputs are all there are for this agent.
func (w *world) outputs() []output {
	var all []output
	file := func(name, what, path string) {
		all = append(all, output{name, what, func(context.Context) ([]byte, error) { return tailOf(path) }})
	}
	if unit := w.agent.Supervisor.Systemd; unit != nil {
		all = append(all, output{"journal.txt", "its journal", func(ctx context.Context) ([]byte, error) {
			return journalOf(ctx, unit.Unit, unit.User)
		}})
	} else {
		file("output.txt", "its captured output", filepath.Join(w.dir, "output.log"))
	}
	if w.agent.Log != "" {
		file("log.txt", "its log", w.agent.Log)
	}
	return all
}

// tailOf is the end of a file, in whole lines. One that is not there is empty.
func tailOf(path string) ([]byte, error) {
	// The log is the agent's, and may be a fifo as well as a file.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	at := max(0, info.Size()-outputBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, at, outputBytes))
	if err != nil {
		return nil, err
	}
	if at > 0 {
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
			text = rest
		}
	}
	return lastLines(text), nil
}

// lastLines are the last outputLines of a text.
func lastLines(text []byte) []byte {
	end := len(bytes.TrimSuffix(text, []byte("\n")))
	at := end
	for range outputLines {
		if at = bytes.LastIndexByte(text[:at], '\n'); at < 0 {
			return text
		}
	}
	return text[at+1:]
}

// journalOf asks journald for the end of what a unit has printed.
func journalOf(ctx context.Context, unit string, user bool) ([]byte, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, errors.New("there is no journalctl")
	}
	args := []string{"--no-pager", "--quiet", "--output=short-iso", fmt.Sprintf("--lines=%d", outputLines), "--unit=" + unit}
	if user {
		args = append(args, "--user")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 100 * time.Millisecond
	text, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, errors.New("journalctl did not answer in time")
	}
	if err != nil {
		return nil, fmt.Errorf("journalctl: %v", err)
	}
	if extra := len(text) - outputBytes; extra > 0 {
		text = text[extra:]
	}
	return lastLines(text), nil
}

// changes name what differs from the known good to a snapshot, by file and key
// path, but for what the agent writes itself (preserve). Never values.
func (w *world) changes(s lifecycle.State, kept string) ([]string, error) {
	if s.Known.Snapshot == "" || kept == "" || kept == s.Known.Snapshot {
		return nil, nil
	}
	v := &view{agent: w.agent, sets: w.sets, limits: w.limits, store: w.store}
	manifests := make([]snapshot.Manifest, 2)
	for i, id := range []string{s.Known.Snapshot, kept} {
		m, err := w.store.Load(id)
		if err != nil {
			return nil, err
		}
		manifests[i] = m
	}
	var lines []string
	for _, name := range names(manifests[0], manifests[1]) {
		diff, ok, err := v.compare(v.stored(manifests[0]), v.stored(manifests[1]), name, false)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if len(diff.Keys) == 0 {
			lines = append(lines, fmt.Sprintf("%s (%s)", diff.Name, diff.Kind))
		}
		for _, key := range diff.Keys {
			if path, _, _ := strings.Cut(key, " ("); !w.preserved(diff.Name, path) {
				lines = append(lines, fmt.Sprintf("%s: %s", diff.Name, key))
			}
		}
	}
	return lines, nil
}

// preserved reports whether a key of a file is one that the agent writes itself.
func (w *world) preserved(name, path string) bool {
	for _, set := range w.sets {
		for _, key := range set.Preserve {
			rest, under := strings.CutPrefix(path, key.Path)
			if (snapshot.Member{Set: set.Label, Path: key.File}).Name() == name && under && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				return true
			}
		}
	}
	return false
}

// timeline adds the entries of an incident to its file, as they are saved.
func timeline(agentDir string, entries []record.Entry) {
	lines := make(map[string][]string)
	for _, e := range entries {
		if e.Incident == "" || !human(e.Kind) {
			continue
		}
		words := []string{e.Time.Format(time.RFC3339), e.Kind, e.Outcome, e.Reason, e.Cause, e.Snapshot}
		words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
		lines[e.Incident] = append(lines[e.Incident], strings.Join(words, "  "))
	}
	for id, lines := range lines {
		dir := incidentDir(agentDir, id)
		if dir == "" || !makeIncident(dir) {
			continue
		}
		appendText(filepath.Join(dir, timelineFile), lines)
	}
}

// shownLines is how much of an output is shown beside its path.
const shownLines = 40

// gatheredAt adds what was kept of an incident to what explains it.
func gatheredAt(x *api.Explanation, agentDir, id string) {
	dir := incidentDir(agentDir, id)
	if dir == "" {
		return
	}
	if _, err := os.Stat(dir); err != nil {
		return
	}
	x.Folder = dir
	x.Looked = linesOf(filepath.Join(dir, causesFile))
	x.Changed = linesOf(filepath.Join(dir, changesFile))
	for _, name := range []string{"journal.txt", "output.txt", "log.txt"} {
		for _, name := range []string{name, againPrefix + name} {
			path := filepath.Join(dir, name)
			lines := linesOf(path)
			if len(lines) == 0 {
				continue
			}
			out := api.Output{Path: path, Lines: lines}
			if extra := len(lines) - shownLines; extra > 0 {
				out.Lines, out.Before = lines[extra:], extra
			}
			x.Output = append(x.Output, out)
		}
	}
}

// linesOf are the lines of a file of ours, fit for a terminal: what an agent
// prints may hold anything.
func linesOf(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return nil
	}
	clean := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, strings.ToValidUTF8(string(text), "·"))
	return strings.Split(strings.TrimSuffix(clean, "\n"), "\n")
}
