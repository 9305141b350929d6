package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"deadman/internal/sink/notify"
)

// Whatever the log says, in whatever order and at whatever pace: of one incident
// no event is told twice, nothing is told twice within half an hour, nobody is
// told that something is over who was not told that it began, and all that was
// withheld is told in the end.
func TestLedgerProperties(t *testing.T) {
	t.Parallel()
	events := []notify.Event{"", "", notify.Rollback, notify.Failed, notify.Held, notify.ForeignStart, notify.StoodDown, notify.Alert}
	rapid.Check(t, func(t *rapid.T) {
		var l notify.Ledger
		now := message.Time
		told := map[string]int{}       // by incident and event
		at := map[string]time.Time{}   // by event and reason
		counted := map[string]int{}    // messages and what they stand for, by event and reason
		given := map[string]int{}      // facts that were not told in their incident, likewise
		incidents := map[string]bool{} // incident, event and reason that were given
		open := 0                      // told, and not yet over
		hear := func(messages []notify.Message) {
			for _, m := range messages {
				if m.Event == notify.Recovered {
					if open == 0 {
						t.Fatalf("nothing had begun that is over: %+v", m)
					}
					open = 0
					continue
				}
				kind := string(m.Event) + " " + m.Reason
				if last, ok := at[kind]; ok && now.Sub(last) < 30*time.Minute {
					t.Fatalf("%s again after %v", kind, now.Sub(last))
				}
				at[kind] = now
				counted[kind] += 1 + m.Withheld
				if !m.Over {
					open++
				}
				if m.Incident != "" {
					if told[m.Incident+" "+string(m.Event)]++; told[m.Incident+" "+string(m.Event)] > 1 {
						t.Fatalf("%s told twice of %s", m.Event, m.Incident)
					}
				}
			}
		}
		incident := 0
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			f := notify.Fact{Record: int64(i + 1), Hash: fmt.Sprint(i), Agent: "a", Time: now}
			f.Event = rapid.SampledFrom(events).Draw(t, "event")
			f.Reason = rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "reason")
			f.Config = f.Event == notify.Held
			switch rapid.IntRange(0, 5).Draw(t, "state") {
			case 0:
				f.Well, f.Event = true, ""
				incident++
			case 1:
				f.Fine, f.Event = true, ""
			case 2:
				f.Left, f.Event = true, ""
				incident++
			default:
				if rapid.Bool().Draw(t, "within") {
					f.Incident = fmt.Sprint("i", incident)
				}
			}
			if kind := string(f.Event) + " " + f.Reason; f.Event != "" && (f.Incident == "" || !incidents[f.Incident+" "+string(f.Event)]) && f.Event != notify.Alert {
				given[kind]++
				incidents[f.Incident+" "+string(f.Event)] = f.Incident != ""
			}
			hear(l.Take([]notify.Fact{f}, now))
			hear(l.Flush(now))
		}
		for due := l.Due(); !due.IsZero(); due = l.Due() {
			now = due
			hear(l.Flush(now))
		}
		for kind, n := range given {
			if counted[kind] != n {
				t.Fatalf("%s: %d were given and %d told of", kind, n, counted[kind])
			}
		}
	})
}

// Theorem: Parse either gives targets that have ids of their own, or an error in
// which nothing of the URL is.
func FuzzParse(f *testing.F) {
	for _, url := range []string{
		"https://h/p?q", "discord://t@1", "telegram://1:t@telegram?chats=1,2", "slack://hook:a-b-c@webhook", "ntfy://:t@h/topic",
		"matrix://:t@h/?rooms=!a,!b", "gotify://h/a/b", "pushover://s:t@u", "mattermost://u@h/t/c", "smtp://u:p@h:1/?from=a@b&to=c@d", "://", "x://%",
	} {
		scheme, rest, _ := strings.Cut(url, "://")
		f.Add(scheme, rest)
	}
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		const mark = "7f3a91c5"
		targets, err := notify.Parse(scheme + "://" + mark + rest + mark)
		if (err == nil) != (len(targets) > 0) {
			t.Fatalf("%d targets, %v", len(targets), err)
		}
		ids := map[string]bool{}
		for _, target := range targets {
			if ids[target.ID] || target.ID == "" || target.Service == "" {
				t.Fatalf("%d targets, and one is %+v", len(targets), target)
			}
			ids[target.ID] = true
		}
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Fatal(err)
		}
	})
}
