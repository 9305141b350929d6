package cli_test

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"deadman/internal/cli"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md")

const reference = "../../docs/cli.md"

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	want := cli.Reference()
	if *update {
		if err := os.WriteFile(reference, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/cli.md is not the commands' help: go test ./internal/cli -update")
	}
}

var exits = regexp.MustCompile(`(?m)^exits:\n(  .+\n)+`)

// TestHelp: whoever writes a script around a command finds its exits, and every
// help fits a terminal.
func TestHelp(t *testing.T) {
	t.Parallel()
	commands := cli.Commands()
	if len(commands) < 21 {
		t.Errorf("there are %d commands", len(commands))
	}
	for _, cmd := range commands {
		if !exits.MatchString(cmd.Long + "\n") {
			t.Errorf("%s: its help lists no exits", cmd.CommandPath())
		}
		if first := cmd.Short[:1]; first != strings.ToLower(first) || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q is no summary", cmd.CommandPath(), cmd.Short)
		}
		var printed bytes.Buffer
		if status := cli.Main(append(strings.Fields(cmd.CommandPath())[1:], "--help"), nil, &printed, os.Stderr); status != 0 {
			t.Errorf("%s --help ended with %d", cmd.CommandPath(), status)
		}
		if !strings.HasPrefix(printed.String(), cmd.Long+"\n") {
			t.Errorf("%s --help does not begin with its help", cmd.CommandPath())
		}
		for line := range strings.Lines(printed.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
	}
}
