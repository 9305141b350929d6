//go:build linux && (amd64 || arm64)

package crash_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"deadman/internal/api"
	"deadman/internal/cli"
	"deadman/internal/simtest/crash"
	"deadman/internal/sink/notify"
)

// patience bounds whatever is waited for; passing never takes that long.
const patience = 30 * time.Second

// programs are what a world runs, built once.
type programs struct{ deadman, agent, shim string }

// build builds them. With an overlay they have a fault.
func build(dir, overlay string) (programs, error) {
	p := programs{filepath.Join(dir, "deadman"), filepath.Join(dir, "agent"), filepath.Join(dir, "shim")}
	for path, pkg := range map[string]string{
		p.deadman: "deadman/cmd/deadman", p.agent: "deadman/internal/simtest/agent/scripted", p.shim: "deadman/internal/simtest/crash/shim",
	} {
		cmd := exec.Command("go", "build", "-overlay", overlay, "-o", path, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("%v\n%s", err, out)
		}
	}
	return p, nil
}

// version is one whole config set. Every file of it differs from that of any other.
type version struct {
	name  string
	files map[string]string
}

// world is one agent, with its config, and deadman's state.
type world struct {
	programs
	dir   string
	port  int
	hook  *hook
	names []version
	// timeout is that of a probe.
	timeout string
}

// newWorld makes a world in dir.
func newWorld(dir string, p programs, timeout string) (*world, error) {
	w := &world{programs: p, dir: dir, timeout: timeout}
	var err error
	if w.port, err = freePort(); err != nil {
		return nil, err
	}
	if w.hook, err = newHook(); err != nil {
		return nil, err
	}
	for _, name := range []string{"log", "saved"} {
		if err := os.Mkdir(w.path(name), 0o755); err != nil {
			return nil, err
		}
	}
	return w, errors.Join(
		w.write("deadman.yaml", fmt.Sprintf(`
state-dir: %[1]s/state
request-log: %[1]s/log/request_log.db
agents:
  a:
    config: {root: %[1]s/etc, files: [config.yaml, "*.env", "conf.d/*.yaml"], settle: 0s}
    supervisor:
      command: {start: [%[1]s/start]}
      process: {pid-file: %[1]s/agent.pid}
    checks:
      http: {http: {url: "http://127.0.0.1:%[2]d/health"}}
    period: 1s
    timeout: %[3]s
    threshold: 2
    retry: 10ms
    gone-grace: 50ms
    kill-delay: 200ms
    probation: 1s
    healthy-deadline: 20s
    start-timeout: 5s
    retention: {newest: 3, proven: 1}
    notify: ["http://127.0.0.1:%[4]d/"]
`, dir, w.port, timeout, w.hook.port)),
		// It notes what it starts on, as one hash over the whole set.
		w.write("start", fmt.Sprintf(`#!/bin/sh
cd %[1]s/etc
cat config.yaml extra.env conf.d/tools.yaml 2>&1 | sha256sum >>%[1]s/starts
exec %[2]s -daemon -config %[1]s/etc/config.yaml -pid-file %[1]s/agent.pid
`, dir, p.agent)),
		os.Chmod(filepath.Join(dir, "start"), 0o755),
	)
}

func (w *world) close() {
	w.killAgent()
	w.hook.close()
	_ = os.RemoveAll(w.spool())
}

func (w *world) path(name ...string) string {
	return filepath.Join(append([]string{w.dir}, name...)...)
}

// spool is where root's deadman goes when the state directory takes nothing.
func (w *world) spool() string {
	sum := sha256.Sum256([]byte(w.path("state")))
	return filepath.Join("/run/deadman", hex.EncodeToString(sum[:8]))
}

func (w *world) write(name, text string) error {
	path := w.path(name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

// good is the n-th version that the agent starts on.
func (w *world) good(n int) version {
	return w.version(fmt.Sprint("good-", n), fmt.Sprintf("listen: 127.0.0.1:%d\nmodel: m%d\n", w.port, n))
}

// broken is one that it does not.
func (w *world) broken() version { return w.version("broken", "listen: [\n") }

func (w *world) version(name, config string) version {
	v := version{name, map[string]string{
		"config.yaml": config, "extra.env": "OF=" + name + "\n", "conf.d/tools.yaml": "of: " + name + "\n",
	}}
	if !slices.ContainsFunc(w.names, func(o version) bool { return o.name == name }) {
		w.names = append(w.names, v)
	}
	return v
}

// edit writes a version, as its user does.
func (w *world) edit(v version) error {
	var err error
	for name, text := range v.files {
		err = errors.Join(err, w.write(filepath.Join("etc", name), text))
	}
	return err
}

// setIn is the version that the files beneath a directory are; an error if they are
// none, or if there are other files.
func (w *world) setIn(dir string) (version, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		return version{}, err
	}
	for _, v := range w.names {
		if len(v.files) != len(files) {
			continue
		}
		same := true
		for name, text := range v.files {
			same = same && files[name] == text
		}
		if same {
			return v, nil
		}
	}
	return version{}, fmt.Errorf("a mixture: %q", files)
}

func (w *world) live() (version, error) { return w.setIn(w.path("etc")) }

// starts are the versions on which the agent was started, "" for what is none.
func (w *world) starts() []string {
	text, _ := os.ReadFile(w.path("starts"))
	var all []string
	for line := range strings.Lines(string(text)) {
		name := ""
		for _, v := range w.names {
			sum := sha256.Sum256([]byte(v.files["config.yaml"] + v.files["extra.env"] + v.files["conf.d/tools.yaml"]))
			if strings.HasPrefix(line, hex.EncodeToString(sum[:])) {
				name = v.name
			}
		}
		all = append(all, name)
	}
	return all
}

// run runs deadman, with nobody holding its calls.
func (w *world) run(args ...string) (stdout, stderr string, exit int, err error) {
	cmd := exec.Command(w.deadman, append(args, "--config", w.path("deadman.yaml"))...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, patience
	err = cmd.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = nil
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), err
}

// held runs deadman with its calls held.
func (w *world) held(decide func(int, crash.Held) crash.Verdict, args ...string) (crash.Outcome, error) {
	p := crash.Program{Path: w.deadman, Shim: w.shim, Patience: patience}
	return p.Run(decide, append(args, "--config", w.path("deadman.yaml"))...)
}

// check is a round that has to find or make all well.
func (w *world) check() error {
	stdout, stderr, exit, err := w.run("check", "-v")
	if err == nil && exit != 0 {
		err = fmt.Errorf("check exits %d: %s%s", exit, stdout, stderr)
	}
	return err
}

// ask runs a command that only reads. It is run by us, as the code is that we were
// built with: a fault that is planted in the program does not speak for itself.
func (w *world) ask(args ...string) (stdout, stderr string, exit int) {
	var out, errs strings.Builder
	exit = cli.Main(append(args, "--config", w.path("deadman.yaml")), strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), exit
}

// report is what status says of the agent.
func (w *world) report() (api.Agent, error) {
	out, stderr, _ := w.ask("status", "--json")
	var r api.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Agents) != 1 {
		return api.Agent{}, fmt.Errorf("status: %v: %s%s", err, out, stderr)
	}
	return r.Agents[0], nil
}

// until waits for a condition; the last error says why it did not come to that.
func until(cond func() error) error {
	deadline := time.Now().Add(patience)
	for pace := 5 * time.Millisecond; ; pace = min(2*pace, 200*time.Millisecond) {
		err := cond()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pace)
	}
}

// startAgent starts it by hand, and returns when it answers.
func (w *world) startAgent() error {
	if out, err := exec.Command(w.path("start")).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	return until(w.answers)
}

func (w *world) answers() error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/health", w.port))
	if err != nil {
		return err
	}
	resp.Body.Close()
	// The pid file comes right before the first answer.
	_, err = os.Stat(w.path("agent.pid"))
	return err
}

// agents are its processes that live.
func (w *world) agents() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// One that has ended and is not waited for has no arguments any more.
		argv, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if strings.Contains(string(argv), "\x00"+w.path("etc/config.yaml")+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *world) killAgent() {
	for pids := w.agents(); len(pids) > 0; pids = w.agents() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// kept is what a world is saved as.
var kept = []string{"etc", "state", "log"}

// save keeps the world as it is, its agent dead.
func (w *world) save() error {
	w.killAgent()
	for _, name := range kept {
		out, err := exec.Command("cp", "-a", w.path(name), w.path("saved", name)).CombinedOutput()
		if err != nil && !errors.Is(statErr(w.path(name)), fs.ErrNotExist) {
			return fmt.Errorf("%v: %s", err, out)
		}
	}
	return nil
}

func statErr(path string) error { _, err := os.Stat(path); return err }

// reset brings back what was saved.
func (w *world) reset() error {
	w.killAgent()
	w.hook.reset()
	for _, name := range append([]string{"starts", "agent.pid"}, kept...) {
		if err := os.RemoveAll(w.path(name)); err != nil {
			return err
		}
	}
	_ = os.RemoveAll(w.spool())
	for _, name := range kept {
		if errors.Is(statErr(w.path("saved", name)), fs.ErrNotExist) {
			continue
		}
		if out, err := exec.Command("cp", "-a", w.path("saved", name), w.path(name)).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %s", err, out)
		}
	}
	return nil
}

var lastPort atomic.Int64

// freePort is one that no other world gets, below those that the kernel gives to
// outgoing connections.
func freePort() (int, error) {
	for range 100 {
		port := 10000 + (os.Getpid()*397+int(lastPort.Add(1)))%20000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("cannot find a free port in a hundred tries")
}

// hook takes messages.
type hook struct {
	port   int
	server *http.Server

	mu   sync.Mutex
	down bool
	got  []notify.Message
}

func newHook() (*hook, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hook{port: l.Addr().(*net.TCPAddr).Port}
	h.server = &http.Server{Handler: h}
	go func() { _ = h.server.Serve(l) }()
	return h, nil
}

func (h *hook) close() { _ = h.server.Close() }

func (h *hook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m notify.Message
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if err == nil {
		h.got = append(h.got, m)
	}
}

func (h *hook) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

func (h *hook) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down, h.got = false, nil
}

// messages are how often each message of an event came, by its key.
func (h *hook) messages(event notify.Event) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]int{}
	for _, m := range h.got {
		if m.Event == event {
			all[m.Key]++
		}
	}
	return all
}
