package rival_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"deadman/internal/rival"
)

// seed is a line of testdata/seeds.txt.
type seed struct {
	rival      bool
	path, part string
	form       rival.Form
	agents     []string
	reasons    []rival.Reason
	sure       rival.Sure
	line       int // that the part is in, 0 for the whole file
	why        string
}

func (s seed) String() string { return s.path + " " + s.part }

// host makes the host of testdata/host.txtar in a directory: all of it, or only some
// files.
func host(t testing.TB, only ...string) rival.Host {
	t.Helper()
	root := t.TempDir()
	archive, err := txtar.ParseFile("testdata/host.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if len(only) > 0 && !slices.Contains(only, f.Name) {
			continue
		}
		at := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := bytes.CutPrefix(f.Data, []byte("link: ")); ok {
			if err := os.Symlink(strings.TrimSpace(string(target)), at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := os.FileMode(0o644)
		switch {
		case bytes.HasPrefix(f.Data, []byte("#!")):
			mode = 0o755
		case strings.HasPrefix(f.Name, "var/spool/cron/"):
			mode = 0o600
		}
		// After a comment of the archive comes an empty line that is not the file's.
		data := f.Data
		if i := bytes.Index(data, []byte("\n\n")); i >= 0 && isComment(data[i+2:]) {
			data = data[:i+1]
		}
		if err := os.WriteFile(at, data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
	}
	return rival.Host{Root: root, Config: "/etc/deadman/deadman.yaml"}
}

// isComment reports whether what follows an empty line is a line of the archive's own.
func isComment(rest []byte) bool {
	text := strings.TrimSpace(string(rest))
	return slices.Contains([]string{
		"The units that own the agents.", "Other crontabs.", "Timers and services.", "launchd.", "Monit.", "supervisord.",
		"The agents' own schedules.", "The crontab of root: 25 jobs that are nobody's rivals, and the old switches\namong them.",
	}, text)
}

// seeds reads testdata/seeds.txt, and finds the lines in the host.
func seeds(t testing.TB, h rival.Host) []seed {
	t.Helper()
	text, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []seed
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x01"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x01", "|"))
		}
		s := seed{rival: cells[0] == "rival", path: cells[1], part: strings.ReplaceAll(cells[2], `\*`, "*")}
		if s.rival {
			s.form, s.sure = rival.Form(cells[3]), rival.Sure(cells[6])
			s.agents = strings.Fields(cells[4])
			for _, r := range strings.Fields(cells[5]) {
				s.reasons = append(s.reasons, rival.Reason(r))
			}
		} else {
			s.why = cells[3]
		}
		content, err := os.ReadFile(filepath.Join(h.Root, s.path))
		if err != nil && s.path != "/etc/systemd/system/wizard-masked.timer" {
			t.Fatalf("seeds.txt speaks of what is not there: %v", err)
		}
		if s.part != "" {
			at := strings.Index(string(content), s.part)
			if at < 0 || strings.Count(string(content), s.part) != 1 {
				t.Fatalf("seeds.txt: %q is not once in %s", s.part, s.path)
			}
			s.line = 1 + strings.Count(string(content[:at]), "\n")
		}
		all = append(all, s)
	}
	return all
}

// agents are those of the host.
func agents() []rival.Agent {
	set := func(root string, follow []string, files ...string) []rival.Set {
		return []rival.Set{{Root: root, Files: files, Follow: follow, Member: func(rel string) bool { return slices.Contains(files, rel) }}}
	}
	wizard := func(name string, port int, follow ...string) rival.Agent {
		return rival.Agent{Name: name, Preset: "hermes", Unit: "hermes-" + name + ".service", Ports: []int{port}, Sets: set("/root/wizards/"+name+"/home", follow, "config.yaml", ".env")}
	}
	return []rival.Agent{
		{Name: "timmy", Preset: "hermes", Label: "ai.hermes.gateway", Ports: []int{8642}, Sets: set("/Users/timmy/.hermes", nil, "config.yaml", ".env")},
		wizard("allegro", 8655), wizard("bezalel", 8656), wizard("ezra", 8657, "/srv/timmy-config"),
		{Name: "claw", Preset: "openclaw", Unit: "openclaw-gateway", User: true, Ports: []int{18789}, Sets: set("/home/alex/.openclaw", nil, "openclaw.json")},
		{Name: "relay", Program: "relay", PIDFile: "/run/relay.pid", Ports: []int{9100}, Sets: set("/etc/relay", nil, "relay.toml")},
	}
}

func describe(r rival.Rival) string {
	var acts []string
	for _, a := range r.Acts {
		acts = append(acts, fmt.Sprintf("%s %s (%s): %s", a.Agent, a.Reason, a.Sure, a.Does))
	}
	return fmt.Sprintf("%s:%d [%s] %s", r.Path, r.Line, r.Form, strings.Join(acts, "; "))
}

// TestSeeds: every rival of the table is found, as what it is, and nothing else.
func TestSeeds(t *testing.T) {
	t.Parallel()
	h := host(t)
	all := seeds(t, h)
	rivals, innocents := 0, 0
	for _, s := range all {
		if s.rival {
			rivals++
		} else {
			innocents++
		}
	}
	if rivals < 15 || innocents < 25 {
		t.Fatalf("there are %d rivals and %d innocents", rivals, innocents)
	}
	found, err := rival.Find(&h, agents())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, r := range found {
		if ids[r.ID] {
			t.Errorf("two have the id %s: %s", r.ID, describe(r))
		}
		ids[r.ID] = true
		if !slices.ContainsFunc(all, func(s seed) bool { return s.rival && s.matches(r) }) {
			t.Errorf("found what is no rival: %s", describe(r))
		}
	}
	for _, s := range all {
		i := slices.IndexFunc(found, s.matches)
		switch {
		case !s.rival && i >= 0 && (s.line > 0 || found[i].Line <= 1):
			t.Errorf("took an innocent for a rival (%s): %s", s.why, describe(found[i]))
		case !s.rival:
		case i < 0:
			t.Errorf("did not find %s", s)
		default:
			r := found[i]
			if r.Form != s.form || r.Sure() != s.sure || !slices.Equal(r.Agents(), s.agents) || !slices.Equal(r.Reasons(), s.reasons) {
				t.Errorf("%s is %s, agents %v, reasons %v, %s\nfound %s", s, s.form, s.agents, s.reasons, s.sure, describe(r))
			}
		}
	}
}

func (s seed) matches(r rival.Rival) bool {
	return r.Path == s.path && (s.line == 0 || r.Line == s.line)
}
