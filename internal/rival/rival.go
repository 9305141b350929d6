package rival

import (
	"cmp"
	"slices"
	"strings"

	"deadman"
)

// Form is where a rival is. The list is closed.
type Form string

// The forms of rivals.
const (
	Crontab     Form = "crontab"
	CronScript  Form = "cron-script" // of cron.hourly and its like
	Anacron     Form = "anacron"
	Systemd     Form = "systemd"
	Launchd     Form = "launchd"
	Monit       Form = "monit"
	Supervisord Form = "supervisord"
	OwnSchedule Form = "own-schedule" // a job that the agent itself runs
	Process     Form = "process"
)

// Reason is why something is a rival. The list is closed.
type Reason string

// The reasons, the worst first.
const (
	Restarts       Reason = "restarts"        // through what owns the agent, or a stop and a start
	Supervises     Reason = "supervises"      // runs the agent's program itself, beside its owner
	Starts         Reason = "starts"          // starts a process of the agent beside its owner
	Stops          Reason = "stops"           // stops or kills it
	Rewrites       Reason = "rewrites"        // writes files of its config
	AnotherDeadman Reason = "another-deadman" // guards it under another config
	Watches        Reason = "watches"         // is called for it, and cannot be read
)

var reasons = []Reason{Restarts, Supervises, Starts, Stops, Rewrites, AnotherDeadman, Watches}

// Sure is how sure it is.
type Sure string

// Only what is at least likely is ever disabled.
const (
	Certain  Sure = "certain"  // the command names the agent's own unit, file or pid, and is in force
	Likely   Sure = "likely"   // by a pattern, a program's text, or a directory
	Possible Sure = "possible" // not in force, or it cannot be told
)

var sures = []Sure{Possible, Likely, Certain}

func (s Sure) rank() int { return slices.Index(sures, s) }

// least is the less sure of two.
func least(a, b Sure) Sure {
	if a.rank() < b.rank() {
		return a
	}
	return b
}

// Act is one thing that a rival does to one agent.
type Act struct {
	Agent  string
	Reason Reason
	Sure   Sure
	// Does is the deed in a few words, without anything but verbs and the agent's
	// own handles: "systemctl restart hermes-bezalel.service".
	Does string
	// loop: it is done again and again by the same process.
	loop bool
}

// Rival is something that acts on agents.
type Rival struct {
	// ID tells it from others on this machine, for as long as it stays the same.
	ID   string
	Form Form
	// Path and Line are where it is; a process has none. From and To are the lines
	// that are its own, from 1; 0 is the whole file.
	Path     string
	Line     int
	from, to int
	// Process is what runs, Pane its window of tmux if it is in one.
	Process deadman.Process
	Pane    string
	// Acts are sorted: the worst first.
	Acts []Act
	// Via are the scripts that were followed to find this.
	Via []string
	// Hint is what to do about one that deadman cannot move aside, "" for others.
	Hint string
	// Unit is the systemd unit, User its manager's user ("" for the system's).
	Unit, User string

	sum  string // of the file that was judged
	name string // of it within its file
}

// Agents are the names of the agents that it acts on.
func (r Rival) Agents() []string {
	var names []string
	for _, a := range r.Acts {
		names = append(names, a.Agent)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Reasons are why it is a rival, the worst first.
func (r Rival) Reasons() []Reason {
	var found []Reason
	for _, reason := range reasons {
		if slices.ContainsFunc(r.Acts, func(a Act) bool { return a.Reason == reason }) {
			found = append(found, reason)
		}
	}
	return found
}

// Sure is how sure its surest act is.
func (r Rival) Sure() Sure {
	sure := Possible
	for _, a := range r.Acts {
		if a.Sure.rank() > sure.rank() {
			sure = a.Sure
		}
	}
	return sure
}

// tidy merges what is said twice, and a stop with a start into a restart.
func tidy(acts []Act) []Act {
	type key struct {
		agent  string
		reason Reason
	}
	best := map[key]Act{}
	for _, a := range acts {
		k := key{a.Agent, a.Reason}
		if had, ok := best[k]; !ok || a.Sure.rank() > had.Sure.rank() {
			if ok {
				a.loop = a.loop || had.loop
			}
			best[k] = a
		} else if a.loop {
			had.loop = true
			best[k] = had
		}
	}
	for _, a := range acts {
		// Whoever restarts an agent stops it as well.
		if _, ok := best[key{a.Agent, Restarts}]; ok {
			delete(best, key{a.Agent, Stops})
			delete(best, key{a.Agent, Starts})
			delete(best, key{a.Agent, Watches})
		}
	}
	var out []Act
	for _, a := range best {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Act) int {
		return cmp.Or(
			cmp.Compare(slices.Index(reasons, a.Reason), slices.Index(reasons, b.Reason)),
			cmp.Compare(a.Agent, b.Agent), strings.Compare(a.Does, b.Does),
		)
	})
	return out
}
