package secrets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take on a machine that is busy.
const patience = 60 * time.Second

// world is one machine with one agent, in a directory.
type world struct {
	t        *testing.T
	r        *rand.Rand
	dir, bin string
	port     int
	looker   *looker
	now      map[string][]byte // the config set as it was written last
	watch    *exec.Cmd         // nil if there is none

	mu     sync.Mutex
	places []place
	stop   chan struct{}
	all    sync.WaitGroup
}

// place is something that deadman has said, and which kinds of values it may hold.
type place struct {
	name string
	text []byte
	may  []kind
}

func (w *world) saw(name string, text []byte, may ...kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places = append(w.places, place{name, text, may})
}

// value plants a new value.
func (w *world) value(k kind, what string) string {
	p := &planted{kind: k, what: what, core: newCore(w.r)}
	w.looker.add(p)
	return p.core
}

// odd is a value with characters around it that encodings change.
func (w *world) odd(what string) string {
	around := []string{"", "p@ss/", "a+b=", "é ", "<&>", "100% "}
	return around[w.r.IntN(len(around))] + w.value(inConfig, what) + around[w.r.IntN(len(around))]
}

func newWorld(t *testing.T, seed uint64, bin string) *world {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 5)), dir: t.TempDir(), bin: bin, looker: newLooker(),
		now: map[string][]byte{}, stop: make(chan struct{}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.port = l.Addr().(*net.TCPAddr).Port
	w.must(l.Close())
	for _, dir := range []string{"home", "tmp", "run", "user", "conf.d"} {
		w.must(os.Mkdir(filepath.Join(w.dir, dir), 0o700))
	}
	w.all.Go(w.spy)
	t.Cleanup(func() {
		if w.watch != nil {
			_ = w.watch.Process.Kill()
			_ = w.watch.Wait()
		}
		close(w.stop)
		w.all.Wait()
		for _, pid := range w.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// mark is in the environment of everything that a history starts.
func (w *world) mark() string { return "SECRETS_OF=" + w.dir }

func (w *world) env() []string {
	return []string{
		w.mark(), "PATH=" + os.Getenv("PATH"), "HOME=" + w.dir + "/user", "TMPDIR=" + w.dir + "/tmp", "XDG_RUNTIME_DIR=" + w.dir + "/run",
		"GOTRACEBACK=all", // the most that a crash may say
	}
}

// pids are the processes that belong to this world.
func (w *world) pids() []int {
	var found []int
	names, _ := os.ReadDir("/proc")
	for _, name := range names {
		var pid int
		if _, err := fmt.Sscan(name.Name(), &pid); err != nil || pid == os.Getpid() {
			continue
		}
		if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && bytes.Contains(env, []byte(w.mark()+"\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

// spy looks again and again at what the processes of this world show to others:
// their command lines and environments.
func (w *world) spy() {
	shown := map[string]bool{}
	for {
		for _, pid := range w.pids() {
			for _, name := range []string{"cmdline", "environ", "comm"} {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
				if err != nil || shown[name+string(text)] {
					continue
				}
				shown[name+string(text)] = true
				var may []kind
				if name == "environ" && bytes.Contains(text, []byte("DEADMAN_START=")) {
					may = append(may, given) // the agent's own
				}
				w.saw(fmt.Sprintf("/proc/PID/%s of %.40q", name, text), text, may...)
			}
		}
		select {
		case <-w.stop:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// target is a server that messages and pings go to.
func (w *world) target() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var head bytes.Buffer
		_ = r.Header.Write(&head)
		w.saw("the body that a target got", body)
		w.saw("the headers that a target got", head.Bytes())
		w.saw("the path that a target got", []byte(r.URL.String()), sent)
		if w.flaky() {
			http.Error(out, "no: "+r.URL.String()+string(body), http.StatusBadGateway)
		}
	})}
	go func() { _ = server.Serve(l) }()
	w.t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

func (w *world) flaky() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(4) == 0
}

// run runs deadman, and keeps what it says. may is what its output may hold.
func (w *world) run(may []kind, args ...string) (string, int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin, append(args, "--config", filepath.Join(w.dir, "deadman.yaml"))...)
	cmd.Env, cmd.Dir = w.env(), w.dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	_ = cmd.Run()
	if ctx.Err() != nil {
		w.t.Fatalf("deadman %s does not end", strings.Join(args, " "))
	}
	w.saw("stdout of deadman "+strings.Join(args, " "), out.Bytes(), may...)
	w.saw("stderr of deadman "+strings.Join(args, " "), said.Bytes())
	return out.String() + said.String(), cmd.ProcessState.ExitCode()
}

// do runs deadman, which may not refuse the command as wrong.
func (w *world) do(args ...string) string {
	w.t.Helper()
	text, exit := w.run(nil, args...)
	if exit == 2 {
		w.t.Errorf("deadman %s: exit 2\n%s", strings.Join(args, " "), text)
	}
	return text
}

// check makes one round: by check itself, which asks the watch if there is one.
func (w *world) check() int {
	_, exit := w.run(nil, "check", "-v")
	return exit
}

// until repeats check until something holds.
func (w *world) until(what string, holds func(status string) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		w.check()
		status := w.do("status", "--json")
		if holds(status) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: never\n%s", what, status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// look judges all places, and files: what deadman has left anywhere but in the
// store. It returns how many places there were.
func (w *world) look() int {
	w.t.Helper()
	allowed := func(rel string) []kind {
		switch {
		case strings.HasPrefix(rel, "state/agents/a/snapshots/"), strings.HasPrefix(rel, "state/agents/a/plan.d/"),
			strings.HasPrefix(rel, "home/"), rel == "deadman.yaml", strings.HasPrefix(rel, "conf.d/"), strings.HasPrefix(rel, "as-user/"):
			return []kind{inConfig, printed, sent, given}
		case strings.HasPrefix(rel, "state/agents/a/incidents/"), rel == "state/agents/a/output.log", rel == "agent.log":
			return []kind{printed}
		}
		return nil
	}
	for _, top := range []string{w.dir, "/run/deadman"} {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			rel, _ := filepath.Rel(w.dir, path)
			text := []byte(d.Name())
			if d.Type().IsRegular() {
				content, err := os.ReadFile(path)
				if err != nil {
					return nil
				}
				text = append(append(text, '\n'), content...)
			} else if target, err := os.Readlink(path); err == nil {
				text = append(append(text, '\n'), target...)
			}
			if strings.HasPrefix(rel, "home/") && strings.Contains(d.Name(), ".deadman-") {
				w.t.Errorf("left behind: %s", rel)
			}
			w.saw("the file "+rel, text, allowed(rel)...)
			return nil
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	where := map[kind]int{}
	for _, p := range w.places {
		for _, v := range w.looker.look(p.text) {
			if containsKind(p.may, v.kind) {
				where[v.kind]++
				continue
			}
			w.t.Errorf("a value planted in %s (%s) is in %s", v.what, v.kind, p.name)
		}
	}
	// Where a value may be it is found: the looker sees what is there.
	for _, k := range []kind{inConfig, printed, sent} {
		if where[k] == 0 {
			w.t.Errorf("no value of the kind %q was found where it may be: nothing was looked at", k)
		}
	}
	return len(w.places)
}

func containsKind(all []kind, k kind) bool {
	for _, one := range all {
		if one == k {
			return true
		}
	}
	return false
}
