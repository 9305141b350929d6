package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"deadman/internal/proc"
)

// known is what is seen of an agent that there is a preset for: all that the preset
// leaves to its user.
type known struct {
	preset, root string
	// start is its command where its process does not tell it; env are variables
	// that it is started with.
	start, env []string
	// keys are keys of the agent, a line of YAML each, and notes say why.
	keys, notes []string
	// pidFile is "" if it is told by its port.
	pidFile string
	// checks are those of the preset with the port that it has; nil if it is the
	// preset's, or the preset has none.
	checks func(port int) []string
}

// recognize returns nil for what no preset is for, or what lies elsewhere than where
// the preset says.
func recognize(s *subject) *known {
	title := ""
	if len(s.argv) > 0 {
		title = strings.TrimRight(s.argv[0], "\x00 ")
	}
	// What `gateway` alone, or `gateway run`, starts; `gateway status` is over soon.
	gateway := func() bool {
		i := slices.Index(s.argv, "gateway")
		return i > 0 && (i+1 == len(s.argv) || s.argv[i+1] == "run" || strings.HasPrefix(s.argv[i+1], "-"))
	}
	programNamed := func(names ...string) bool {
		return slices.ContainsFunc(s.argv[:min(2, len(s.argv))], func(word string) bool { return slices.Contains(names, filepath.Base(word)) })
	}
	switch {
	case title == "openclaw-gateway", programNamed("openclaw", "openclaw.mjs") && gateway():
		return s.openclaw()
	case (slices.Contains(s.argv, "hermes_cli.main") || programNamed("hermes")) && gateway():
		return s.hermes()
	case strings.HasPrefix(title, "nginx: master process"), programNamed("nginx"):
		return s.nginx(title)
	}
	return nil
}

// outermost is the process that was started as the agent: OpenClaw's starts itself once
// more, with a cache for its modules.
func (s subject) outermost() subject {
	for s.process.Parent > 1 {
		up, err := subjectOf(s.process.Parent)
		if err != nil {
			break
		}
		if up.known = recognize(&up); up.known == nil || up.known.preset != s.known.preset || up.known.root != s.known.root {
			break
		}
		s = up
	}
	return s
}

// variable is one of the agent's own, else one of ours where it is a command.
func (s *subject) variable(name string) string {
	if s.environ != nil {
		return s.environ[name]
	}
	return os.Getenv(name)
}

// find looks for a program where the agent would.
func (s *subject) find(program string) string {
	for _, dir := range filepath.SplitList(s.variable("PATH")) {
		path := filepath.Join(dir, program)
		if filepath.IsAbs(path) && executable(path, "") == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				return real
			}
		}
	}
	return ""
}

// homeDir is where the agent takes its home to be.
func (s *subject) homeDir() string {
	if home := s.variable("HOME"); filepath.IsAbs(home) {
		return home
	}
	return s.home
}

// asAgent makes a command one of the agent's user, with its home.
func (s *subject) asAgent(command ...string) []string {
	words := []string{"env", "HOME=" + s.homeDir()}
	if s.uid != os.Geteuid() {
		words = slices.Concat([]string{"setpriv", fmt.Sprintf("--reuid=%d", s.uid), fmt.Sprintf("--regid=%d", s.gid), "--init-groups"}, words)
	}
	return append(words, command...)
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// openclaw: its process has written over its command line, so the program is looked
// for where the gateway would find it.
func (s *subject) openclaw() *known {
	root := s.variable("OPENCLAW_STATE_DIR")
	if root == "" {
		root = filepath.Join(s.homeDir(), ".openclaw")
	}
	config := filepath.Join(root, "openclaw.json")
	if path := s.variable("OPENCLAW_CONFIG_PATH"); path != "" && filepath.Clean(path) != config || !filepath.IsAbs(root) || !regular(config) {
		return nil
	}
	k := &known{preset: "openclaw", root: filepath.Clean(root), env: []string{"OPENCLAW_STATE_DIR=" + root, "OPENCLAW_NO_RESPAWN=1"}}
	program := s.find("openclaw")
	if program == "" {
		return nil
	}
	run := []string{program}
	if filepath.Ext(program) == ".mjs" && isInterpreter(filepath.Base(s.exe)) {
		run = []string{s.exe, program} // Its node may be in nobody's PATH.
	}
	switch i := slices.Index(s.argv, "gateway"); {
	case s.process.PID == 0:
	case i > 0:
		k.start = slices.Concat(run, s.argv[i:])
	default:
		k.start = slices.Concat(run, []string{"gateway", "run"})
		k.notes = []string{"CHECK THIS: it has written over its command line. If it was started with flags, add them."}
	}
	validate := s.asAgent("OPENCLAW_STATE_DIR={root}", "OPENCLAW_CONFIG_PATH={root}/openclaw.json")
	k.keys = append(k.keys, "validate: "+list(slices.Concat(validate, run, []string{"config", "validate"})))
	if about := filepath.Join(filepath.Dir(program), "package.json"); regular(about) {
		k.keys = append(k.keys, "version: {file: "+quote(about)+"}")
	}
	k.checks = func(port int) []string {
		if port == 0 || port == 18789 {
			return nil
		}
		base := "http://127.0.0.1:" + strconv.Itoa(port)
		return []string{
			"gateway: {level: alive, http: {url: " + quote(base+"/healthz") + "}}",
			"channels: {level: ready, http: {url: " + quote(base+"/readyz") + "}}",
		}
	}
	return k
}

func (s *subject) hermes() *known {
	root := s.variable("HERMES_HOME")
	if root == "" {
		root = filepath.Join(s.homeDir(), ".hermes")
	}
	if !filepath.IsAbs(root) || !regular(filepath.Join(root, "config.yaml")) {
		return nil
	}
	k := &known{preset: "hermes", root: filepath.Clean(root), env: []string{"HERMES_HOME=" + root}}
	if i := slices.IndexFunc(s.argv, func(word string) bool { return word == "hermes_cli.main" || filepath.Base(word) == "hermes" }); i >= 0 {
		k.keys = []string{"version: {exec: " + list(append(s.asAgent(s.argv[:i+1]...), "--version")) + "}"}
	}
	return k
}

// nginx: its master says in its title how it was started, with its words run
// together. Of one with -g they cannot be told apart.
func (s *subject) nginx(title string) *known {
	words := s.argv[min(1, len(s.argv)):]
	if s.process.PID != 0 {
		words = strings.Fields(strings.TrimPrefix(title, "nginx: master process"))
		words = words[min(1, len(words)):]
	}
	config, prefix, plain := "/etc/nginx/nginx.conf", []string(nil), true
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "-c" && i+1 < len(words):
			i++
			config = words[i]
		case words[i] == "-p" && i+1 < len(words):
			i++
			prefix = []string{"-p", words[i]}
		default:
			plain = false
		}
	}
	if !filepath.IsAbs(config) || filepath.Base(config) != "nginx.conf" || !regular(config) {
		return nil
	}
	k := &known{preset: "nginx", root: filepath.Dir(config)}
	program := s.exe
	if program == "" {
		if program = s.find("nginx"); program == "" {
			return nil
		}
	}
	if s.process.PID != 0 {
		k.start = slices.Concat([]string{program}, words)
		if !plain && s.unit == "" {
			return nil
		}
		k.pidFile = "/run/nginx.pid"
		if text, err := os.ReadFile(config); err == nil {
			if m := regexp.MustCompile(`(?m)^\s*pid\s+"?(/[^;"\s]+)"?\s*;`).FindSubmatch(text); m != nil {
				k.pidFile = string(m[1])
			}
		}
		if text, err := os.ReadFile(k.pidFile); err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(s.process.PID) {
			k.pidFile = ""
		}
	}
	k.keys = []string{"validate: " + list(slices.Concat([]string{program, "-t", "-q", "-e", "stderr"}, prefix, []string{"-c", "{root}/nginx.conf"}))}
	return k
}

// Find returns a config for every agent on this machine that runs and that a preset is
// for, and what could not be written, a line each.
func Find(ctx context.Context) (yaml []byte, notes []string, err error) {
	table, err := proc.Scan()
	if err != nil {
		return nil, nil, err
	}
	var pids []int
	for _, stat := range table.Where(func(proc.Stat) bool { return true }) {
		pids = append(pids, stat.PID)
	}
	slices.Sort(pids)
	named := map[string]int{}
	for _, pid := range pids {
		s, err := subjectOf(pid)
		if err != nil || s.process.PID != pid {
			continue
		}
		if s.known = recognize(&s); s.known == nil || s.outermost().process.PID != pid {
			continue
		}
		named[s.known.preset]++
		t := Target{Name: s.known.preset, PID: pid}
		if n := named[s.known.preset]; n > 1 {
			t.Name += "-" + strconv.Itoa(n)
		}
		text, err := Init(ctx, t)
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok && yaml == nil {
			text = slices.Concat([]byte("# Written by deadman init for what runs here. Read it once: what was guessed says so.\n"), rest)
		} else if yaml != nil { // One file, one `agents:`.
			_, text, _ = bytes.Cut(text, []byte("\nagents:\n"))
		}
		yaml = append(yaml, text...)
	}
	if yaml == nil && notes == nil {
		return nil, nil, &saidError{"cannot find an agent that runs here and that a preset is for", idle()}
	}
	return yaml, notes, nil
}

// idle is the hint where none runs: the config of one may lie where it usually does.
func idle() string {
	home, _ := os.UserHomeDir()
	for _, usual := range []struct{ path, how string }{
		{filepath.Join(home, ".openclaw", "openclaw.json"), "deadman init -- openclaw gateway run"},
		{filepath.Join(home, ".hermes", "config.yaml"), "deadman init -- hermes gateway run"},
		{"/etc/nginx/nginx.conf", ""},
	} {
		switch {
		case !regular(usual.path):
		case usual.how == "":
			return "there is " + usual.path + ": start what reads it first"
		default:
			return "there is " + usual.path + ": start what reads it first, or let deadman own it: " + usual.how
		}
	}
	return "name one: deadman init --pid N, or deadman init -- COMMAND…"
}
