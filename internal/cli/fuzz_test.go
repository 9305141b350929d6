package cli_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"deadman/internal/cli"
)

// A pause always ends, within 30 days; what is accepted is what it says.
func FuzzPauseTime(f *testing.F) {
	for _, s := range []string{"30m", "2h", "1d", "30d", "31d", "0s", "-5m", "1e9h", "d", "256d", "90s", "1.5h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := cli.PauseTime(text)
		if !ok {
			return
		}
		if d < time.Second || d > 30*24*time.Hour {
			t.Fatalf("%q is %v", text, d)
		}
		if again, ok := cli.PauseTime(d.String()); !ok || again != d {
			t.Fatalf("%v is %v", d, again)
		}
		if days, found := strings.CutSuffix(text, "d"); found && fmt.Sprint(int(d/(24*time.Hour))) != strings.TrimLeft(days, "0") {
			t.Fatalf("%q is %v", text, d)
		}
	})
}

// What is printed of a name or a message cannot move the cursor, colour the
// terminal, begin a line of its own or hide text; and nothing of it is lost.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"a", "\x1b[2J", "a\nb", "\u202ea", "\xff\xfe", "caf\u00e9", `\n`, "\u200b", "\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, shown := range []string{cli.Plain(text), cli.PlainLines(text)} {
			if !utf8.ValidString(shown) {
				t.Fatalf("%q", shown)
			}
			for _, r := range shown {
				if !strconv.IsPrint(r) && (shown == cli.Plain(text) || r != '\n' && r != '\t') {
					t.Fatalf("%q holds %q", shown, r)
				}
			}
		}
		if utf8.ValidString(text) && !strings.ContainsAny(text, `\"'`) {
			if back, err := strconv.Unquote(`"` + cli.Plain(text) + `"`); err != nil || back != text {
				t.Fatalf("%q became %q (%v)", text, back, err)
			}
		}
	})
}
