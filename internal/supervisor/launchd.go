package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Launchd is an agent that is a job of launchd's, spoken to by launchctl: print
// says how it is; bootout unloads it, so that KeepAlive does not bring it back;
// enable, bootstrap and kickstart load and start it. A job that is not loaded has
// been stopped, by us or by a person.
//
// It is written from launchctl(1) and from what print is seen to say, which
// Apple does not promise to keep.
type Launchd struct {
	Label string
	// Domain is system, gui/UID or user/UID.
	Domain string
	// Record is a file that keeps the path of the job's plist while it is not
	// loaded.
	Record string
	// Program is launchctl; "" is that of PATH.
	Program string
}

// launchctlTime bounds one launchctl.
const launchctlTime = 5 * time.Second

// What launchctl ends with, beside 0.
const (
	launchdNoProcess  = 3   // it is not loaded
	launchdInProgress = 36  // the job takes its time to end
	launchdNoService  = 113 // it is not loaded, says print
)

func (l *Launchd) target() string { return l.Domain + "/" + l.Label }

// launchctlError is how a launchctl failed.
type launchctlError struct {
	verb, word string
	code       int
}

func (e *launchctlError) Error() string {
	return fmt.Sprintf("launchctl %s: %s (exit %d)", e.verb, e.word, e.code)
}

func (l *Launchd) tell(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, launchctlTime)
	defer cancel()
	program := l.Program
	if program == "" {
		program = "launchctl"
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environment(nil, "")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("launchctl %s: no answer in time", args[0])
	case errors.As(err, &exit):
		word, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return "", &launchctlError{args[0], word, exit.ExitCode()}
	}
	return "", fmt.Errorf("launchctl cannot be run: %v", bare(err))
}

// endedWith reports whether a launchctl ended with one of these.
func endedWith(err error, codes ...int) bool {
	failed := (*launchctlError)(nil)
	for _, code := range codes {
		if errors.As(err, &failed) && failed.code == code {
			return true
		}
	}
	return false
}

// job is what print says of one: the lines of its own, by name. Those of what is
// within it are indented further.
func (l *Launchd) job(ctx context.Context) (map[string]string, error) {
	text, err := l.tell(ctx, "print", l.target())
	if err != nil {
		return nil, err
	}
	return parseJob(text), nil
}

func parseJob(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), " = ")
		if ok && strings.HasPrefix(name, "\t") && !strings.HasPrefix(name, "\t\t") {
			fields[name[1:]] = value
		}
	}
	return fields
}

func (l *Launchd) look(ctx context.Context) Inspection {
	fields, err := l.job(ctx)
	failed := (*launchctlError)(nil)
	if endedWith(err, launchdNoService) && errors.As(err, &failed) && strings.HasPrefix(failed.word, "Could not find service") {
		seen := gone("the job is not loaded")
		seen.Stopped = true
		return seen
	}
	if err != nil {
		return obscured(deadman.Process{}, "%v", err)
	}
	return ofJob(fields)
}

// ofJob is what the words of launchd mean.
func ofJob(fields map[string]string) Inspection {
	state, runs := fields["state"], fields["runs"]
	started, err := strconv.ParseInt(runs, 10, 64)
	if err != nil || state == "" {
		return obscured(deadman.Process{}, "launchctl print says nothing that is known")
	}
	var seen Inspection
	if pid, err := strconv.Atoi(fields["pid"]); err == nil && pid > 0 {
		seen = ofOwner(pid, "")
		seen.life = lifeName(alive, "%s", runs)
	} else {
		seen = gone("the job is " + state)
		seen.Exit = exitOfJob(fields)
		// It waits for its ThrottleInterval, 10 s, to bring it back.
		seen.Activating = state == "spawn scheduled"
		seen.life = lifeName(atRest, "%s", runs)
	}
	// All but the first since it was loaded.
	seen.Restarts = max(0, started-1)
	return seen
}

// exitOfJob reads "78: EX_CONFIG" and "Killed: 9".
func exitOfJob(fields map[string]string) string {
	if word := fields["last terminating signal"]; word != "" {
		_, number, _ := strings.Cut(word, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			return proc.Exit{Known: true, Signal: syscall.Signal(n)}.String()
		}
	}
	number, _, _ := strings.Cut(fields["last exit code"], ":")
	if n, err := strconv.Atoi(number); err == nil {
		return proc.Exit{Known: true, Code: n}.String()
	}
	return ""
}

func (l *Launchd) up(ctx context.Context, _ string) error {
	if _, err := l.tell(ctx, "enable", l.target()); err != nil {
		return err
	}
	if _, err := l.job(ctx); err != nil {
		plist, err := l.plist()
		if err != nil {
			return err
		}
		if _, err := l.tell(ctx, "bootstrap", l.Domain, plist); err != nil {
			return err
		}
	}
	_, err := l.tell(ctx, "kickstart", l.target())
	return err
}

// plist is where the job is loaded from: where it was when we unloaded it, or
// else where one of its name usually is.
func (l *Launchd) plist() (string, error) {
	places := []string{"/Library/LaunchDaemons", "/Library/LaunchAgents"}
	if home, err := os.UserHomeDir(); err == nil {
		places = append([]string{filepath.Join(home, "Library/LaunchAgents")}, places...)
	}
	if path, err := os.ReadFile(l.Record); err == nil {
		return string(path), nil
	}
	for _, dir := range places {
		path := filepath.Join(dir, l.Label+".plist")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the job is not loaded, and its plist is not where one of its name usually is")
}

func (l *Launchd) down(ctx context.Context, _ time.Duration) (bool, error) {
	fields, err := l.job(ctx)
	if endedWith(err, launchdNoService) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Without its path the job could not be loaded again: no record, no stop.
	if err := os.WriteFile(l.Record, []byte(fields["path"]), 0o600); err != nil {
		return false, fmt.Errorf("the path of its plist cannot be kept: %v", reason(err))
	}
	if _, err := l.tell(ctx, "bootout", l.target()); err != nil && !endedWith(err, launchdNoProcess, launchdInProgress) {
		return false, err
	}
	return true, nil
}
