package powerloss_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "deadman/internal/simtest/powerloss"
)

// patience is for whatever has to come in the end, on a machine that is busy.
const patience = 60 * time.Second

// programs are what a world runs.
type programs struct{ deadman, agent, inside string }

// newPrograms builds deadman with these flags of go build.
func newPrograms(t *testing.T, flags ...string) programs {
	t.Helper()
	dir := t.TempDir()
	p := programs{filepath.Join(dir, "deadman"), filepath.Join(dir, asAgent), filepath.Join(dir, asInside)}
	build := exec.Command("go", append(append([]string{"build", "-o", p.deadman}, flags...), "deadman/cmd/deadman")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(self, p.agent), os.Symlink(self, p.inside)); err != nil {
		t.Fatal(err)
	}
	return p
}

// world is an agent, and a deadman that has its config, etc, and its state on a
// file system that logs.
type world struct {
	t *testing.T
	programs
	dir, mount string // mount holds etc, state and what else a deed needs
	port       int
	fs         *FS
	env        []string
	config     config
	marks      []mark
	watched    []string // further files that a command writes
	written    []written
	broken     []string // what a deed itself has found
	engine     *engine
	server     interface{ Unmount() error }
}

// config is what deadman.yaml says of the agent a, and what a deed is about.
type config struct {
	Files      string // a YAML list
	Supervisor string
	More       string
	// About is a place: what became of one operation alone is tried of those there,
	// and left to the other deeds elsewhere. "" is everywhere.
	About string
}

// mark is a moment between two commands.
type mark struct {
	at     int    // after so many operations
	what   string // was done last
	edited bool   // not by deadman: a loss before it is not of interest
}

// written is what somebody wrote, durably, and only he has: it must stay.
type written struct {
	at   int // after so many operations
	path string
	sum  [sha256.Size]byte
}

// files are a set, by path beneath the root.
type files map[string]string

func newWorld(t *testing.T, p programs, c config, removed string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, programs: p, dir: dir, mount: filepath.Join(dir, "m"), fs: NewFS(), config: c}
	if err := os.Mkdir(w.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"), removedEnv+"="+removed)
	server, err := w.fs.Mount(w.mount)
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	t.Cleanup(func() {
		w.kill()
		if err := server.Unmount(); err != nil {
			_ = syscall.Unmount(w.mount, unmountDetach)
		}
		// What root spools for this state directory (daemon.Open).
		sum := sha256.Sum256([]byte(filepath.Join(w.mount, "state")))
		_ = os.RemoveAll(filepath.Join("/run/deadman", hex.EncodeToString(sum[:8])))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	w.configure()
	w.edit("the beginning", func() error { return os.Mkdir(filepath.Join(w.mount, "etc"), 0o755) })
	return w
}

const unmountDetach = 2 // MNT_DETACH

func (w *world) configure() {
	w.t.Helper()
	supervisor := w.config.Supervisor
	switch supervisor {
	case "child":
		supervisor = fmt.Sprintf(" {child: [%s, -config, %s/etc/config.yaml]}", w.agent, w.mount)
	case "docker":
		w.engine, supervisor = newEngine(w)
		supervisor = fmt.Sprintf(" {docker: a, socket: %s}", supervisor)
	case "":
		supervisor = fmt.Sprintf(`
      command: {start: [%s, -daemon, -config, %s/etc/config.yaml, -pid-file, %s]}
      process: {pid-file: %[3]s}`, w.agent, w.mount, w.pidFile())
	}
	text := fmt.Sprintf(`
state-dir: %[1]s/state
request-log: %[1]s/state/request_log.db
agents:
  a:
    config: {root: %[1]s/etc, files: %[2]s, settle: 0s}
    supervisor:%[3]s
    checks:
      http: {http: {url: "http://127.0.0.1:%[4]d/health"}}
    period: 1s
    threshold: 2
    retry: 10ms
    gone-grace: 50ms
    probation: 1s
    healthy-deadline: 30s
    kill-delay: 1s
%[5]s
`, w.mount, w.config.Files, supervisor, w.port, w.config.More)
	if err := os.WriteFile(w.yaml(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) yaml() string { return filepath.Join(w.dir, "deadman.yaml") }

// good is a config that the agent starts on; model tells versions apart.
func (w *world) good(model string) string {
	return fmt.Sprintf("listen: 127.0.0.1:%d\nmodel: %s\n", w.port, model)
}

// mark ends what one command did.
func (w *world) mark(what string) { w.marks = append(w.marks, mark{at: w.fs.Len(), what: what}) }

// onward has only what comes now judged: what led here is another deed.
func (w *world) onward() { w.marks = w.marks[len(w.marks)-1:] }

// edit is done by a person whose editor syncs all.
func (w *world) edit(what string, do func() error) {
	w.t.Helper()
	if err := do(); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	w.fs.SyncAll()
	w.marks = append(w.marks, mark{at: w.fs.Len(), what: what, edited: true})
}

// put makes the config this set.
func (w *world) put(what string, set files) {
	w.t.Helper()
	w.edit(what, func() error {
		etc := filepath.Join(w.mount, "etc")
		entries, err := os.ReadDir(etc)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(etc, e.Name())))
		}
		return errors.Join(err, set.write(etc))
	})
}

func (set files) write(dir string) (err error) {
	for name, text := range set {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(target, path))
			continue
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		err = errors.Join(err, os.WriteFile(path, []byte(text), mode))
	}
	return err
}

// run runs deadman and returns what it said and its exit status.
func (w *world) run(args ...string) (string, int) {
	w.t.Helper()
	cmd := exec.Command(w.deadman, append([]string{args[0], "--config", w.yaml()}, args[1:]...)...)
	cmd.Env = w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// do runs deadman, which must exit 0 and so has promised what it did.
func (w *world) do(args ...string) {
	w.t.Helper()
	if out, exit := w.run(args...); exit != 0 {
		w.t.Fatalf("deadman %s: exit %d\n%s", strings.Join(args, " "), exit, out)
	}
	w.mark("deadman " + strings.Join(args, " "))
}

// prove runs rounds until what is live is proven.
func (w *world) prove() {
	w.t.Helper()
	w.await("the proof", func() bool {
		out, exit := w.run("check", "a")
		if exit != 0 {
			w.t.Fatalf("deadman check: exit %d\n%s", exit, out)
		}
		w.mark("deadman check")
		out, _ = w.run("status", "--json")
		live := strings.Index(out, `"live":`)
		return live > 0 && strings.Contains(out[live:], `"standing":"proven"`)
	})
}

func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it never came to %s", what)
		}
	}
}

func (w *world) pidFile() string { return filepath.Join(w.dir, "agent.pid") }

// begin has the agent begin, as its owner would.
func (w *world) begin() error {
	_ = os.Remove(w.pidFile())
	cmd := exec.Command(w.agent, "-daemon", "-config", filepath.Join(w.mount, "etc/config.yaml"), "-pid-file", w.pidFile())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// start waits until it has begun.
func (w *world) start() {
	w.t.Helper()
	if err := w.begin(); err != nil {
		w.t.Fatal(err)
	}
	w.await("a pid file", func() bool { text, err := os.ReadFile(w.pidFile()); return err == nil && len(text) > 0 })
}

// moment calls do once, at the first change by a process of a path of which is says
// so, right before it: see [FS.Race].
func (w *world) moment(is func(path string) bool, do func(pid uint32, path string)) {
	w.fs.Race = func(pid uint32, path string) {
		if is(path) {
			w.fs.Race = nil
			do(pid, path)
		}
	}
}

// somebody writes text in place, durably, in the moment in which deadman moves path.
func (w *world) somebody(path, text string, then func(pid uint32, path string)) {
	w.moment(func(at string) bool { return at == path }, func(pid uint32, path string) {
		w.written = append(w.written, written{w.fs.Overwrite(path, []byte(text)), path, sha256.Sum256([]byte(text))})
		if then != nil {
			then(pid, path)
		}
	})
}

// die kills a process, which ends as soon as its system call has.
func die(pid uint32, _ string) { _ = syscall.Kill(int(pid), syscall.SIGKILL) }

// happened makes sure that the moment came.
func (w *world) happened() {
	w.t.Helper()
	if w.fs.Race != nil {
		w.t.Fatal("the moment never came")
	}
}

// dies runs deadman, which is killed.
func (w *world) dies(args ...string) {
	w.t.Helper()
	if out, exit := w.run(args...); exit != -1 {
		w.t.Fatalf("deadman %s was not killed: exit %d\n%s", strings.Join(args, " "), exit, out)
	}
	w.happened()
}

// kill kills whatever has a file of this world among its arguments.
func (w *world) kill() {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		alive := false
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			argv, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
			if strings.Contains(string(argv), w.dir+"/") && !strings.Contains(string(stat), ") Z ") {
				alive = true
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if !alive || time.Now().After(end) {
			return
		}
	}
}
