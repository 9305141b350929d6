package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// kind is what a value is, which says where it may be.
type kind string

const (
	// inConfig: in a file of the config set, or in deadman's own config.
	inConfig kind = "config"
	// printed: the agent prints it, or has it in its log.
	printed kind = "printed"
	// sent: deadman is told to send it, in a URL or a header.
	sent kind = "sent"
	// given: a variable of the child's environment.
	given kind = "given"
)

// planted is one value: text that nobody else has, with something around it that
// encodings change.
type planted struct {
	kind kind
	what string // where it was planted
	core string
}

// coreLen is the length of what is looked for; either half of it counts.
const coreLen = 24

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func newCore(r *rand.Rand) string {
	var b strings.Builder
	for range coreLen {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// looker finds values. Every form of a value is entered by its first bytes, so that
// a place is read once, however many values there are.
type looker struct {
	forms map[[window]byte][]form
	count int
}

// window is how much of a form is compared at once: no form is shorter.
const window = 8

type form struct {
	text  string
	value *planted
}

func newLooker() *looker { return &looker{forms: map[[window]byte][]form{}} }

// add enters a value in its usual encodings: as it is or cut to its first or last
// twelve characters, which is also how it stands in JSON, URLs and quotes; in hex;
// and in base64, wherever in a longer text it begins.
func (l *looker) add(p *planted) {
	l.count++
	enter := func(text string) {
		key := [window]byte([]byte(text[:window]))
		l.forms[key] = append(l.forms[key], form{text, p})
	}
	for _, half := range []string{p.core[:coreLen/2], p.core[coreLen/2:]} {
		enter(half)
		enter(hex.EncodeToString([]byte(half)))
		enter(strings.ToUpper(hex.EncodeToString([]byte(half))))
	}
	for shift := range 3 {
		// The first and the last group depend on what is around.
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + p.core))
		enter(text[4 : 4+16])
	}
}

// look returns the values that are in text.
func (l *looker) look(text []byte) []*planted {
	var found []*planted
	seen := map[*planted]bool{}
	for i := 0; i+window <= len(text); i++ {
		for _, f := range l.forms[[window]byte(text[i:i+window])] {
			if !seen[f.value] && i+len(f.text) <= len(text) && string(text[i:i+len(f.text)]) == f.text {
				seen[f.value] = true
				found = append(found, f.value)
			}
		}
	}
	return found
}
