package cli

import (
	"fmt"
	"io"

	"deadman"
	"deadman/internal/api"
)

// fresh prints what is new of an agent: a line each, whatever the exit.
func (t *terminal) fresh(a api.Agent) {
	for _, line := range a.Fresh {
		t.warn(a.Name + ": " + line)
	}
}

// agent prints how an agent stands, for `check` and for a person's word.
func (t *terminal) agent(w io.Writer, a api.Agent) {
	line := fmt.Sprintf("%s: %s", a.Name, orDash(a.State.String()))
	if a.Action != "" {
		line += ", " + a.Action
	}
	if a.Reason != deadman.ReasonUnset {
		line += fmt.Sprintf(" (%s)", a.Reason)
	}
	if a.Cause != deadman.CauseUnset {
		line += fmt.Sprintf(", cause %s", a.Cause)
	}
	t.line(w, "%s", line)
	for _, c := range a.Checks {
		if c.Detail != "" {
			t.line(w, "  check %s: %s, %s", c.Name, c.Result, c.Detail)
		}
	}
	for _, finding := range a.Findings {
		t.line(w, "  %s", finding)
	}
	if a.Proof != "" {
		t.line(w, "  not proven yet: %s", a.Proof)
	}
	for _, hint := range a.Hints {
		t.hint(hint)
	}
	if a.Undo != "" {
		fmt.Fprintf(w, "  to undo: %s\n", plain(a.Undo)) // never folded: it is to be copied
	}
}
