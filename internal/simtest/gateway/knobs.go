package gateway

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// knobs are the lines of the knob file: a name, and what follows it. It is read
// at every question, so a knob may be turned while the agent runs. What of it
// counts only at a start is marked in the list.
//
//	config FILE           its config: .json is JSON5, .yaml, .toml, .env, .conf and ..._config (start)
//	includes FILE...      fragments that must parse as well, patterns too (start, reload)
//	judge COMMAND...      the config is what this program accepts, instead of what parses (start, reload)
//	keys PATH...          strict: any other key is refused; "a.*" is a and all beneath
//	needs PATH...         keys that must be there and not be empty
//	choice PATH WORD...   the value must be one of the words
//	refers PATH PATH      every value of the first must be one of the second's
//	fits FILE NAME PATH   FILE must set NAME, where PATH is true in the config
//	mode FILE MODE        it must have this mode, or is refused
//	owner FILE UID[:GID]  it must belong to this user and group, or is refused
//	lock FILE             refuses to start while FILE is there; removes it when it ends in peace (start)
//	lenient               what cannot be read is replaced by defaults, and said once
//	reload PERIOD         takes a changed config while it runs; keeps the old one if that is refused
//	stuck                 a reload that meets half a config never ends: no answer, no SIGTERM
//	spoilt                after a refused reload the process takes no other any more
//	slow TIME             before it listens (start)
//	upstream ok|401|timeout   how its provider answers
//	key PATH PREFIX       the provider accepts only keys that begin so; ${NAME} is the environment's
//	routes PATH PATH      …and only for the provider at the first path at the address at the second
//	needs-provider        it ends when its provider does not answer it at the start
//	panics FILE [TIME]    when its provider fails, TIME after it began to serve: it "repairs" its config with FILE, and dies
//	repairs FILE          the same, once, and it serves on
//	exit STATUS [TIME]    it ends so, TIME after it began to serve
//	hang                  accepts, and never answers
//	deaf                  ignores SIGTERM
//	writes PERIOD PATH    counts in its own config, by rename
//	stamps PATH           counts its starts in its own config (start)
//	forks                 a worker holds the port, and outlives it (start)
//	breaker N FILE        refuses to start once FILE has N lines; removes it after a second of health
//	rotates PERIOD FILE SERVER   a refresh token that is good once: SERVER has the one that is good now
//	listen ADDR           where (start)
//	pid-file FILE, starts FILE, own FILE   its pid; a line for each start; the hash of all it writes itself
type knobs map[string][][]string

func readKnobs(path string) (knobs, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k := knobs{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 {
			k[fields[0]] = append(k[fields[0]], fields[1:])
		}
	}
	return k, nil
}

// has reports whether a knob is there.
func (k knobs) has(name string) bool { return len(k[name]) > 0 }

// word is the nth word after a knob, "" without.
func (k knobs) word(name string, n int) string {
	if lines := k[name]; len(lines) > 0 && n < len(lines[0]) {
		return lines[0][n]
	}
	return ""
}

func (k knobs) duration(name string) time.Duration {
	d, err := time.ParseDuration(k.word(name, 0))
	if err != nil && k.has(name) {
		panic(fmt.Sprintf("knob %s: %v", name, err))
	}
	return d
}

func (k knobs) number(name string) int {
	n, err := strconv.Atoi(k.word(name, 0))
	if err != nil && k.has(name) {
		panic(fmt.Sprintf("knob %s: %v", name, err))
	}
	return n
}
