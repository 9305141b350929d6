package daemon

import (
	"encoding/json"

	"deadman/internal/config"
	"deadman/internal/document"
	"deadman/internal/health"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
)

// sets turns an agent's config into what package snapshot reads. The config
// was validated, so a key that does not parse is a bug.
func sets(a config.Agent) ([]snapshot.Set, snapshot.Limits) {
	out := make([]snapshot.Set, 0, len(a.Config))
	for _, set := range a.Config {
		s := snapshot.Set{Label: set.Label, Root: set.Root, Files: set.Files, Exclude: set.Exclude, Reads: set.Reads, Follow: set.Follow}
		for _, text := range set.Preserve {
			key, err := document.ParseKey(text)
			if err != nil {
				panic("config accepted a preserve key that is none: " + err.Error())
			}
			s.Preserve = append(s.Preserve, key)
		}
		for path, format := range set.Formats {
			if s.Formats == nil {
				s.Formats = make(map[string]document.Format, len(set.Formats))
			}
			s.Formats[path] = document.Format(format)
		}
		out = append(out, s)
	}
	return out, snapshot.Limits{File: a.Limits.File, Set: a.Limits.Set, Files: a.Limits.Files}
}

// policy turns an agent's config into what the lifecycle decides by.
func policy(a config.Agent) lifecycle.Policy {
	p := lifecycle.Policy{
		Observe:            a.Recovery.Mode == config.Observe,
		First:              lifecycle.First(a.Recovery.First),
		AcrossVersions:     a.AcrossVersions,
		Threshold:          a.Threshold,
		Period:             a.Period,
		Retry:              a.Retry,
		GoneGrace:          a.GoneGrace,
		Probation:          a.Probation,
		HealthyDeadline:    a.HealthyDeadline,
		StartMax:           a.StartMax,
		StartLimitBurst:    a.Recovery.StartLimitBurst,
		StartLimitInterval: a.Recovery.StartLimitInterval,
		BackoffDelay:       a.Recovery.BackoffDelay,
		BackoffFactor:      a.Recovery.BackoffFactor,
		BackoffLimit:       a.Recovery.BackoffLimit,
	}
	if a.Supervisor.Child != nil {
		// The grace is for those who may yet bring the process back. Nobody but
		// us owns a child, and its end is certain.
		p.GoneGrace = 0
	}
	return p
}

// checks turns an agent's checks into attempts that can be made. Without any
// the process itself is the check.
func checks(a config.Agent) []health.Check {
	out := make([]health.Check, 0, len(a.Checks)+1)
	for _, c := range a.Checks {
		h := health.Check{Name: c.Name, Level: c.Level, Timeout: c.Timeout}
		switch {
		case c.HTTP != nil:
			h.HTTP = &health.HTTP{
				URL: c.HTTP.URL, Status: c.HTTP.Status, Method: c.HTTP.Method, Headers: c.HTTP.Headers,
				Body: c.HTTP.Body, JSON: jsonTexts(c.HTTP.JSON),
			}
		case c.TCP != nil:
			h.TCP = &health.TCP{Address: c.TCP.Address}
		case c.Exec != nil:
			h.Exec = &health.Exec{Command: c.Exec.Command}
		case c.Heartbeat != nil:
			h.Heartbeat = &health.Heartbeat{File: c.Heartbeat.File, MaxAge: c.Heartbeat.MaxAge}
		default:
			h.Process = &health.Process{}
		}
		out = append(out, h)
	}
	return out
}

// jsonTexts turns the values that a body must hold into their text in the body.
func jsonTexts(values map[string]any) map[string]string {
	if values == nil {
		return nil
	}
	out := make(map[string]string, len(values))
	for path, value := range values {
		switch v := value.(type) {
		case string:
			out[path] = v
		default:
			text, err := json.Marshal(v)
			if err != nil {
				panic("config accepted a value that JSON has not: " + err.Error())
			}
			out[path] = string(text)
		}
	}
	return out
}
