package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Entry is one record of the log.
//
// ID, Prev and Hash are filled when the entry is stored; Revision is filled by
// Commit. What a caller puts there is overwritten.
type Entry struct {
	// ID counts from 1 without gaps, in the order of storing.
	ID int64 `json:"id,omitempty"`
	// Time is the wall clock, kept to the nanosecond and in UTC.
	Time time.Time `json:"time"`
	// Boot is the kernel's boot id; Uptime is CLOCK_BOOTTIME in that boot.
	Boot   string        `json:"boot,omitempty"`
	Uptime time.Duration `json:"uptime,omitempty"`
	Agent  string        `json:"agent,omitempty"`
	// Revision is the revision of the state that was saved together with this
	// entry, or 0 for an entry without one.
	Revision int64  `json:"revision,omitempty"`
	Incident string `json:"incident,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Cause    string `json:"cause,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Snapshot string `json:"snapshot,omitempty"`
	OldHash  string `json:"old_hash,omitempty"`
	NewHash  string `json:"new_hash,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
	// Body is the event, the actions and the policy in force: any one JSON
	// value, or nothing. It is stored without insignificant white space.
	Body json.RawMessage `json:"body,omitempty"`
	// Prev is the Hash of the entry before, empty in the first; Hash is the
	// Digest of this one.
	Prev string `json:"prev,omitempty"`
	Hash string `json:"hash,omitempty"`
}

// Digest returns the hex SHA-256 over every field but Hash, in the order of
// the struct. Each field is written as its length in bytes, a colon, the bytes
// and a newline, so that no two different entries have the same encoding:
// without the length, text could move from one field to the next unnoticed.
func (e Entry) Digest() string {
	var b bytes.Buffer
	b.WriteString("deadman record 1\n")
	for _, field := range []string{
		strconv.FormatInt(e.ID, 10), stamp(e.Time), e.Boot, strconv.FormatInt(int64(e.Uptime), 10),
		e.Agent, strconv.FormatInt(e.Revision, 10), e.Incident, e.Kind, e.Cause, e.Reason,
		e.Snapshot, e.OldHash, e.NewHash, e.Outcome, string(e.Body), e.Prev,
	} {
		fmt.Fprintf(&b, "%d:%s\n", len(field), field)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// stamp is how a time is stored and hashed.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// normal returns e in the one form in which it is stored, hashed and spooled,
// so that an entry reads the same whichever way it took. Text that is not
// UTF-8 is repaired and not refused: a log must not lose an entry because an
// agent's name or a reason holds a stray byte.
func (e Entry) normal() (Entry, error) {
	e.Time = e.Time.UTC().Round(0)
	if y := e.Time.Year(); y < 0 || y > 9999 {
		return Entry{}, fmt.Errorf("cannot record %q: its time is in the year %d", e.Kind, y)
	}
	for _, s := range []*string{
		&e.Boot, &e.Agent, &e.Incident, &e.Kind, &e.Cause, &e.Reason,
		&e.Snapshot, &e.OldHash, &e.NewHash, &e.Outcome,
	} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	body, err := compact(e.Body)
	if err != nil {
		return Entry{}, fmt.Errorf("cannot record %q: its body is not JSON", e.Kind)
	}
	e.Body = body
	e.ID, e.Prev, e.Hash = 0, "", ""
	return e, nil
}

func normalAll(entries []Entry) ([]Entry, error) {
	out := make([]Entry, len(entries))
	for i, e := range entries {
		var err error
		if out[i], err = e.normal(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compact returns one JSON value without insignificant white space, and
// nothing for nothing.
func compact(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, err
	}
	return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")), nil
}

// Saved is the stored state of one agent's machine.
type Saved struct {
	Agent string `json:"agent"`
	// Revision counts the saves of this agent from 1. In a call of Commit it
	// is the revision that the caller has read, 0 for none.
	Revision int64 `json:"revision"`
	// Version is the version of the encoding of State; its meaning is the
	// caller's.
	Version int `json:"version"`
	// State is one JSON value.
	State json.RawMessage `json:"state"`
}

func (s Saved) normal() (Saved, error) {
	state, err := compact(s.State)
	if err != nil || state == nil {
		return Saved{}, fmt.Errorf("cannot save the state of agent %q: it is not JSON", s.Agent)
	}
	s.State = state
	return s, nil
}
