package notify

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Fact is what one entry of the log says, as far as it matters here.
type Fact struct {
	Record   int64
	Hash     string // of the entry, which no other entry has
	Time     time.Time
	Agent    string
	Incident string
	// Event is what it says in itself; empty is nothing. Alert stands for every
	// alert that has no event of its own.
	Event Event
	Cause string
	// Reason of the event.
	Reason   string
	Snapshot string
	Reverted []string
	// Well: the agent serves, nothing is wrong with it, and no incident is open.
	// Left: it was stopped on purpose, and is not expected to serve.
	// Fine: the config on disk was looked at, nothing is wrong with it, and no
	// incident is open.
	Well, Left, Fine bool
	// Config: the event is about the config on disk and not about the agent.
	Config bool
}

// cooldown is how long nothing is said that was said already, of one agent. What
// was withheld is told at its end.
const cooldown = 30 * time.Minute

// staleAfter is how old a fact may be that still becomes a message: somebody who
// is told of targets again after a month does not want that month.
const staleAfter = 24 * time.Hour

// Ledger remembers of one agent what was told. The zero Ledger has told nothing.
type Ledger struct {
	// Incident is the one that was told of last, and Told what.
	Incident string  `json:"incident,omitempty"`
	Told     []Event `json:"told,omitempty"`
	// Trouble: something was told about the agent that is not over. Config: about
	// its config.
	Trouble bool `json:"trouble,omitempty"`
	Config  bool `json:"config,omitempty"`
	// Quiet are what is not said again yet, by event and reason.
	Quiet map[string]Quiet `json:"quiet,omitempty"`
}

// Quiet is one thing that was said.
type Quiet struct {
	At time.Time `json:"at"` // when it was said
	// Config: it is about the config on disk.
	Config bool `json:"config,omitempty"`
	// Withheld counts what was not said since, and Last is the newest of it; Over
	// says that it has ended.
	Withheld int     `json:"withheld,omitempty"`
	Last     Message `json:"last,omitzero"`
	Over     bool    `json:"over,omitempty"`
}

// rests reports whether it is too early at t to say it again. A clock that was
// set back ends the rest.
func (q Quiet) rests(t time.Time) bool {
	age := t.Sub(q.At)
	return !q.At.IsZero() && age >= 0 && age < cooldown
}

// Take takes facts in the order of the log and returns what is to be said.
func (l *Ledger) Take(facts []Fact, now time.Time) []Message {
	var messages []Message
	for _, f := range facts {
		messages = append(messages, l.take(f, now)...)
	}
	return messages
}

func (l *Ledger) take(f Fact, now time.Time) []Message {
	var messages []Message
	if f.Well || f.Left {
		if l.Trouble && f.Well {
			messages = append(messages, l.recovered(f))
		}
		l.Trouble = false
		l.over(false)
	}
	if f.Fine {
		if l.Config {
			messages = append(messages, l.recovered(f))
		}
		l.Config = false
		l.over(true)
	}
	if f.Event == "" || now.Sub(f.Time) > staleAfter || !l.news(f) {
		return messages
	}
	m := message(f)
	key := string(f.Event) + " " + f.Reason
	if q := l.Quiet[key]; q.rests(f.Time) {
		q.Withheld, q.Last, q.Over = q.Withheld+1, m, false
		l.Quiet[key] = q
		return messages
	}
	m.Withheld = l.Quiet[key].Withheld
	l.say(key, f.Time, f.Config)
	l.outstanding(f.Config)
	return append(messages, m)
}

// news reports whether f says something that this incident's messages have not:
// each event is told once, and a plain alert only before any other. An agent that
// breaks its config again and again within one incident is one message.
func (l *Ledger) news(f Fact) bool {
	if f.Incident == "" {
		return true
	}
	if f.Incident != l.Incident {
		l.Incident, l.Told = f.Incident, nil
	}
	if slices.Contains(l.Told, f.Event) || f.Event == Alert && len(l.Told) > 0 {
		return false
	}
	l.Told = append(l.Told, f.Event)
	return true
}

// outstanding notes that somebody waits for the word that it is over. The end of
// an incident is also that of what its config was found to be.
func (l *Ledger) outstanding(config bool) {
	if config && !l.Trouble {
		l.Config = true
		return
	}
	l.Trouble, l.Config = true, false
}

func (l *Ledger) say(key string, at time.Time, config bool) {
	if l.Quiet == nil {
		l.Quiet = map[string]Quiet{}
	}
	l.Quiet[key] = Quiet{At: at, Config: config}
}

// over notes that what was withheld has ended, of the config or of the agent.
func (l *Ledger) over(config bool) {
	for key, q := range l.Quiet {
		if q.Withheld > 0 && q.Config == config {
			q.Over = true
			l.Quiet[key] = q
		}
	}
}

// Due is when something that was withheld is to be said, zero if nothing is.
func (l *Ledger) Due() time.Time {
	var due time.Time
	for _, q := range l.Quiet {
		if at := q.At.Add(cooldown); q.Withheld > 0 && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

// Flush returns what was withheld and may be said now: of each kind the newest,
// which says how many there were.
func (l *Ledger) Flush(now time.Time) []Message {
	var messages []Message
	for _, key := range slices.Sorted(maps.Keys(l.Quiet)) {
		q := l.Quiet[key]
		switch {
		case q.rests(now):
		case q.Withheld == 0:
			delete(l.Quiet, key)
		default:
			m := q.Last
			m.Withheld, m.Over = q.Withheld-1, q.Over
			if !q.Over {
				l.outstanding(q.Config)
			}
			l.say(key, now, q.Config)
			messages = append(messages, m)
		}
	}
	return messages
}

func message(f Fact) Message {
	return Message{
		Schema: Schema, Key: fmt.Sprintf("%s-%d-%.12s", f.Agent, f.Record, f.Hash), Event: f.Event, Time: f.Time, Agent: f.Agent,
		Incident: f.Incident, Record: f.Record, Cause: f.Cause, Reason: f.Reason, Rule: ruleOf(f.Reason),
		Snapshot: f.Snapshot, Reverted: f.Reverted,
	}
}

func (l *Ledger) recovered(f Fact) Message {
	f.Event, f.Cause, f.Reason, f.Snapshot, f.Reverted = Recovered, "", "", "", nil
	return message(f)
}
