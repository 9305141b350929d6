package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// OfUnit is what properties of a unit mean, as D-Bus gives them, given the
// invocation that we have stopped, and whether it has run although disabled.
func OfUnit(properties map[string]any, ended string, disabled bool) Inspection {
	return unitOf(properties).inspection(unitNote{Ended: ended, Disabled: disabled})
}

// OfJob is what it means that launchctl prints this.
func OfJob(text string) Inspection { return ofJob(parseJob(text)) }

// Look is one look of an owner, without what Owned makes of it.
func Look(ctx context.Context, o Owner) Inspection { return o.look(ctx) }

// RestartsTallied is restartsTallied.
const RestartsTallied = restartsTallied

// The parsers.
var (
	ParseXML = parseXML
	ParsePID = parsePID
)

// XMLCall is a call with these arguments.
func XMLCall(args ...any) []byte { return xmlCall("m", args) }

// MakeRunit makes of dir a service that seems to have a runsv.
func MakeRunit(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "supervise"), 0o700); err != nil {
		return err
	}
	ok := filepath.Join(dir, "supervise/ok")
	if err := unix.Mkfifo(ok, 0o600); err != nil {
		return err
	}
	_, err := os.OpenFile(ok, os.O_RDWR, 0) // held open until the test ends
	return err
}

// NotesComeBack writes each note that a supervisor leaves for itself, and reads it.
func NotesComeBack(dir, attempt string, at time.Duration) error {
	u := &Systemd{StateDir: dir}
	note := unitNote{Version: noteVersion, Attempt: attempt, Asked: at, Boot: attempt, Ended: attempt, Disabled: at > 0}
	if u.write(note); u.note() != note {
		return fmt.Errorf("%+v became %+v", note, u.note())
	}
	o := &Owned{StateDir: dir}
	h := hand{Version: handVersion, Attempt: attempt, Asked: at, Down: at > 0}
	h.Ended.Boot, h.Ended.Start = attempt, at
	if o.note(h); o.hand() != h {
		return fmt.Errorf("%+v became %+v", h, o.hand())
	}
	return nil
}

// NotesOf says what is read of the notes in dir that is not nothing.
func NotesOf(dir string) error {
	var errs []error
	if n := (&Systemd{StateDir: dir}).note(); n != (unitNote{}) {
		errs = append(errs, fmt.Errorf("unit.json says %+v", n))
	}
	if h := (&Owned{StateDir: dir}).hand(); h != (hand{}) {
		errs = append(errs, fmt.Errorf("owner.json says %+v", h))
	}
	if s, err := (&Child{StateDir: dir}).state(); err == nil {
		errs = append(errs, fmt.Errorf("child.json says %+v", s))
	}
	return errors.Join(errs...)
}
