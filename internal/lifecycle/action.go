package lifecycle

import "deadman"

// ActionKind is what is to be done.
type ActionKind string

const (
	// Deeds. One is outstanding at most, and its Outcome must be stepped.

	// DoCapture stores the live config as a candidate.
	DoCapture ActionKind = "capture"
	// DoPromote makes Snapshot the known good.
	DoPromote ActionKind = "promote"
	// DoMark sets the standing of Snapshot.
	DoMark ActionKind = "mark"
	// DoStop leaves no process of the agent and its port free.
	DoStop ActionKind = "stop"
	// DoKeep stores the live config as a suspect, and looks at what a decision needs.
	DoKeep ActionKind = "keep"
	// DoRestore puts Snapshot in place, whole, and reads it back.
	DoRestore ActionKind = "restore"
	// DoStart clears the supervisor's latches and starts the agent.
	DoStart ActionKind = "start"
	// DoReload has the process that runs read its config anew.
	DoReload ActionKind = "reload"

	// Alert is said and recorded; it has no outcome.
	Alert ActionKind = "alert"
	// Note is recorded only: how something came out.
	Note ActionKind = "note"
)

// Action is recorded before it is attempted, and always has a reason.
type Action struct {
	Kind   ActionKind     `json:"kind"`
	Reason deadman.Reason `json:"reason"`
	// Snapshot is the target of Promote, Mark and Restore, and what a Start
	// starts on, where that is stored.
	Snapshot string `json:"snapshot,omitempty"`
	// Attempt numbers deeds over the agent's whole life, so that an outcome
	// and a process can be told to belong to this one.
	Attempt int `json:"attempt,omitempty"`
	// Standing is the new one, of Mark.
	Standing deadman.Standing `json:"standing,omitempty"`
	// Provisional: promoted without proof.
	Provisional bool `json:"provisional,omitempty"`
	// Evidence is how Promote knows that these bytes were started on.
	Evidence Evidence      `json:"evidence,omitempty"`
	Cause    deadman.Cause `json:"cause,omitempty"`
	// Considered are the rules that were asked before Reason and did not hold.
	Considered []deadman.Reason `json:"considered,omitempty"`
	// Detail, of an Alert, is what it is about, where the reason alone does not
	// tell; for people alone.
	Detail string `json:"detail,omitempty"`
	// Would is the decision of an Alert in observe mode.
	Would deadman.Reason `json:"would,omitempty"`
}

// Deed reports whether a has an outcome.
func (a Action) Deed() bool { return a.Kind != "" && a.Kind != Alert && a.Kind != Note }
