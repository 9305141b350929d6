package record_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/record"
)

func TestInboxCarriesACommandAndItsAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sender, guard := open(t, dir), open(t, dir)
	id, err := sender.Post(t.Context(), "a", "rollback", json.RawMessage(`{"to": "s1"}`), "root@pts/1", epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sender.Post(t.Context(), "b", "pause", nil, "root", epoch); err != nil {
		t.Fatal(err)
	}

	want := record.Command{ID: id, Time: epoch, Agent: "a", Verb: "rollback", Args: json.RawMessage(`{"to":"s1"}`), By: "root@pts/1"}
	pending := func() []record.Command {
		t.Helper()
		commands, err := guard.Pending(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return commands
	}
	if diff := cmp.Diff([]record.Command{want}, pending()); diff != "" {
		t.Error(diff)
	}
	if _, answered, err := sender.Answered(t.Context(), id); err != nil || answered {
		t.Errorf("answered before it was: %v, %v", answered, err)
	}

	if claimed, err := guard.Claim(t.Context(), id); err != nil || !claimed {
		t.Fatalf("Claim: %v, %v", claimed, err)
	}
	// From here on its sender cannot take it back, and a guard that starts
	// after a crash sees that somebody has begun on it.
	if withdrawn, err := sender.Withdraw(t.Context(), id); err != nil || withdrawn {
		t.Errorf("withdrawn after the claim: %v, %v", withdrawn, err)
	}
	want.Claimed = true
	if diff := cmp.Diff([]record.Command{want}, pending()); diff != "" {
		t.Error(diff)
	}

	if err := guard.Answer(t.Context(), id, json.RawMessage(`{"exit": 0}`)); err != nil {
		t.Fatal(err)
	}
	if outcome, answered, err := sender.Answered(t.Context(), id); err != nil || !answered || string(outcome) != `{"exit":0}` {
		t.Errorf("Answered: %s, %v, %v", outcome, answered, err)
	}
	if left := pending(); len(left) != 0 {
		t.Errorf("still pending: %v", left)
	}
}

func TestWithdrawnCommandIsGone(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	id, err := l.Post(t.Context(), "a", "restart", nil, "root", epoch)
	if err != nil {
		t.Fatal(err)
	}
	if withdrawn, err := l.Withdraw(t.Context(), id); err != nil || !withdrawn {
		t.Fatalf("Withdraw: %v, %v", withdrawn, err)
	}
	if claimed, err := l.Claim(t.Context(), id); err != nil || claimed {
		t.Errorf("claimed after it was withdrawn: %v, %v", claimed, err)
	}
	if err := l.Answer(t.Context(), id, json.RawMessage(`1`)); err == nil {
		t.Error("answered after it was withdrawn")
	}
	if _, _, err := l.Answered(t.Context(), id); err == nil {
		t.Error("a command that does not exist has no answer, and that is an error")
	}
}
