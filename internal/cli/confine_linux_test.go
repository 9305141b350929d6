package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/cli"
)

// Only what deadman does not start itself can be guarded by a confined one.
func TestWhatCannotBeConfined(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root: a service of the machine is root's to install")
	}
	for _, tt := range []struct{ root, supervisor, want string }{
		{"/srv/a", "{systemd: a}", ""},
		{"/srv/a", "{docker: a}", ""},
		{"/srv/a", "{runit: /etc/service/a}", ""},
		{"/srv/a", "{child: [a]}", "cannot confine a service that starts a itself (child)"},
		{"/srv/a", "{command: {start: [a]}, process: {pid-file: /run/a.pid}}", "cannot confine a service that starts a itself (command)"},
		{"/srv/a", `{tmux: "a:1", command: [a]}`, "cannot confine a service that starts a itself (tmux)"},
		{"/tmp/a", "{systemd: a}", "it has a /tmp of its own"},
	} {
		path := filepath.Join(t.TempDir(), "deadman.yaml")
		text := "state-dir: /var/lib/deadman\nagents:\n  a:\n    config: {root: " + tt.root + ", files: [f]}\n    supervisor: " + tt.supervisor + "\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		exit := cli.Main([]string{"install-service", "--confine", "--config", path}, strings.NewReader(""), &out, &errs)
		if tt.want == "" && (exit != 0 || !strings.Contains(out.String(), "NoNewPrivileges=yes")) ||
			tt.want != "" && (exit != 2 || !strings.Contains(errs.String(), tt.want) || !strings.Contains(errs.String(), "hint:")) {
			t.Errorf("%s in %s: exit %d, %s", tt.supervisor, tt.root, exit, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if exit := cli.Main([]string{"install-service", "--confine", "--user"}, strings.NewReader(""), &out, &errs); exit != 2 || !strings.Contains(errs.String(), "a service of a user") {
		t.Errorf("of a user: exit %d, %s", exit, errs.String())
	}
}
