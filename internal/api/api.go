// Package api holds what the program says of itself to other programs: the
// objects behind --json, and behind every table on the terminal. Fields are
// added, never renamed; a change that would break a reader raises Schema.
package api

import (
	"time"

	"deadman"
)

// Schema is the version of these objects.
const Schema = 1

// Exit statuses of the program; each command's help lists its own.
const (
	ExitOK      = 0
	ExitFailed  = 1  // an agent is down or was not brought back, or a command failed
	ExitUsage   = 2  // bad flag, unknown agent, bad config
	ExitUnknown = 3  // cannot tell
	ExitBusy    = 75 // another deadman is recovering it
)

// Report is one object for all agents: `check --json` and `status --json`.
type Report struct {
	Schema int     `json:"schema"`
	Agents []Agent `json:"agents"`
}

// Agent is one agent at a glance.
type Agent struct {
	Name  string        `json:"name"`
	State deadman.Phase `json:"state"`
	// Exit is this agent's share in the exit status of `check`.
	Exit      int      `json:"exit"`
	KnownGood *Config  `json:"known_good,omitempty"`
	Live      *Config  `json:"live,omitempty"`
	Process   *Process `json:"process,omitempty"`
	// Cause is why it died, Reason why what was done was done, Action the last
	// deed of this round.
	Cause  deadman.Cause  `json:"cause,omitempty"`
	Reason deadman.Reason `json:"reason,omitempty"`
	Action string         `json:"action,omitempty"`
	// Since is when State was entered, Next when something is due without
	// anything happening (a backoff gap, the end of a pause).
	Since time.Time `json:"since,omitzero"`
	Next  time.Time `json:"next,omitzero"`
	// Proof says what stands between the live config and its promotion, in a
	// word of lifecycle.Evidence or a short sentence; empty when it is proven.
	Proof string `json:"proof,omitempty"`
	// Findings are what a person should know, a line each, without values.
	Findings []string `json:"findings,omitempty"`
	// Hints are what to do about the findings, a line each.
	Hints []string `json:"hints,omitempty"`
	// Fresh are the findings and deeds of this very round; what check prints.
	Fresh []string `json:"fresh,omitempty"`
	// Undo is the one command that undoes the rollback in hand.
	Undo     string  `json:"undo,omitempty"`
	Incident string  `json:"incident,omitempty"`
	Checks   []Check `json:"checks,omitempty"`
	// Armed is what goes back unless somebody confirms, Applied how `apply` came out.
	Armed   *Armed   `json:"armed,omitempty"`
	Applied *Applied `json:"applied,omitempty"`
	// LastCheck is when the last round ended.
	LastCheck time.Time `json:"last_check,omitzero"`
	// Watched: a live `deadman watch` guards it.
	Watched bool `json:"watched,omitempty"`
}

// Config is one version of an agent's config set.
type Config struct {
	ID       string           `json:"id,omitempty"`
	Hash     string           `json:"hash,omitempty"`
	Standing deadman.Standing `json:"standing,omitempty"`
	// Provisional: known good without proof.
	Provisional bool `json:"provisional,omitempty"`
}

// Armed is the snapshot that goes back at Until.
type Armed struct {
	Snapshot string    `json:"snapshot"`
	Until    time.Time `json:"until"`
}

// How `apply` came out, in Applied.Outcome.
const (
	Passed    = "passed"    // healthy for its probation
	Unchanged = "unchanged" // it is what is live
	Idle      = "idle"      // in place; the agent is stopped on purpose
	Reverted  = "reverted"  // what was live before is back
	Failed    = "failed"    // it did not come up, and nothing is there to go back to
	Refused   = "refused"   // nothing was replaced
	Overtaken = "overtaken" // something else came between
	Undecided = "undecided" // it cannot be told, or not yet
)

// Applied is how `apply` came out.
type Applied struct {
	Outcome string `json:"outcome"`
	// Reason is why it had to go back, or the end of the trial.
	Reason   deadman.Reason `json:"reason,omitempty"`
	Snapshot string         `json:"snapshot,omitempty"`
	Was      string         `json:"was,omitempty"`
	Incident string         `json:"incident,omitempty"`
	// Proven: it is the known good now. Held: it is known to be bad.
	Proven bool `json:"proven,omitempty"`
	Held   bool `json:"held,omitempty"`
	// Changed are the files and key paths in which it differs from Was.
	Changed []string `json:"changed,omitempty"`
}

// Process is an agent's main process.
type Process struct {
	PID   int       `json:"pid"`
	Start time.Time `json:"start,omitzero"`
}

// Check is the last attempt of one check.
type Check struct {
	Name   string         `json:"name"`
	Level  deadman.Level  `json:"level"`
	Result deadman.Result `json:"result"`
	Detail string         `json:"detail,omitempty"`
}

// Entry is one record: a line of `history --json`.
type Entry struct {
	ID       int64     `json:"id"`
	Time     time.Time `json:"time"`
	Agent    string    `json:"agent"`
	Incident string    `json:"incident,omitempty"`
	Kind     string    `json:"kind"`
	Cause    string    `json:"cause,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Snapshot string    `json:"snapshot,omitempty"`
	OldHash  string    `json:"old_config_hash,omitempty"`
	NewHash  string    `json:"new_config_hash,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`
	// Detail is a short line without values. Reverted are the key paths that a
	// rollback put back, Differs those in which a captured config differs from
	// the known good.
	Detail   string   `json:"detail,omitempty"`
	Reverted []string `json:"reverted,omitempty"`
	Differs  []string `json:"differs,omitempty"`
}

// Explanation is why one thing was decided: `explain ID --json`.
type Explanation struct {
	Entry Entry `json:"entry"`
	// Rule is the sentence behind the reason.
	Rule string `json:"rule,omitempty"`
	// Evidence is what was known, a line each.
	Evidence []string `json:"evidence,omitempty"`
	// Considered are the rules that were asked before and did not hold; had one
	// held, it would have decided instead.
	Considered []Rule `json:"considered,omitempty"`
	// Timeline is the rest of the incident.
	Timeline []Entry `json:"timeline,omitempty"`
	// Undo is the one command that undoes it, if it is a rollback.
	Undo string `json:"undo,omitempty"`
	// Folder is the directory with what was kept of the incident. Looked is what
	// was looked at for a cause, at each attempt; Changed are the files and key
	// paths in which the config at the death differed from the known good.
	Folder  string   `json:"folder,omitempty"`
	Looked  []string `json:"looked,omitempty"`
	Changed []string `json:"changed,omitempty"`
	// Output is what the agent had printed. It may hold secrets, so it is for the
	// terminal of whoever may read the file, and not for other programs.
	Output []Output `json:"-"`
}

// Output is the end of what an agent had printed.
type Output struct {
	Path  string
	Lines []string
	// Before is how many more lines the file has before them.
	Before int
}

// Rule is a reason with its sentence.
type Rule struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
}

// Held is a version that is known to be bad: `held --json`.
type Held struct {
	Agent    string `json:"agent"`
	Snapshot string `json:"snapshot"`
	Hash     string `json:"hash"`
	// Incident showed it at Time, for the Reason; Why is all of that in a line.
	Incident string    `json:"incident,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Why      string    `json:"why"`
	// Member is the file that has the content which was asked for.
	Member string `json:"member,omitempty"`
}

// Snapshot is one stored version: `snapshots --json`.
type Snapshot struct {
	ID          string           `json:"id"`
	Agent       string           `json:"agent"`
	Created     time.Time        `json:"created"`
	Seen        time.Time        `json:"seen,omitzero"`
	Standing    deadman.Standing `json:"standing"`
	KnownGood   bool             `json:"known_good,omitempty"`
	Provisional bool             `json:"provisional,omitempty"`
	Live        bool             `json:"live,omitempty"`
	Pinned      bool             `json:"pinned,omitempty"`
	Hash        string           `json:"hash"`
	Evidence    string           `json:"evidence,omitempty"`
	Members     []Member         `json:"members,omitempty"`
	History     []string         `json:"history,omitempty"`
	Proofs      []string         `json:"proofs,omitempty"`
}

// Member is one file of a snapshot.
type Member struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Mode   string `json:"mode"` // four octal digits
	Owner  string `json:"owner"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// Difference is what differs in one file between two versions: `diff`. Keys
// are paths, never values; Text is a unified diff and only filled when a
// person asks for it on the terminal.
type Difference struct {
	Name string   `json:"name"`
	Kind string   `json:"kind"` // added, removed, changed, metadata
	Keys []string `json:"keys,omitempty"`
	Text string   `json:"text,omitempty"`
}

// Drift is how far apart the versions of one agent's config are: `drift`. It is no
// fault; only Problems say what could not be compared.
type Drift struct {
	Name      string `json:"name"`
	KnownGood string `json:"known_good,omitempty"` // a snapshot's id
	// Canonical names the version in source control, "" if none is configured.
	Canonical   string          `json:"canonical,omitempty"`
	Differences []DriftBetween  `json:"differences"`
	Dirty       []DirtyCheckout `json:"dirty,omitempty"`
	Problems    []string        `json:"problems,omitempty"`
}

// DriftBetween is what differs from one version to another: known-good, canonical
// or live. Of what source control has not, nothing is said.
type DriftBetween struct {
	From  string       `json:"from"`
	To    string       `json:"to"`
	Files []Difference `json:"files"`
}

// DirtyCheckout is a git work tree in which files of the config are not those of
// its HEAD.
type DirtyCheckout struct {
	Checkout string   `json:"checkout"`
	Files    []string `json:"files"` // relative to it
}

// Published is what one agent's known good is in a repository: `publish`.
type Published struct {
	Name     string `json:"name"`
	Snapshot string `json:"snapshot"`
	Repo     string `json:"repo"`
	Branch   string `json:"branch"`
	Commit   string `json:"commit"`
	New      bool   `json:"new"`              // false: it was there already
	Pushed   string `json:"pushed,omitempty"` // the remote
}

// Finding is one line of `doctor`.
type Finding struct {
	// Level is ok, warn or bad; a bad one makes doctor exit 1.
	Level   string `json:"level"`
	Subject string `json:"subject"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Rivals are what else acts on the agents: `rivals --json`.
type Rivals struct {
	Schema int     `json:"schema"`
	Rivals []Rival `json:"rivals"`
	// Aside is what was moved aside, now or earlier, and can be put back.
	Aside []AsideRival `json:"aside"`
	// Restored is what --restore has looked at.
	Restored []RestoredRival `json:"restored,omitempty"`
	// Unseen are places that could not be read.
	Unseen []string `json:"unseen,omitempty"`
}

// Rival is one program that restarts, starts, stops or rewrites an agent beside
// deadman. Form, reasons and sure are of closed lists (package rival).
type Rival struct {
	ID   string `json:"id"`
	Form string `json:"form"`
	// Path and Line are where it is; a process has a pid, and a pane if it is in a
	// window of tmux.
	Path    string   `json:"path,omitempty"`
	Line    int      `json:"line,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Pane    string   `json:"pane,omitempty"`
	Agents  []string `json:"agents"`
	Reasons []string `json:"reasons"`
	Sure    string   `json:"sure"`
	Acts    []Act    `json:"acts"`
	// Via are the scripts that were read to find it.
	Via []string `json:"via,omitempty"`
	// Hint is what to do about one that deadman does not move aside.
	Hint string `json:"hint,omitempty"`
	// Outcome is what --disable did: commented-out, renamed, masked, killed, left or
	// refused. Error is why it was refused, Note what is left to do.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Act is what a rival does to one agent.
type Act struct {
	Agent  string `json:"agent"`
	Reason string `json:"reason"`
	Sure   string `json:"sure"`
	Does   string `json:"does"`
}

// AsideRival is one that is out of the way.
type AsideRival struct {
	Deed   string    `json:"deed"`
	Form   string    `json:"form"`
	Path   string    `json:"path,omitempty"`
	Agents []string  `json:"agents"`
	Time   time.Time `json:"time"`
}

// RestoredRival is what became of one that was aside.
type RestoredRival struct {
	Path  string `json:"path,omitempty"`
	Deed  string `json:"deed"`
	Error string `json:"error,omitempty"`
	Note  string `json:"note,omitempty"`
}
