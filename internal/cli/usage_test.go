package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"deadman/internal/cli"
)

// TestUsage: a wrong call ends with 2, one error line, one hint, nothing on
// stdout, and no word of the libraries beneath.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, error, hint string }{
		{"chekc", `cannot find command "chekc"`, `did you mean "check"?`},
		{"snap", `cannot find command "snap"`, `did you mean "snapshots"?`},
		{"frobnicate", `cannot find command "frobnicate"`, "see deadman --help"},
		{"help chekc", `cannot find command "chekc"`, `did you mean "check"?`},
		{"--conifg x status", "cannot use --conifg: deadman status has no such flag", `did you mean "--config"?`},
		{"check --jsno", "cannot use --jsno: deadman check has no such flag", `did you mean "--json"?`},
		{"status --conf x", "cannot use --conf: deadman status has no such flag", `did you mean "--config"?`},
		{"check -x", "cannot use -x: deadman check has no such flag", "see deadman check --help"},
		{"check --wait", "cannot use --wait without a time such as 30s or 5m", "see deadman check --help"},
		{"check --wait soon", `cannot use "soon" for --wait: it takes a time such as 30s or 5m`, "see"},
		{"check --wait -1s", "cannot wait -1s: --wait takes 0s to 1h", "see"},
		{"check --wait 2h", "cannot wait 2h0m0s: --wait takes 0s to 1h", "see"},
		{"check --json=perhaps", `cannot use "perhaps" for --json: it takes true or false`, "see"},
		{"check --finish", "cannot finish: --finish takes one agent", "see"},
		{"stop", "cannot run deadman stop so: it takes AGENT", "see deadman stop --help"},
		{"restore a", "cannot run deadman restore so: it takes AGENT SNAPSHOT", "see"},
		{"diff a b c d", "cannot run deadman diff so: it takes AGENT [A] [B]", "see"},
		{"version now", "cannot run deadman version so: it takes no argument", "see"},
		{"pause a 0s", `cannot pause for "0s": TIME is 1s to 30d, such as 30m`, "see"},
		{"pause a 31d", `cannot pause for "31d"`, "see"},
		{"pause a", "cannot run deadman pause so: it takes AGENT TIME", "see"},
		{"history --limit ten", `cannot use "ten" for --limit: it takes a whole number`, "see"},
		{"history -n -1", "cannot print the newest -1", "see"},
		{"history a --verify", "cannot verify a part", "see"},
		{"explain", "cannot explain: it takes one ID, or --list", "see"},
		{"explain 5 --list", "cannot explain: it takes one ID, or --list", "see"},
		{"init --name a", "cannot tell what to guard: give --pid, or a command after --", "see"},
		{"init hermes", `cannot tell what "hermes" is: a command comes after --`, "see"},
		{"init --pid 1 -- hermes", "cannot look at both a process and a command", "see"},
		{"init --pid 0", "cannot look at process 0: --pid takes 1 or more", "see"},
		{"run", "cannot tell what to run: give one agent, or a command after --", "see"},
		{"run a b", "cannot tell what to run", "see"},
		{"run -- hermes", "cannot guard a command without its config files: give --files", "see"},
		{"run --files a.yaml", "cannot tell what to run: give the command after --", "see"},
		{"run --files a.yaml -- ", "cannot tell what to run: give the command after --", "see"},
		{"run a --files a.yaml -- hermes", "cannot run both an agent of the config and a command", "see"},
		{"run --files /etc/a/x,/etc/b/y -- hermes", "cannot guard these files together", "see"},
	} {
		var out, err bytes.Buffer
		status := cli.Main(strings.Fields(tt.args), nil, &out, &err)
		lines := strings.Split(strings.TrimSuffix(err.String(), "\n"), "\n")
		if status != 2 || out.Len() > 0 || len(lines) != 2 ||
			!strings.HasPrefix(lines[0], "deadman: error: "+tt.error) || !strings.HasPrefix(lines[1], "deadman: hint: "+tt.hint) {
			t.Errorf("deadman %s: status %d, want 2\n%s%s", tt.args, status, out.String(), err.String())
		}
		for _, leak := range []string{"strconv", "ParseInt", "time:", "unknown", "accepts", "arg(s)"} {
			if strings.Contains(err.String(), leak) {
				t.Errorf("deadman %s: %q is not a word of ours:\n%s", tt.args, leak, err.String())
			}
		}
	}
}
