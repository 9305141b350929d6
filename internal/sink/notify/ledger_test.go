package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"deadman/internal/sink/notify"
)

// story reads facts from lines of the form "MINUTE [INCIDENT] EVENT [REASON]", and
// says what the ledger makes of them, a word a message.
func story(t *testing.T, l *notify.Ledger, lines string) string {
	t.Helper()
	var said []string
	note := func(at time.Duration, messages []notify.Message) {
		for _, m := range messages {
			word := fmt.Sprintf("%d:%s", int(at.Minutes()), m.Event)
			if m.Withheld > 0 {
				word += fmt.Sprintf("+%d", m.Withheld)
			}
			if m.Over {
				word += ",over"
			}
			said = append(said, word)
		}
	}
	record := int64(0)
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		var minute int
		if _, err := fmt.Sscan(fields[0], &minute); err != nil {
			t.Fatal(err)
		}
		at := time.Duration(minute) * time.Minute
		now := message.Time.Add(at)
		record++
		f := notify.Fact{Record: record, Hash: fmt.Sprint(record), Time: now, Agent: "a"}
		fields = fields[1:]
		if len(fields[0]) == 2 && fields[0][0] == 'i' {
			f.Incident, fields = fields[0], fields[1:]
		}
		switch fields[0] {
		case "flush":
			note(at, l.Flush(now))
			continue
		case "well":
			f.Well = true
		case "left":
			f.Left = true
		case "fine":
			f.Fine = true
		case "broken":
			f.Event, f.Reason, f.Config = notify.Alert, "broken-under-green", true
		case "held":
			f.Event, f.Reason, f.Config = notify.Held, "candidate-held", true
		default:
			f.Event, f.Reason = notify.Event(fields[0]), fields[0]
			if len(fields) > 1 {
				f.Reason = fields[1]
			}
		}
		note(at, l.Take([]notify.Fact{f}, now))
	}
	return strings.Join(said, " ")
}

func TestLedger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, facts, want string }{
		{"a rollback, and its end", `
			0 i1 rollback
			1 i1 well`, "0:rollback 1:recovered"},
		{"a cascade in one incident is one message and one word that it is over", `
			0 i1 rollback
			1 i1 alert relapse
			2 i1 rollback
			3 i1 rollback
			4 i1 alert start-window-full
			9 i1 well`, "0:rollback 9:recovered"},
		{"an alert before the rollback does not hide it", `
			0 i1 alert outside-cause
			1 i1 alert start-window-full
			2 i1 rollback
			3 i1 well`, "0:alert 2:rollback 3:recovered"},
		{"it failed once, however long it goes on", `
			0 i1 failed exhausted
			90 i1 failed exhausted
			99 i1 well`, "0:failed 99:recovered"},
		{"a foreign start, then a rival", `
			0 i1 rollback
			1 i1 foreign-start
			2 i1 stood-down
			40 well`, "0:rollback 1:foreign-start 2:stood-down 40:recovered"},
		{"stopped on purpose: no word, for nobody waits for it", `
			0 i1 failed
			5 left
			9 well`, "0:failed"},
		{"a config that is held, and then is not", `
			0 held
			1 well
			2 fine
			3 fine`, "0:held 2:recovered"},
		{"what was found in the config ends with the incident that comes of it", `
			0 broken
			1 i1 rollback
			1 i1 fine
			2 well`, "0:alert 1:rollback 2:recovered"},
		{"well all the time: silence", `
			0 well
			1 fine
			2 left`, ""},
		{"the next incident, within the cooldown: withheld, with its end, and told later", `
			0 i1 rollback
			1 i1 well
			5 i2 rollback
			6 i2 well
			10 i3 rollback
			11 i3 well
			20 flush
			31 flush
			32 well
			70 flush`, "0:rollback 1:recovered 31:rollback+1,over"},
		{"withheld, and not over when it is told", `
			0 i1 rollback
			1 i1 well
			5 i2 rollback
			31 flush
			33 i2 well`, "0:rollback 1:recovered 31:rollback 33:recovered"},
		{"after the cooldown the next one counts what was withheld", `
			0 i1 rollback
			1 i1 well
			5 i2 rollback
			6 i2 well
			31 i3 rollback`, "0:rollback 1:recovered 31:rollback+1"},
		{"another reason is another thing", `
			0 i1 rollback live-invalid
			1 i1 well
			2 i2 rollback live-unproven
			3 i2 well`, "0:rollback 1:recovered 2:rollback 3:recovered"},
		{"a clock that is set back by a year does not silence it", `
			525600 i1 rollback
			525601 i1 well
			5 i2 rollback`, "525600:rollback 525601:recovered 5:rollback"},
	} {
		if got := story(t, &notify.Ledger{}, tt.facts); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// What nobody asked about for a day is not told.
func TestLedgerForgetsTheStale(t *testing.T) {
	t.Parallel()
	var l notify.Ledger
	f := notify.Fact{Time: message.Time, Event: notify.Failed, Agent: "a"}
	if got := l.Take([]notify.Fact{f}, message.Time.Add(25*time.Hour)); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := l.Take([]notify.Fact{f}, message.Time.Add(23*time.Hour)); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
