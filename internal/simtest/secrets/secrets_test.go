package secrets

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

var (
	histories = flag.Int("histories", 12, "how many histories, each by a seed of its own")
	program   = flag.String("deadman", "", "the program, an absolute path; it is built if none is given")
)

// The test binary plays the agent.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "agent-of-secrets" {
		agent(os.Args[2], os.Args[3])
	}
	os.Exit(m.Run())
}

// agent reads its config, says too much about it, and serves, or ends.
func agent(home, addr string) {
	text, err := os.ReadFile(filepath.Join(home, "config.yaml"))
	if line := regexp.MustCompile(`(?m)^prints: .*$`).Find(text); line != nil {
		fmt.Printf("loaded %s\n", line)
	}
	if log, err := os.OpenFile(filepath.Join(filepath.Dir(home), "agent.log"), os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(log, "started")
	}
	if err != nil || strings.Contains(string(text), "die: now") {
		fmt.Fprintln(os.Stderr, "it does not start with this")
		os.Exit(78)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(home), "sick")); err == nil {
		os.Exit(1)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		os.Exit(1)
	}
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Config", fmt.Sprintf("%.200q", text))
		_, _ = w.Write(text) // It shows its config to whoever asks for its health.
	}))
	os.Exit(0)
}

// plant writes a config set with new values in every format: in values, comments,
// keys that are preserved, and names of sections' neighbours.
func (w *world) plant() {
	v := w.odd
	q := func(what string) string { return fmt.Sprintf("%q", w.value(inConfig, what)) }
	w.write("config.yaml", fmt.Sprintf("# %s\nmodel: m\ntoken: '%s'\nprints: %s\nseen: %s # %s\nlist:\n- %s\nblock: |\n  %s\nnested: {key: %s}\n",
		v("a comment in YAML"), w.value(inConfig, "YAML"), w.value(printed, "what the agent prints"), w.value(inConfig, "a preserved key"), v("a comment beside"),
		w.value(inConfig, "a list in YAML"), v("a block in YAML"), q("flow in YAML")))
	w.write("a.json", fmt.Sprintf("{\"token\": %s, \"list\": [%s], \"seen\": %s}\n", q("JSON"), q("a list in JSON"), q("a preserved key in JSON")))
	w.write("b.json5", fmt.Sprintf("{ // %s\n token: %s, /* %s */ }\n", v("a comment in JSON5"), q("JSON5"), w.value(inConfig, "a comment in JSON5")))
	w.write("c.toml", fmt.Sprintf("# %s\n[s]\ntoken = %s\n", v("a comment in TOML"), q("TOML")))
	w.write("d.ini", fmt.Sprintf("; %s\n[s]\ntoken = %s\n", v("a comment in INI"), v("INI")))
	w.write(".env", fmt.Sprintf("# %s\nTOKEN=%s\nexport OTHER='%s'\nURL=https://user:%s@host/\n", v("a comment in .env"), w.value(inConfig, ".env"), v(".env, quoted"), w.value(inConfig, "a URL in .env")))
	w.write("e.conf", fmt.Sprintf("token \"%s\"; # %s\n", w.value(inConfig, "an opaque file"), v("a comment in an opaque file")))
}

func (w *world) write(name, text string) {
	w.t.Helper()
	w.now[name] = []byte(text)
	w.must(os.WriteFile(filepath.Join(w.dir, "home", name), []byte(text), 0o600))
}

// spoil breaks one file beside one of its values, so that what is said of it is
// about just that place.
func (w *world) spoil() {
	value := w.value(inConfig, "a broken file")
	broken := map[string]string{
		"config.yaml": "model: m\ntoken: [" + value + "\n", "a.json": "{\"token\": " + value + "}", "b.json5": "{token: '" + value + "\n}",
		"c.toml": "token = " + value + "\n", "d.ini": "[s\n" + value + "\n", ".env": "TOKEN='" + value + "\n",
	}
	names := []string{"config.yaml", "a.json", "b.json5", "c.toml", "d.ini", ".env"}
	name := names[w.r.IntN(len(names))]
	w.write(name, broken[name])
	w.write("a.json", fmt.Sprintf("{\"token\": %q, \"token\": %q}", w.value(inConfig, "a key given twice"), value))
	if name == "config.yaml" {
		w.write(name, string(w.now[name])+"\t"+value+": x\n")
	}
}

// configure writes deadman's own config, with values where it may hold some.
func (w *world) configure(child bool) {
	to := w.target()
	self, err := os.Executable()
	w.must(err)
	command := fmt.Sprintf("[%q, agent-of-secrets, %q, '127.0.0.1:%d']", self, w.dir+"/home", w.port)
	owner := fmt.Sprintf("{child: %s, dir: %s, env: {AGENT_TOKEN: %s}}", command, w.dir, w.value(given, "the child's environment"))
	if !child {
		script := fmt.Sprintf("#!/bin/sh\nsetsid %s >>%s/agent.log 2>&1 </dev/null &\necho $! >%s/pid\n",
			strings.NewReplacer("[", "", "]", "", ",", "", "'", "").Replace(command), w.dir, w.dir)
		w.must(os.WriteFile(filepath.Join(w.dir, "start"), []byte(script), 0o700))
		owner = fmt.Sprintf("{command: {start: [%s/start]}, process: {pid-file: %s/pid}}", w.dir, w.dir)
	}
	// Both say on stdout and stderr all that they have read.
	w.must(os.WriteFile(filepath.Join(w.dir, "validate"), []byte("#!/bin/sh\ncat \"$1\"/* \"$1\"/.env; cat \"$1\"/.env >&2\n! grep -q invalid \"$1/config.yaml\"\n"), 0o700))
	w.must(os.WriteFile(filepath.Join(w.dir, "ready"), []byte("#!/bin/sh\ncat home/* "+w.dir+"/home/.env "+w.dir+"/home/config.yaml; test ! -e "+w.dir+"/unready\n"), 0o700))
	w.must(os.WriteFile(filepath.Join(w.dir, "agent.log"), []byte("token "+w.value(printed, "the agent's log")+"\n"), 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, "deadman.yaml"), fmt.Appendf(nil, `# %[7]s
state-dir: %[1]s/state
agents:
  a:
    config: {root: %[1]s/home, files: ["*"], settle: 0s, preserve: ["config.yaml#seen", "a.json#seen"]}
    supervisor: %[2]s
    validate: [%[1]s/validate, "{dir}"]
    log: %[1]s/agent.log
    version: {file: %[1]s/start-version}
    checks:
      http: {http: {url: "http://127.0.0.1:%[3]d/", headers: {Authorization: "Bearer %[4]s"}}}
      model: {level: ready, exec: {command: [%[1]s/ready]}}
    period: 1s
    timeout: 1s
    threshold: 2
    retry: 50ms
    gone-grace: 100ms
    kill-delay: 1s
    probation: 1s
    healthy-deadline: 3s
    recovery: {start-limit-burst: 100, start-limit-interval: 10s, backoff-delay: 10ms, backoff-limit: 10ms}
    notify: ["http://%[5]s/hook/%[6]s?key=%[8]s", "ntfy://:%[9]s@127.0.0.1:1/topic?scheme=http"]
    ping: http://%[5]s/ping/%[10]s
`, w.dir, owner, w.port, w.value(inConfig, "a header of a check"), to, w.value(sent, "the path of a webhook"),
		w.value(inConfig, "a comment in deadman.yaml"), w.value(sent, "the query of a webhook"), w.value(inConfig, "the password of a target"),
		w.value(sent, "the path of a ping")), 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, "start-version"), []byte("1.0\n"), 0o600))
}

func proven(status string) bool {
	return strings.Contains(status, `"standing":"proven"`) && !strings.Contains(status, `"provisional":true`) && strings.Contains(status, `"state":"up"`)
}

func up(status string) bool { return strings.Contains(status, `"state":"up"`) }

// views are the commands that only look.
func (w *world) views() {
	for _, args := range [][]string{
		{"status"},
		{"status", "--json"},
		{"history"},
		{"history", "--json"},
		{"history", "--verify"},
		{"snapshots", "a"},
		{"snapshots", "a", "--json"},
		{"show", "a"},
		{"show", "a", "--json"},
		{"show", "a", "live"},
		{"diff", "a"},
		{"diff", "a", "--json"},
		{"doctor"},
		{"explain", "--list"},
		{"check", "--json"},
	} {
		w.do(args...)
	}
	// These show the agent's output, and the lines that differ, to who asks for them.
	for _, id := range regexp.MustCompile(`"id":(\d+)`).FindAllStringSubmatch(w.do("history", "--json"), -1) {
		if w.r.IntN(6) == 0 {
			w.run([]kind{printed}, "explain", id[1])
			w.do("explain", id[1], "--json")
		}
	}
	w.run([]kind{inConfig, printed}, "diff", "a", "--text")
}

func (w *world) die() {
	for _, pid := range w.pids() {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(text), "agent-of-secrets") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// begin starts a watch, with its log in a file.
func (w *world) begin() {
	log, err := os.Create(filepath.Join(w.dir, "watch.log"))
	w.must(err)
	defer log.Close()
	w.watch = exec.Command(w.bin, "watch", "--config", filepath.Join(w.dir, "deadman.yaml"))
	w.watch.Env, w.watch.Dir, w.watch.Stdout, w.watch.Stderr = w.env(), w.dir, log, log
	w.must(w.watch.Start())
}

// crash ends the watch, or one that is begun for this, by SIGQUIT: the stacks of all
// goroutines, with their arguments, go into its log.
func (w *world) crash() {
	if w.watch == nil {
		w.begin()
		w.until("a watch guards", up)
	}
	w.must(w.watch.Process.Signal(syscall.SIGQUIT))
	_ = w.watch.Wait()
	w.watch = nil
	log, err := os.ReadFile(filepath.Join(w.dir, "watch.log"))
	if err != nil || !strings.Contains(string(log), "goroutine ") {
		w.t.Errorf("no stacks in the log of the watch: %v", err)
	}
	w.check() // The next run clears away what it was killed in the middle of.
}

// history is one life of an agent, with all that a person may ask for between.
func (w *world) history(child bool) {
	w.plant()
	w.configure(child)
	if child {
		w.begin()
	} else {
		w.check()
	}
	w.until("the first config is proven", proven)
	w.views()

	steps := []func(){
		func() { // a new version, captured while all is well
			w.plant()
			w.check()
			w.views()
		},
		func() { // a guard objects, and a person accepts
			w.plant()
			w.write("a.json", fmt.Sprintf("{\"token\": \"[REDACTED]\", \"key\": %q}", w.value(inConfig, "beside a placeholder")))
			w.check()
			w.views()
			w.do("accept", "a")
		},
		func() { // broken under green, and then dead on it
			w.spoil()
			w.check()
			w.views()
			w.die()
			w.until("it is rolled back", up)
		},
		func() { // the agent spoils its own config and dies of it
			w.plant()
			w.write("config.yaml", string(w.now["config.yaml"])+"die: now # "+w.odd("what it died of")+"\n")
			w.die()
			w.until("it is rolled back", up)
			w.views()
		},
		func() { // the validator refuses, and says why at length
			w.write("config.yaml", string(w.now["config.yaml"])+"invalid: "+w.value(inConfig, "what the validator refuses")+"\n")
			w.check()
			w.die()
			w.until("it is rolled back", up)
		},
		func() { // nothing helps for a while
			w.must(os.WriteFile(filepath.Join(w.dir, "sick"), nil, 0o600))
			w.plant()
			w.die()
			for range 4 {
				w.check()
			}
			w.views()
			w.must(os.Remove(filepath.Join(w.dir, "sick")))
			w.until("it is up again", up)
		},
		func() { // it serves and cannot do its work
			w.must(os.WriteFile(filepath.Join(w.dir, "unready"), nil, 0o600))
			w.check()
			w.check()
			w.must(os.Remove(filepath.Join(w.dir, "unready")))
			w.until("it is ready again", up)
		},
		func() { // deadman's own config breaks beside values
			value := w.value(inConfig, "a broken drop-in")
			bad := []string{
				"agents:\n  b:\n    notify: [" + value + "\n", "agents:\n  b:\n    notfy: ['https://h/" + value + "']\n", "agents:\n  b:\n    ping: 'htp://" + value + "'\n",
				"agents:\n  b:\n    supervisor: {child: [x], env: {'A B': " + value + "}}\n", "agents:\n  b:\n    checks: {c: {http: {url: 'http://" + value + "@h/', headers: [" + value + "]}}}\n",
			}
			path := filepath.Join(w.dir, "conf.d/b.yaml")
			w.must(os.WriteFile(path, []byte(bad[w.r.IntN(len(bad))]), 0o600))
			for _, args := range [][]string{{"check"}, {"status"}, {"doctor"}, {"status", "--json"}} {
				if _, exit := w.run(nil, args...); exit == 0 && args[0] == "check" && w.watch == nil {
					w.t.Errorf("a broken drop-in is not noticed")
				}
			}
			w.must(os.Remove(path))
		},
		func() { // a person's words
			w.do("pause", "a", "1m")
			w.do("resume", "a")
			w.do("stop", "a")
			w.do("start", "a")
			w.plant()
			w.check()
			w.do("rollback", "a")
			w.do("restore", "a", "known-good")
			w.do("pin", "a", "known-good")
			w.until("it is up after all that was said", up)
			w.views()
		},
		func() { w.crash() },
	}
	w.r.Shuffle(len(steps)-1, func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, step := range steps {
		step()
	}
	w.run(nil, "rollback", "nobody")
	w.run(nil, "restore", "a", "no-such-snapshot")
	w.run(nil, "nonsense")
}

// TestSecrets plants values in whole histories, and finds them nowhere but where
// they may be. See the package's comment; `make secrets SEEDS=regexp`.
func TestSecrets(t *testing.T) {
	if os.Getenv("DEADMAN_RUN") != "secrets" {
		t.Skip("make secrets runs whole histories")
	}
	bin := *program
	if bin == "" {
		bin = filepath.Join(t.TempDir(), "deadman")
		build := exec.Command("go", "build", "-trimpath", "-o", bin, "deadman/cmd/deadman")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	var ran, values, places atomic.Int64
	var failed atomic.Bool
	t.Run("seed", func(t *testing.T) {
		for seed := 1; seed <= *histories; seed++ {
			t.Run(fmt.Sprintf("%02d", seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, uint64(seed), bin)
				w.history(seed%2 == 0)
				n := w.look()
				// A value that is put where none may be is found, or none of this counts.
				w.proveLooker()
				ran.Add(1)
				values.Add(int64(w.looker.count))
				places.Add(int64(n))
				if t.Failed() {
					failed.Store(true)
				}
			})
		}
	})
	if failed.Load() || t.Failed() {
		return
	}
	if ran.Load() == 0 {
		t.Fatal("no history has that seed")
	}
	fmt.Printf("secrets: %d histories, %d values, %d places, 0 found\n", ran.Load(), values.Load(), places.Load())
}

// proveLooker puts a value into each place of one kind that must not hold it.
func (w *world) proveLooker() {
	w.t.Helper()
	var any *planted
	for _, forms := range w.looker.forms {
		any = forms[0].value
		break
	}
	missed := 0
	for _, p := range w.places {
		if at := len(p.text) / 2; len(w.looker.look([]byte(string(p.text[:at])+any.core+string(p.text[at:])))) == 0 {
			missed++
		}
	}
	if missed > 0 {
		w.t.Errorf("a value that was put into %d of %d places was not found", missed, len(w.places))
	}
}
