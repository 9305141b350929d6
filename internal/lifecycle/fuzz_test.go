package lifecycle_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/lifecycle"
)

// A state, an event and a policy that are read from JSON are written as something
// that is read as the same. And whatever state was read, the machine answers a
// round, an outcome, a word or mere time: it is a function, it does not panic, it
// orders one deed at most, and what it answers can be stored.
func FuzzStep(f *testing.F) {
	const round = `{"round":{"presence":"running","process":{"pid":7,"start":9,"boot":"b"},"boot":"b","restarts":-1,"alive":"healthy","live":{"hash":"h","identity":"h","valid":"healthy","settled":true}}}`
	const gone = `{"round":{"presence":"gone","boot":"b","restarts":3,"alive":"unhealthy","live":{"hash":"x","identity":"x"},"causes":["disk-full"]}}`
	for _, state := range []string{
		`{}`, `{"phase":"up","life":{"process":{"pid":7,"start":9,"boot":"b"}},"known":{"snapshot":"s","hash":"h","identity":"h"}}`,
		`{"phase":"confirming","since":"2026-11-24T12:00:00Z","dying":3}`, `{"phase":"waiting","deadline":"2026-11-24T12:00:00Z","incident":{"id":"i","tried":["h"]}}`,
		`{"phase":"verifying","incident":{"id":"i","target":{"hash":"h"}},"attempts":3,"starts":["2026-11-24T12:00:00Z"]}`,
		`{"phase":"keeping","pending":{"kind":"keep","reason":"process-gone","attempt":4},"incident":{"id":"i"}}`,
		`{"phase":"failed","span":-5,"hold":{"verb":"pause","until":"2026-11-25T12:00:00Z"},"loop":{"known":true,"count":-3}}`,
	} {
		f.Add([]byte(state), []byte(round), []byte(`{"threshold":3}`), int64(0))
		f.Add([]byte(state), []byte(gone), []byte(`{}`), int64(1e9))
	}
	f.Add([]byte(`{"phase":"keeping","pending":{"kind":"keep","reason":"process-gone","attempt":4},"incident":{"id":"i"}}`),
		[]byte(`{"outcome":{"kind":"keep","attempt":4,"ok":true,"live":{"hash":"x","identity":"x"},"shelf":[{"snapshot":"s","hash":"h","identity":"h","proven":true,"valid":"healthy"}]}}`), []byte(`{}`), int64(1e10))
	f.Add([]byte(`{"phase":"up"}`), []byte(`{"word":{"verb":"restore","config":{"snapshot":"s"}}}`), []byte(`{"observe":true}`), int64(-1e15))
	// Traces are real states: some words of them for the fuzzer to put together.
	traces, _ := filepath.Glob("testdata/*")
	for _, name := range traces[:min(3, len(traces))] {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text[:min(len(text), 200)], []byte(gone), []byte(`{}`), int64(5))
		}
	}
	begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, state, event, policy []byte, after int64) {
		var s lifecycle.State
		var e lifecycle.Event
		if json.Unmarshal(state, &s) != nil || json.Unmarshal(event, &e) != nil {
			return
		}
		p := lifecycle.DefaultPolicy()
		if json.Unmarshal(policy, &p) != nil || p.Threshold < 1 || p.StartLimitBurst < 1 {
			return // The config refuses those.
		}
		back(t, s)
		back(t, e)
		back(t, p)
		now := begin.Add(time.Duration(after))
		next, actions := lifecycle.Step(p, s, now, e)
		again, same := lifecycle.Step(p, s, now, e)
		if diff := cmp.Diff(next, again) + cmp.Diff(actions, same); diff != "" {
			t.Fatalf("not the same twice:\n%s", diff)
		}
		deeds := 0
		for _, a := range actions {
			if a.Deed() {
				deeds++
			}
			if a.Kind == "" {
				t.Fatalf("%+v is of no kind", a)
			}
		}
		if deeds > 1 {
			t.Fatalf("%d deeds at once: %+v", deeds, actions)
		}
		back(t, next)
	})
}

// back fails unless v is the same after it was written and read.
func back[T any](t *testing.T, v T) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		if strings.Contains(err.Error(), "year outside of range") || strings.Contains(err.Error(), "Time.MarshalJSON") {
			t.Skip("a time that no clock shows")
		}
		t.Fatalf("cannot be stored: %v", err)
	}
	var read T
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	second, err := json.Marshal(read)
	if err != nil || string(second) != string(text) {
		t.Fatalf("%s became %s (%v)", text, second, err)
	}
}
