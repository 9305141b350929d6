package rival

import (
	"path"
	"slices"
	"strings"
)

var ownerVerbs = map[string]Reason{
	"restart": Restarts, "try-restart": Restarts, "condrestart": Restarts, "reload-or-restart": Restarts, "try-reload-or-restart": Restarts,
	"force-reload": Restarts, "start": Starts, "stop": Stops, "kill": Stops,
}

// unitVerb judges a verb of systemctl or its like on units.
func (j *judge) unitVerb(program, verb string, units []string, user bool, s *scope) {
	reason, ok := ownerVerbs[verb]
	if !ok {
		return
	}
	// To be started by its own owner is to be restarted when it was dead.
	if reason == Starts {
		reason = Restarts
	}
	for _, unit := range units {
		for _, a := range j.agents {
			sure, ok := a.unit(unit, user)
			if !ok && open(unit) && strings.Trim(strings.TrimSuffix(wild(unit), ".service"), "*") == "" && a.Unit != "" && a.User == user &&
				namesWord(s.text, strings.TrimSuffix(a.Unit, ".service")) {
				sure, ok = Likely, true
			}
			if ok {
				j.does(a, reason, sure, s, program+" "+verb+" "+a.Unit)
			}
		}
	}
}

func (j *judge) systemctl(argv []string, s *scope) {
	if option(argv, "-H", "--host") != "" {
		return
	}
	words := operands(argv, "-M", "--machine", "-s", "--signal", "-p", "--property", "-t", "--type", "-o", "-n", "--kill-whom", "--job-mode")
	if len(words) == 0 {
		return
	}
	verb := words[0]
	if (verb == "enable" || verb == "reenable") && has(argv, "--now") {
		verb = "start"
	}
	if (verb == "disable" || verb == "mask") && has(argv, "--now") {
		verb = "stop"
	}
	if verb == "kill" && harmless(option(argv, "-s", "--signal")) {
		return
	}
	j.unitVerb("systemctl", verb, words[1:], has(argv, "--user"), s)
}

func (j *judge) service(argv []string, s *scope) {
	if words := operands(argv); len(words) > 1 {
		j.unitVerb(path.Base(argv[0]), words[1], words[:1], false, s)
	}
}

func (j *judge) launchctl(argv []string, s *scope) {
	words := operands(argv)
	if len(words) < 2 {
		return
	}
	reason := map[string]Reason{
		"kickstart": Restarts, "start": Restarts, "bootstrap": Restarts, "load": Restarts, "stop": Stops, "kill": Stops,
		"bootout": Stops, "unload": Stops, "remove": Stops, "disable": Stops,
	}[words[0]]
	if reason == "" {
		return
	}
	for _, word := range words[1:] {
		label := strings.TrimSuffix(path.Base(word), ".plist")
		for _, a := range j.agents {
			if a.Label != "" && label == a.Label {
				j.does(a, reason, Certain, s, "launchctl "+words[0]+" "+a.Label)
			}
		}
	}
}

func (j *judge) supervisorctl(argv []string, s *scope) {
	words := operands(argv, "-c", "--configuration", "-s", "--serverurl", "-u", "-p")
	if len(words) < 2 {
		return
	}
	reason := map[string]Reason{"restart": Restarts, "start": Restarts, "stop": Stops, "signal": Stops}[words[0]]
	if reason == "" || words[0] == "signal" && harmless(words[1]) {
		return
	}
	for _, word := range words[1:] {
		group, program, _ := strings.Cut(word, ":")
		for _, a := range j.agents {
			switch {
			case a.Program == "":
			case word == a.Program, program == a.Program, group == a.Program:
				j.does(a, reason, Certain, s, "supervisorctl "+words[0]+" "+a.Program)
			case word == "all":
				j.does(a, reason, Likely, s, "supervisorctl "+words[0]+" all")
			}
		}
	}
}

func (j *judge) sv(argv []string, s *scope) {
	words := operands(argv, "-w")
	if path.Base(argv[0]) == "svc" || len(words) < 2 {
		return
	}
	verb := strings.TrimPrefix(strings.TrimPrefix(words[0], "force-"), "try-")
	reason := map[string]Reason{
		"restart": Restarts, "start": Restarts, "up": Restarts, "u": Restarts, "t": Restarts, "term": Restarts,
		"k": Restarts, "kill": Restarts, "down": Stops, "d": Stops, "stop": Stops, "exit": Stops, "shutdown": Stops,
	}[verb]
	for _, word := range words[1:] {
		for _, a := range j.agents {
			if reason != "" && a.Service != "" && (word == a.Service || word == path.Base(a.Service)) {
				j.does(a, reason, Certain, s, "sv "+words[0]+" "+path.Base(a.Service))
			}
		}
	}
}

func (j *judge) docker(argv []string, s *scope) {
	words := operands(argv, "-t", "--time", "-s", "--signal", "-H", "--host", "-c", "--context")
	if len(words) > 0 && words[0] == "container" {
		words = words[1:]
	}
	if len(words) < 2 || has(argv, "-H", "--host") {
		return
	}
	reason := map[string]Reason{"restart": Restarts, "start": Restarts, "stop": Stops, "kill": Stops, "rm": Stops, "pause": Stops}[words[0]]
	for _, word := range words[1:] {
		for _, a := range j.agents {
			if reason != "" && a.Container != "" && word == a.Container {
				j.does(a, reason, Certain, s, path.Base(argv[0])+" "+words[0]+" "+a.Container)
			}
		}
	}
}

func (j *judge) tmux(argv []string, s *scope) {
	words := operands(argv, "-L", "-S", "-f", "-s", "-t", "-n", "-c", "-x", "-y", "-e", "-F")
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "new-session", "new", "new-window", "neww", "respawn-pane", "respawn-window", "split-window", "send-keys", "send":
		rest := words[1:]
		if strings.HasPrefix(words[0], "send") {
			rest = slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return w == "C-m" || w == "Enter" || w == "C-c" })
		}
		if len(rest) > 1 {
			j.command(rest, s)
		} else if len(rest) == 1 {
			j.inner(rest[0], s)
		}
	}
	reason := map[string]Reason{"kill-session": Stops, "kill-window": Stops, "kill-pane": Stops, "respawn-pane": Restarts, "respawn-window": Restarts}[words[0]]
	target := option(argv, "-t")
	session, window, _ := strings.Cut(target, ":")
	for _, a := range j.agents {
		switch {
		case a.Session == "":
		case reason != "" && session == a.Session && (window == "" || window == a.Window):
			j.does(a, reason, Certain, s, "tmux "+words[0]+" "+a.Session)
		case strings.HasPrefix(words[0], "send") && session == a.Session && has(words, "C-c"):
			j.does(a, Stops, Certain, s, "tmux send-keys C-c to "+a.Session)
		case strings.HasPrefix(words[0], "new") && (option(argv, "-s") == a.Session || session == a.Session && option(argv, "-n") == a.Window && a.Window != ""):
			j.does(a, Starts, Certain, s, "tmux "+words[0]+" "+a.Session)
		}
	}
}

func (j *judge) monit(argv []string, s *scope) {
	words := operands(argv, "-c", "-g")
	if len(words) < 2 || ownerVerbs[words[0]] == "" {
		return
	}
	for _, a := range j.agents {
		if has(words[1:], a.Name, strings.TrimSuffix(a.Unit, ".service")) {
			j.does(a, Restarts, Likely, s, "monit "+words[0]+" "+a.Name)
		}
	}
}
