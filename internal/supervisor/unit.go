package supervisor

import (
	"fmt"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// unit is what systemd says of a service, at one moment. Times are since boot on
// CLOCK_MONOTONIC, 0 for never.
type unit struct {
	Load, Active, Sub string
	// File is the state of its unit file: enabled, disabled, static …
	File string
	Type string
	// Result is how its last life ended, in systemd's words.
	Result       string
	Main         int
	Restarts     int64
	ControlGroup string
	// Invocation names the life that it is in, or was in last.
	Invocation string
	// Job: systemd has something to do with it yet.
	Job bool
	// Unmet: it was to be started, and its conditions did not hold.
	Unmet bool
	// Unreloadable: it has no ExecReload.
	Unreloadable bool

	ActiveEnter, ActiveExit     time.Duration
	InactiveEnter, InactiveExit time.Duration
	MainStart, MainExit         time.Duration
	// MainCode and MainStatus are those of waitid(2).
	MainCode, MainStatus int
}

// unitOf reads the properties of a unit, as D-Bus gives them.
func unitOf(p map[string]any) unit {
	at := func(name string) time.Duration {
		micros, _ := p[name+"TimestampMonotonic"].(uint64)
		return time.Duration(micros) * time.Microsecond
	}
	u := unit{
		ActiveEnter: at("ActiveEnter"), ActiveExit: at("ActiveExit"),
		InactiveEnter: at("InactiveEnter"), InactiveExit: at("InactiveExit"),
		MainStart: at("ExecMainStart"), MainExit: at("ExecMainExit"),
	}
	for name, to := range map[string]*string{
		"LoadState": &u.Load, "ActiveState": &u.Active, "SubState": &u.Sub, "UnitFileState": &u.File,
		"Type": &u.Type, "Result": &u.Result, "ControlGroup": &u.ControlGroup,
	} {
		*to, _ = p[name].(string)
	}
	if u.ControlGroup == "/" { // that of no service: everything on the machine
		u.ControlGroup = ""
	}
	main, _ := p["MainPID"].(uint32)
	code, _ := p["ExecMainCode"].(int32)
	status, _ := p["ExecMainStatus"].(int32)
	u.Main, u.MainCode, u.MainStatus = int(main), int(code), int(status)
	u.Restarts = RestartsUnknown
	if n, ok := p["NRestarts"].(uint32); ok {
		u.Restarts = int64(n)
	}
	if id, ok := p["InvocationID"].([]byte); ok && len(id) > 0 {
		u.Invocation = fmt.Sprintf("%x", id)
	}
	if job, ok := p["Job"].([]any); ok && len(job) > 0 {
		id, _ := job[0].(uint32)
		u.Job = id != 0
	}
	met, ok := p["ConditionResult"].(bool)
	u.Unmet = ok && !met && at("Condition") > 0
	can, ok := p["CanReload"].(bool)
	u.Unreloadable = ok && !can
	return u
}

// unitNote is what we have noted of a unit, in unit.json. It is written before
// what it speaks of is done, so that a deadman that comes after a crash tells our
// doings from a person's by it.
type unitNote struct {
	Version int `json:"version"`
	// Attempt is our last start, Asked the time since the boot Boot right before.
	Attempt string        `json:"attempt,omitempty"`
	Asked   time.Duration `json:"asked,omitempty"`
	Boot    string        `json:"boot,omitempty"`
	// Ended is the invocation that we stopped, "-" one without a name.
	Ended string `json:"ended,omitempty"`
	// Disabled: it has run although its unit file is disabled, so that says
	// nothing about its being down.
	Disabled bool `json:"disabled,omitempty"`
}

// inspection is what the words of systemd mean, all but the process itself: it is
// Running only if u.Main is.
//
// The times tell who ended it. If systemd was told to stop the unit, that left
// `active` before its main process exited; if the process ended by itself, even
// with status 0, that was first. One that was stopped before it was ever `active`
// is inactive, and not failed. A unit that was unloaded since has lost its times,
// and nothing can be told.
func (u unit) inspection(note unitNote) Inspection {
	seen := Inspection{Restarts: u.Restarts, Exit: u.exit()}
	if u.Result != "success" {
		seen.Result = u.Result
	}
	switch u.Active {
	case "active", "reloading", "refreshing":
		seen.Presence = deadman.Running
		if u.Sub == "exited" {
			seen.Presence, seen.Detail = deadman.Gone, "its unit is active, but its process has exited"
		}
	case "activating", "deactivating":
		seen.Presence = deadman.Gone
		if u.Main != 0 {
			seen.Presence = deadman.Running
		}
		seen.Activating = u.Main == 0 || u.Active == "deactivating"
		seen.Detail = fmt.Sprintf("its unit is %s (%s)", u.Active, u.Sub)
	case "inactive", "failed":
		u.down(note, &seen)
	default:
		seen.Presence, seen.Detail = deadman.Obscured, fmt.Sprintf("its unit is in the unknown state %q", u.Active)
	}
	return seen
}

// down judges a unit that systemd calls inactive or failed.
func (u unit) down(note unitNote, seen *Inspection) {
	seen.Presence = deadman.Gone
	// systemd keeps the result of the last life (exit-code) when the start limit ends
	// a series of restarts, so their count has to say it. A unit that it has never
	// restarted in this series was not given up: it has only failed.
	if u.Active == "failed" {
		switch {
		case u.Result == "start-limit-hit":
			seen.Latched = u.Result
		case u.Restarts != 0:
			seen.Latched = "failed"
		}
	}
	ours := note.Ended != "" && (note.Ended == u.Invocation || u.forgotten())
	cannotTell := func(why string) { seen.Presence, seen.Detail = deadman.Obscured, why }
	stopped := func(why string) { seen.Stopped, seen.Detail = true, why }
	switch {
	case u.Job:
		seen.Activating, seen.Detail = true, "its unit waits for its start"
	case u.Load == "masked":
		stopped("its unit is masked")
	case u.Load != "loaded":
		cannotTell(fmt.Sprintf("systemd cannot load its unit (%s)", u.Load))
	case u.File == "disabled" && !note.Disabled:
		stopped("its unit is disabled")
	case ours:
		seen.Detail = "deadman stopped its unit"
	case u.Unmet:
		stopped("its unit's conditions do not hold")
	case u.forgotten() && (u.File == "enabled" || u.File == "enabled-runtime"):
		seen.Detail = "its unit was not started since the boot"
	case u.forgotten():
		cannotTell("its unit was unloaded, and systemd has forgotten how it ended")
	case u.ActiveEnter >= u.InactiveExit: // it was active in its last life
		if u.ActiveExit < u.MainExit {
			stopped("its unit was stopped")
		}
	case u.Active == "failed" || u.Type == "oneshot":
	case u.Result != "success", u.MainExit == 0, u.MainExit > u.InactiveExit:
		stopped("its unit was stopped while it was starting")
	default:
		cannotTell("its unit was stopped while it was starting, or was reset after it had failed")
	}
}

// forgotten: systemd knows of no life of it. It was not started since the boot,
// or has been unloaded since.
func (u unit) forgotten() bool { return u.InactiveExit == 0 && u.InactiveEnter == 0 }

// The codes of waitid(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// exit is how the main process ended last.
func (u unit) exit() string {
	e := proc.Exit{Known: true}
	switch u.MainCode {
	case cldExited:
		e.Code = u.MainStatus
	case cldKilled, cldDumped:
		e.Signal = syscall.Signal(u.MainStatus)
	default:
		return ""
	}
	return e.String()
}
