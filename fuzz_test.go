package deadman_test

import (
	"encoding/json"
	"testing"

	"deadman"
)

// A word of one of the closed lists is read as what prints it; every other word is
// refused, and leaves what was there.
func FuzzWords(f *testing.F) {
	for _, r := range deadman.Reasons() {
		f.Add(r.String())
	}
	for _, w := range []string{"", "healthy", "alive", "proven", "running", "up", "disk-full", "Healthy", "reason(7)", "\x00"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		known(t, word, new(deadman.Result), new(deadman.Level), new(deadman.Standing), new(deadman.Presence), new(deadman.Phase), new(deadman.Cause), new(deadman.Reason))
	})
}

type closed interface {
	String() string
	MarshalText() ([]byte, error)
	UnmarshalText([]byte) error
}

func known(t *testing.T, word string, lists ...closed) {
	t.Helper()
	for _, v := range lists {
		was := v.String()
		if err := v.UnmarshalText([]byte(word)); err != nil {
			if v.String() != was {
				t.Fatalf("%q is refused, and %q has become %q", word, was, v)
			}
			continue
		}
		if text, err := v.MarshalText(); err != nil || string(text) != word || v.String() != word {
			t.Fatalf("%q was read as %q (%v)", word, v, err)
		}
		b, err := json.Marshal(v)
		if err != nil || json.Unmarshal(b, v) != nil || v.String() != word {
			t.Fatalf("%q became %q by way of %s (%v)", word, v, b, err)
		}
	}
}
