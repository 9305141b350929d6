package rival

import (
	"path"
	"slices"
	"strings"
)

// listener is an event listener of supervisord that restarts a program.
func (j *judge) listener(argv []string, s *scope) {
	for i, word := range argv {
		for _, a := range j.agents {
			if a.Program == "" || i == 0 {
				continue
			}
			name, _, _ := strings.Cut(word, "=")
			switch {
			case argv[i-1] == "-p" && name == a.Program:
				j.does(a, Restarts, Certain, s, path.Base(argv[0])+" restarts "+a.Program)
			case word == "-a", word == "--any":
				j.does(a, Restarts, Likely, s, path.Base(argv[0])+" restarts any program")
			}
		}
	}
}

// hermes and openclaw are the agents' own programs. Which agent they act on is said
// by its home.
func (j *judge) hermes(argv []string, s *scope) {
	words := operands(argv, "-p", "--profile")
	j.own("hermes", ".hermes", "HERMES_HOME", option(argv, "-p", "--profile"), words, argv, s)
}

func (j *judge) openclaw(argv []string, s *scope) {
	words := operands(argv, "--profile", "--port", "--to")
	j.own("openclaw", ".openclaw", "OPENCLAW_STATE_DIR", option(argv, "--profile"), words, argv, s)
}

func (j *judge) own(preset, dir, variable, profile string, words, argv []string, s *scope) {
	if len(words) == 0 {
		return
	}
	var reason Reason
	switch {
	case words[0] == "gateway" && len(words) > 1:
		reason = map[string]Reason{"restart": Restarts, "start": Restarts, "run": Starts, "stop": Stops, "install": Restarts, "uninstall": Stops}[words[1]]
	case words[0] == "gateway" && preset == "openclaw":
		reason = Starts
	case words[0] == "restart":
		reason = Restarts
	case words[0] == "doctor" && has(argv, "--fix", "--repair", "--force"):
		reason = Rewrites
	case words[0] == "config" && len(words) > 1 && slices.Contains([]string{"set", "unset", "edit", "migrate", "patch", "apply"}, words[1]):
		reason = Rewrites
	case slices.Contains([]string{"setup", "configure", "onboard", "update", "import"}, words[0]):
		reason = Rewrites
	}
	if reason == "" {
		return
	}
	home := path.Join(s.home, dir)
	if profile != "" {
		home = home + "-" + profile
	}
	if v := s.vars[variable]; len(v) > 0 {
		home = v[0]
	}
	what := preset + " " + strings.Join(words[:min(2, len(words))], " ")
	if reason == Rewrites {
		what = preset + " " + words[0]
	}
	var of []*Agent
	for _, a := range j.agents {
		if a.Preset == preset {
			of = append(of, a)
		}
		if a.home() == home {
			j.does(a, reason, Certain, s, what)
			return
		}
	}
	for _, a := range of {
		if len(of) == 1 && profile == "" && len(s.vars[variable]) == 0 && s.home == "" {
			j.does(a, reason, Likely, s, what)
		} else if profile != "" && path.Base(a.home()) == profile {
			j.does(a, reason, Likely, s, what)
		}
	}
}

// deadman is another installation, unless it runs on the config that is in force.
func (j *judge) deadman(argv []string, s *scope) {
	words := operands(argv, "--config")
	if len(words) == 0 || !slices.Contains([]string{"check", "watch", "run"}, words[0]) || has(argv, "--finish") {
		return
	}
	config := option(argv, "--config")
	switch {
	case config != "":
		config = s.path(config)
	case s.user == "root" || s.user == "":
		config = "/etc/deadman/deadman.yaml"
	default:
		config = path.Join(s.home, ".config/deadman/deadman.yaml")
	}
	if config == "" || j.host.resolve(config) == j.host.resolve(j.host.Config) {
		return
	}
	f, err := j.host.read(config)
	if err != nil {
		return
	}
	texts := []string{f.text}
	for _, name := range j.host.names(path.Join(path.Dir(config), "conf.d")) {
		if more, err := j.host.read(path.Join(path.Dir(config), "conf.d", name)); err == nil && path.Ext(name) == ".yaml" {
			texts = append(texts, more.text)
		}
	}
	for _, a := range j.agents {
		if slices.ContainsFunc(texts, a.namedIn) {
			j.does(a, AnotherDeadman, Certain, s, "deadman "+words[0]+" under another config")
		}
	}
}
