package lifecycle

import (
	"time"

	"deadman"
)

// StateVersion is stored beside a State; a change that an older program would
// misread raises it.
const StateVersion = 1

// State is everything that is remembered of one agent. It is a plain value:
// its JSON form is its whole self, and the zero State knows nothing.
type State struct {
	Phase deadman.Phase `json:"phase"`
	// Since is when Phase was entered.
	Since time.Time `json:"since,omitzero"`
	// Deadline is set exactly in the phases that can time out: Verifying,
	// Waiting, Failed, and Confirming while a process is gone.
	Deadline time.Time `json:"deadline,omitzero"`
	// Span is the full length of what Deadline ends. No more than that is
	// waited after a reboot, whatever the clock says then.
	Span time.Duration `json:"span,omitempty"`
	Boot string        `json:"boot,omitempty"`

	Hold Hold `json:"hold,omitzero"`
	Life Life `json:"life,omitzero"`
	Loop Loop `json:"loop,omitzero"`
	// Dying and Fog count probes in a row: unhealthy ones, and ones that
	// cannot tell. Fog stops counting at its limit.
	Dying int `json:"dying,omitempty"`
	Fog   int `json:"fog,omitempty"`

	// Seen is the live config at the last round that was saved.
	Seen  Seen  `json:"seen,omitzero"`
	Known Known `json:"known,omitzero"`
	// Problem is why the live config cannot be read, "" if it can.
	Problem string `json:"problem,omitempty"`
	// Barred are identities that failed to verify in an exhausted incident.
	Barred []string `json:"barred,omitempty"`
	// LastUp and LastReady are when it last served and when it last was ready;
	// set when that ends, so that steady health changes nothing here.
	LastUp    time.Time `json:"last_up,omitzero"`
	LastReady time.Time `json:"last_ready,omitzero"`
	// EverReady: ready checks have been healthy for the probation on some config.
	EverReady bool `json:"ever_ready,omitempty"`
	// FreshBoot: the machine was booted and the agent has not been seen up since.
	FreshBoot bool `json:"fresh_boot,omitempty"`
	// ReadyEnded are identities under which a serving process was ended once
	// because it was not ready.
	ReadyEnded []string `json:"ready_ended,omitempty"`
	// Slowest start learned, and the agent version that it was learned on.
	Slowest        time.Duration `json:"slowest,omitempty"`
	SlowestVersion string        `json:"slowest_version,omitempty"`

	Incident Incident `json:"incident,omitzero"`
	// Trial is the last config that was applied, Armed what goes back unless
	// somebody confirms.
	Trial Trial `json:"trial,omitzero"`
	Armed Armed `json:"armed,omitzero"`
	// Starts are the times of our starts within the limit's interval.
	Starts []time.Time `json:"starts,omitempty"`

	Pending  Action `json:"pending,omitzero"`
	Attempts int    `json:"attempts,omitempty"`
	// Bounces are when, within the start limit's interval, one process took the
	// place of another outside an incident and nobody explains it.
	Bounces []time.Time `json:"bounces,omitempty"`
	// Said are the findings already alerted outside an incident, by reason and
	// identity, so that each is said once.
	Said []string `json:"said,omitempty"`
}

// Hold is a person's word that keeps the switch's hands off.
type Hold struct {
	// Verb is Pause or StopNow; empty is no hold.
	Verb Verb `json:"verb,omitempty"`
	// Until ends a pause, and Span is its full length: no more than that is
	// paused after a reboot.
	Until time.Time     `json:"until,omitzero"`
	Span  time.Duration `json:"span,omitempty"`
	// Stopped: a person had stopped it before the pause, and that holds on
	// after it.
	Stopped bool `json:"stopped,omitempty"`
}

// Loop counts what the agent's supervisor restarts.
type Loop struct {
	// Known: Count is the supervisor's count at the last round that had one.
	Known bool  `json:"known,omitempty"`
	Count int64 `json:"count,omitempty"`
	// At are the times at which it was seen to have grown, one for each
	// restart, as far back as the start limit looks.
	At []time.Time `json:"at,omitempty"`
}

// Life is one process, from its first sight on.
type Life struct {
	Process  deadman.Process `json:"process,omitzero"`
	FirstAt  time.Time       `json:"first_at,omitzero"`
	Restarts int64           `json:"restarts,omitempty"`
	// Ours: a Start of ours brought it up, at FirstAt.
	Ours bool `json:"ours,omitempty"`
	// Answered: an alive check has been healthy on it.
	Answered bool `json:"answered,omitempty"`
	// Run counts healthy rounds in a row, up to the threshold.
	Run int `json:"run,omitempty"`
	// AliveSince is the first of an uninterrupted run of rounds in which it
	// served; FullSince, of rounds in which every check was healthy; ReadySince,
	// of rounds in which it was ready on the config that is live now.
	AliveSince time.Time `json:"alive_since,omitzero"`
	FullSince  time.Time `json:"full_since,omitzero"`
	ReadySince time.Time `json:"ready_since,omitzero"`
	// ReadyHeld: ready held for the probation on the config that is live now.
	ReadyHeld bool `json:"ready_held,omitempty"`
	// Unready counts rounds in a row that served and were not ready, up to the
	// threshold.
	Unready int `json:"unready,omitempty"`
	// On is what was on disk when it started, as far as Evidence tells.
	On       Live     `json:"on,omitzero"`
	Evidence Evidence `json:"evidence,omitempty"`
	// Proven: On has been promoted on the strength of this life.
	Proven bool `json:"proven,omitempty"`
}

// Seen is a version of the live config, and since when it has been there.
type Seen struct {
	Live
	// HealthySince is the first of an uninterrupted run of healthy rounds that
	// saw this identity, and HeldFor the sum of all such runs before it.
	HealthySince time.Time     `json:"healthy_since,omitzero"`
	HeldFor      time.Duration `json:"held_for,omitempty"`
	// Unready: when this version came it was not ready, on one on which it had
	// been, and it has not been ready since.
	Unready bool `json:"unready,omitempty"`
}

// IsZero reports whether s says nothing. Without it that of Live would be asked,
// and what else s says would be lost on its way through JSON.
func (s Seen) IsZero() bool { return s == Seen{} }

// Known is the known good.
type Known struct {
	Config
	// Provisional: the valid candidate that was longest on disk under a healthy
	// process stands in until something is proven. Held is that time.
	Provisional bool          `json:"provisional,omitempty"`
	Held        time.Duration `json:"held,omitempty"`
	At          time.Time     `json:"at,omitzero"`
	// Versions of the agent that it is proven with.
	Versions []string `json:"versions,omitempty"`
	// Deaths without outside cause within demotionTime of At.
	Deaths int `json:"deaths,omitempty"`
}

// Incident lasts from a death to the end of probation after it.
type Incident struct {
	ID    string         `json:"id,omitempty"`
	Since time.Time      `json:"since,omitzero"`
	Why   deadman.Reason `json:"why,omitempty"`
	Cause deadman.Cause  `json:"cause,omitempty"`
	// Person is the verb that opened it, if a person did, Chose what was
	// chosen, and Obeyed whether that has been carried out.
	Person Verb   `json:"person,omitempty"`
	Chose  Config `json:"chose,omitzero"`
	Obeyed bool   `json:"obeyed,omitempty"`
	// NewBoot: the machine was booted and the agent has not been seen up since.
	NewBoot bool `json:"new_boot,omitempty"`
	// WasReady: ready checks were healthy within readyMemory before the death.
	WasReady bool `json:"was_ready,omitempty"`
	// HeldFor is how long the live config had been on disk under a healthy
	// process when the agent died, and HeldOn its identity.
	HeldFor time.Duration `json:"held_for,omitempty"`
	HeldOn  string        `json:"held_on,omitempty"`
	// Stopped is the wall clock when the first Stop after the last Start had
	// ended: from then on no process of the agent can have written.
	Stopped time.Time `json:"stopped,omitzero"`
	// Kept is what the last Keep since that Stop found, and Version the version
	// of the agent then.
	Kept    Live   `json:"kept,omitzero"`
	Version string `json:"version,omitempty"`

	// Original is what was live at the death; it goes back if nothing helps.
	Original Live `json:"original,omitzero"`
	// Target is what the start in hand is on, Chosen why, and RolledBack
	// whether the switch put it there.
	Target     Live           `json:"target,omitzero"`
	Chosen     deadman.Reason `json:"chosen,omitempty"`
	RolledBack bool           `json:"rolled_back,omitempty"`
	// Replaced: a restore has put Target there since a start was last verified.
	Replaced bool `json:"replaced,omitempty"`
	// Hindered: an outside cause held when the start in hand was decided on.
	Hindered bool `json:"hindered,omitempty"`
	// Due: Target waits only for the deadline.
	Due bool `json:"due,omitempty"`
	// Half: a restore of Target ended in the middle and must be finished first.
	Half bool `json:"half,omitempty"`
	// Unrepaired: modes or owners could not be put back.
	Unrepaired bool `json:"unrepaired,omitempty"`
	// Raced counts restores in a row that found the config changed.
	Raced int `json:"raced,omitempty"`
	// Verified: a start on Target was verified in this incident.
	Verified bool `json:"verified,omitempty"`
	// Again is the last death after such a start.
	Again time.Time `json:"again,omitzero"`
	// Tried are identities that did not verify and are not tried again.
	Tried []string `json:"tried,omitempty"`
	// Rungs are the targets of another origin than the store that were chosen: one
	// of each is tried in an incident, whatever becomes of it where it is from.
	Rungs []Rung `json:"rungs,omitempty"`
	// Failed is the identity of the last start that failed, Unjudged that it is
	// open whether this counts: that depends on what the next Keep finds.
	Failed   string `json:"failed,omitempty"`
	Unjudged bool   `json:"unjudged,omitempty"`
	// Failures are starts that did not verify, by identity.
	Failures []Failure `json:"failures,omitempty"`
	// Blamed are the versions that were rolled back from.
	Blamed    []Live `json:"blamed,omitempty"`
	Gaps      int    `json:"gaps,omitempty"`
	Foreign   int    `json:"foreign,omitempty"`
	Exhausted bool   `json:"exhausted,omitempty"`
	// Counted: this incident's death was counted against the known good;
	// Demoted: that cost it its standing.
	Counted bool `json:"counted,omitempty"`
	Demoted bool `json:"demoted,omitempty"`
	// Told are the alerts of this incident; each is given once.
	Told []deadman.Reason `json:"told,omitempty"`
}

// Open reports whether there is an incident.
func (i Incident) Open() bool { return i.ID != "" }

// Failure counts the failed starts on one identity.
type Failure struct {
	Identity string `json:"identity"`
	Count    int    `json:"count"`
}

// Rung is a target that was never live, and was chosen all the same.
type Rung struct {
	Config
	Origin Origin         `json:"origin"`
	Valid  deadman.Result `json:"valid,omitempty"`
}

// IsZero reports whether l is no version at all.
func (l Live) IsZero() bool { return l == Live{} }

func (i Incident) failures(identity string) int {
	for _, f := range i.Failures {
		if f.Identity == identity {
			return f.Count
		}
	}
	return 0
}
