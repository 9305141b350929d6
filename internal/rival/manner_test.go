package rival_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deadman/internal/rival"
)

// TestManners are ways in which published watchdogs, seen after the detector was
// written, go about it; and what only looks like one. Each is a line of alex's crontab.
func TestManners(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, command string
		script        string // at /home/alex/w, if any
		want          string // agent and reason, "" for an innocent
	}{
		{"pgrep-or-start", `pgrep -f openclaw >/dev/null || nohup openclaw gateway start >/dev/null 2>&1 &`, "", "claw restarts"},
		{"install-force", `curl -sf http://127.0.0.1:18789/ || openclaw gateway install --force`, "", "claw restarts"},
		{"plain-restart", `openclaw restart`, "", "claw restarts"},
		{"program-in-a-variable", `/home/alex/w`, "#!/bin/bash\nBIN=\"$(command -v openclaw)\"\nif ! \"$BIN\" gateway status | grep -q ok; then \"$BIN\" gateway restart; fi\n", "claw restarts"},
		{"jq-and-mv", `jq '.gateway.mode = "local"' ~/.openclaw/openclaw.json > /tmp/t.json && mv /tmp/t.json ~/.openclaw/openclaw.json`, "", "claw rewrites"},
		{"port-killer", `lsof -ti tcp:18789 | xargs kill -9`, "", "claw stops"},
		{"ps-grep-kill", "kill -9 `ps aux | grep 'openclaw/dist/index.js gateway' | grep -v grep | awk '{print $2}'`", "", "claw stops"},
		{"template-in-node", `node /home/alex/w`, "const {execSync} = require('child_process');\nfor (const p of ['a']) {\n  execSync(`systemctl --user restart openclaw-${p}.service`);\n}\n", "claw restarts"},
		{"spawn-in-node", `node /home/alex/w`, "import {spawn} from 'child_process';\nspawn('systemctl', ['--user', 'restart', 'openclaw-gateway'], {detached: true});\n", "claw restarts"},
		{"write-in-node", `node /home/alex/w`, "const fs = require('fs'), path = require('path');\nconst file = path.join(os.homedir(), '.openclaw', 'openclaw.json');\nfs.writeFileSync(file, good);\n", "claw rewrites"},
		{"copy-in-python", `python3 /home/alex/w`, "import shutil, os\nCONFIG = os.path.expanduser('~/.openclaw/openclaw.json')\nshutil.copy2(CONFIG + '.good', CONFIG)\n", "claw rewrites"},
		{"list-in-python", `/home/alex/w`, "#!/usr/bin/env python3\nimport subprocess\nCMD = ['openclaw', 'gateway', 'restart']\ndef fix():\n    subprocess.run(CMD, check=True)\n", "claw restarts"},
		{"case-of-an-argument", `/home/alex/w restart`, "#!/bin/sh\ncase \"$1\" in\nstatus) openclaw gateway status ;;\nrestart) openclaw gateway restart ;;\nesac\n", "claw restarts"},
		{"transient-timer", `systemd-run --user --on-active=30 systemctl --user restart openclaw-gateway`, "", "claw restarts"},

		{"case-of-another-argument", `/home/alex/w status`, "#!/bin/sh\ncase \"$1\" in\nstatus) openclaw gateway status ;;\nrestart) openclaw gateway restart ;;\nesac\n", ""},
		{"function-never-called", `/home/alex/w`, "#!/bin/bash\nfix() { systemctl --user restart openclaw-gateway; }\ncurl -sf http://127.0.0.1:18789/ || logger 'openclaw is down'\n", ""},
		{"words-in-python", `/home/alex/w`, "#!/usr/bin/env python3\n\"\"\"systemctl --user restart openclaw-gateway\"\"\"\nprint('systemctl --user restart openclaw-gateway')\n# subprocess.run(['openclaw', 'gateway', 'restart'])\n", ""},
		{"asks-in-python", `/home/alex/w`, "#!/usr/bin/env python3\nimport subprocess\nsubprocess.run(['systemctl', '--user', 'is-active', 'openclaw-gateway'])\nopen('/home/alex/.openclaw/openclaw.json').read()\n", ""},
		{"read-in-node", `node /home/alex/w`, "const fs = require('fs');\nconst c = JSON.parse(fs.readFileSync('/home/alex/.openclaw/openclaw.json'));\nconsole.log('restart with: openclaw gateway restart');\n", ""},
		{"backup-beside", `rsync -a ~/.openclaw/ /mnt/backup/openclaw/`, "", ""},
		{"elsewhere", `ssh pi@attic 'systemctl --user restart openclaw-gateway'`, "", ""},
		{"in-a-container", `docker exec ci openclaw gateway restart`, "", ""},
		{"dry-run", `rsync -an /srv/golden/ ~/.openclaw/`, "", ""},
		{"another-port", `fuser -k 18790/tcp`, "", ""},
		{"editor", `ls ~/.openclaw/openclaw.json && wc -c < ~/.openclaw/openclaw.json`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := host(t, "etc/passwd", "home/alex/.openclaw/openclaw.json", "home/alex/.config/systemd/user/openclaw-gateway.service")
			write := func(p, text string, mode os.FileMode) {
				p = filepath.Join(h.Root, p)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("var/spool/cron/crontabs/alex", "* * * * * "+tt.command+"\n", 0o600)
			if tt.script != "" {
				write("home/alex/w", tt.script, 0o755)
			}
			found := find(t, &h)
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("an innocent: %s", describe(found[0]))
			case tt.want == "":
			case len(found) != 1:
				t.Errorf("found %d", len(found))
			default:
				agent, reason, _ := strings.Cut(tt.want, " ")
				r := found[0]
				if !slices.Equal(r.Agents(), []string{agent}) || !slices.Contains(r.Reasons(), rival.Reason(reason)) || r.Sure() == rival.Possible {
					t.Errorf("%s", describe(r))
				}
			}
		})
	}
}
