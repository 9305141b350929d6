package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"deadman"
)

// Schema is the version of a Message as JSON.
const Schema = 1

// Event is what a message is about.
type Event string

const (
	Rollback     Event = "rollback"      // the known good was put back
	Failed       Event = "failed"        // nothing helped; starts go on, ever more slowly
	Held         Event = "held"          // a new config is held back
	ForeignStart Event = "foreign-start" // somebody else started the agent
	StoodDown    Event = "stood-down"    // a rival is at work: hands off
	Alert        Event = "alert"         // anything else that a person should see to
	Recovered    Event = "recovered"     // what was told before is over
)

// Message is what a target is told. As JSON it is the body that a webhook gets:
// fields are added, never renamed.
type Message struct {
	Schema int `json:"schema"`
	// Key is the same in every copy of one message, and no two messages share it.
	Key      string    `json:"key"`
	Event    Event     `json:"event"`
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Agent    string    `json:"agent"`
	Incident string    `json:"incident,omitempty"`
	// Record is the entry of the log that `deadman explain` takes.
	Record   int64  `json:"record"`
	Cause    string `json:"cause,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Snapshot string `json:"snapshot,omitempty"`
	// Reverted are the key paths that a rollback changed, never values.
	Reverted []string `json:"reverted,omitempty"`
	// Command is what to type: what undoes a rollback, or ends what it tells of.
	Command string `json:"command,omitempty"`
	// Withheld counts messages like this one since the last that was sent, and
	// Over says that it is over already: this one was withheld too.
	Withheld int  `json:"withheld,omitempty"`
	Over     bool `json:"over,omitempty"`
}

// said is what each event is called in a sentence about the agent.
func (m Message) said() string {
	switch m.Event {
	case Rollback:
		return "was rolled back"
	case Failed:
		return "could not be brought back"
	case Held:
		return "has a new config that is held back"
	case ForeignStart:
		return "was started by somebody else"
	case StoodDown:
		return "is left to another watchdog"
	case Recovered:
		return "is well again"
	}
	return "needs a look"
}

// Title is the message in one line of printable ASCII, fit for a header.
func (m Message) Title() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, fmt.Sprintf("deadman: %s on %s %s", m.Agent, m.Host, m.said()))
}

// pathsMax bounds the key paths in a text, and textMax its bytes. Discord takes
// 2000 characters, the others more.
const (
	pathsMax = 20
	textMax  = 1900
)

// Text is the message for people.
func (m Message) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s %s\n", m.Agent, m.Host, m.said())
	if m.Over {
		b.WriteString("it is over already\n")
	}
	if m.Cause != "" {
		fmt.Fprintf(&b, "cause: %s\n", m.Cause)
	}
	if m.Reason != "" {
		fmt.Fprintf(&b, "reason: %s: %s\n", m.Reason, m.Rule)
	}
	if n := len(m.Reverted); n > 0 {
		more := ""
		if n > pathsMax {
			more = fmt.Sprintf(" and %d more", n-pathsMax)
		}
		fmt.Fprintf(&b, "reverted: %s%s\n", strings.Join(m.Reverted[:min(n, pathsMax)], ", "), more)
	}
	if m.Withheld > 0 {
		fmt.Fprintf(&b, "%d more like this since the last message\n", m.Withheld)
	}
	if m.Command != "" {
		fmt.Fprintf(&b, "%s: %s\n", m.verb(), m.Command)
	}
	tail := fmt.Sprintf("at %s; deadman explain %d; key %s", m.Time.UTC().Format(time.RFC3339), m.Record, m.Key)
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' || !unicode.IsGraphic(r) && r != '\n' {
			return '?'
		}
		return r
	}, b.String())
	if room := textMax - len(tail) - 1; len(text) > room {
		text = strings.ToValidUTF8(text[:room-4], "") + "...\n"
	}
	return text + tail
}

// verb says what Command does.
func (m Message) verb() string {
	switch m.Event {
	case Rollback:
		return "to undo it"
	case Held:
		return "to accept it"
	}
	return "next"
}

// ruleOf is the sentence behind a reason, "" if there is none.
func ruleOf(reason string) string {
	var r deadman.Reason
	if r.UnmarshalText([]byte(reason)) != nil {
		return ""
	}
	return r.Rule()
}
