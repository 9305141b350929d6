package simtest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/cli"
	"deadman/internal/proc"
	"deadman/internal/simtest/agent"
	"deadman/internal/supervisor"
)

func TestMain(m *testing.M) {
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	// Or every program that ends takes a second more under -race.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	// Scripts mostly wait for others: for deadlines, and for each other's agents.
	if set := flag.Lookup("test.parallel"); !slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "test.parallel") }) {
		_ = set.Value.Set("12")
	}
	testscript.Main(m, map[string]func(){
		"deadman": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"dm": func() {
			args := append([]string{os.Args[1], "--config", "deadman.yaml"}, os.Args[2:]...)
			os.Exit(cli.Main(args, os.Stdin, os.Stdout, os.Stderr))
		},
		"agent": agent.Main,
		"hook":  hook,
	})
}

// TestScripts runs testdata/script/*.txt: the real program, real agents, real
// files. A script finds a deadman.yaml (agent a, by command and pid file, short
// times; testdata/deadman.yaml) and a good etc/config.yaml unless it brings its
// own; $PORT and $HOOK are ports of its own, and $SHORT a directory with a short path. `dm`
// is deadman with that config, hook a server that takes messages. Further commands:
//
//	subst FILE...            expand $VARIABLES in files
//	await URL [STATUS]       until it answers so (200)
//	gone PIDFILE             until that process is gone
//	kill9 PIDFILE            kill that process, and wait for its end
//	awaitout TEXT CMD...     until the output of a command holds the text
//	awaitcount N TEXT CMD... until the text occurs so often in the output
//	count N TEXT             the regexp matches so many lines of stdout
//	proven AGENT             check until what is live is proven
//	incident AGENT           set $INCIDENT to the id of its last incident
//	memcg MIB                make a control group with this limit, and set $CGROUP to it
//	oldest AGENT             set $SNAPSHOT to the id of the oldest snapshot
//	descriptors PIDFILE      that process has no descriptor of anybody else's
//	status N CMD...          the command exits with this status
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestScenarios runs those that take longer, testdata/scenario/*.txt.
func TestScenarios(t *testing.T) {
	asked(t, "scenarios")
	runScripts(t, "testdata/scenario")
}

// asked skips unless DEADMAN_RUN has this word, as in `make test-WORD`.
func asked(t *testing.T, word string) {
	t.Helper()
	if !slices.Contains(strings.Fields(os.Getenv("DEADMAN_RUN")), word) {
		t.Skipf("`make test-%s` runs it", word)
	}
}

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			port, err := freePort()
			if err != nil {
				return err
			}
			env.Setenv("PORT", strconv.Itoa(port))
			if port, err = freePort(); err != nil {
				return err
			}
			env.Setenv("HOOK", strconv.Itoa(port))
			docs, err := filepath.Abs("../../docs")
			if err != nil {
				return err
			}
			env.Setenv("DOCS", docs)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state-home"))
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			short, err := os.MkdirTemp("", "dm")
			if err != nil {
				return err
			}
			env.Setenv("SHORT", short)
			env.Defer(func() {
				removeContainers(short)
				_ = os.RemoveAll(short)
				sweep(env.WorkDir)
				unmount(env.WorkDir)
				// What root spooled for this state directory (daemon.Open).
				sum := sha256.Sum256([]byte(filepath.Join(env.WorkDir, "state")))
				_ = os.RemoveAll(filepath.Join("/run/deadman", hex.EncodeToString(sum[:8])))
			})
			return errors.Join(
				os.Mkdir(filepath.Join(env.WorkDir, "run"), 0o700),
				provide(env, "testdata/deadman.yaml", "deadman.yaml"),
				provideConfig(env),
			)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "container": // podman may run one
				return required() && runsContainers(), nil
			case "mount": // may mount a file system
				return os.Geteuid() == 0 && exec.Command("unshare", "--mount", "true").Run() == nil, nil
			case "netns": // may have a network of its own
				return os.Geteuid() == 0 && exec.Command("unshare", "--net", "ip", "link", "add", "a", "type", "veth", "peer", "name", "b").Run() == nil, nil
			case "memcg": // may make a control group that limits memory
				return memoryGroup(filepath.Join(t.TempDir(), "cgroup")) != "", nil
			}
			if program, ok := programs[cond]; ok {
				_, err := exec.LookPath(program)
				if err != nil && slices.Contains(strings.Fields(os.Getenv("DEADMAN_REQUIRE")), cond) {
					return false, err
				}
				return required() && err == nil, nil
			}
			return false, fmt.Errorf("no such condition")
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"subst":       subst,
			"await":       await,
			"gone":        gone,
			"kill9":       kill9,
			"awaitout":    awaitOut,
			"proven":      proven,
			"awaitcount":  awaitCount,
			"count":       count,
			"oldest":      oldest,
			"incident":    incident,
			"memcg":       memcg,
			"status":      exitStatus,
			"descriptors": descriptors,
		},
	})
}

// runsContainers reports whether podman can run a container: it must be there, and
// neither be kept from it by what is missing in a sandbox, nor be a user's, which
// would leave a process behind.
var runsContainers = sync.OnceValue(func() bool {
	if os.Geteuid() != 0 {
		return false
	}
	dir, err := os.MkdirTemp("", "deadman")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	return exec.Command("sh", "testdata/container", dir).Run() == nil
})

// removeContainers removes what a script has left in a podman of its own.
func removeContainers(dir string) {
	if _, err := os.Stat(filepath.Join(dir, "root")); err == nil {
		_ = exec.Command("podman", "--root", dir+"/root", "--runroot", dir+"/run", "--tmpdir", dir+"/tmp",
			"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "rm", "--all", "--force", "--time", "0").Run()
		// What podman has left to clean up after itself would make files again.
		busy := func() bool {
			table, err := proc.Scan()
			return err == nil && len(table.Where(func(s proc.Stat) bool {
				argv, _ := proc.Argv(s.PID)
				return strings.Contains(strings.Join(argv, " "), dir+"/")
			})) > 0
		}
		for deadline := time.Now().Add(patience); busy() && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// required reports whether scripts with programs of others are asked for: they take
// their time, and have make targets of their own, which set DEADMAN_REQUIRE.
func required() bool { return os.Getenv("DEADMAN_REQUIRE") != "" }

// programs are the conditions that hold where a program is installed and such
// scripts are required. Where DEADMAN_REQUIRE lists one, it must be installed.
var programs = map[string]string{"nginx": "nginx", "runit": "runsv", "supervisord": "supervisord", "tmux": "tmux"}

// provide expands a file of ours into the script's directory, unless the script
// brought its own.
func provide(env *testscript.Env, source, name string) error {
	path := filepath.Join(env.WorkDir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile(source)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(os.Expand(string(text), env.Getenv)), 0o644)
}

// provideConfig gives a script without an etc directory the good config.
func provideConfig(env *testscript.Env) error {
	_, err := os.Stat(filepath.Join(env.WorkDir, "etc"))
	_, own := os.Stat(filepath.Join(env.WorkDir, "etc", "conf.d", "one.yaml"))
	if err == nil && own != nil {
		return nil
	}
	return provide(env, "testdata/config.yaml", "etc/config.yaml")
}

// patience bounds what a script waits for; passing never takes that long, not even on
// a machine that is ten times slower.
const patience = 2 * time.Minute

var lastPort atomic.Int64

// freePort is one that no other script gets, and hardly another test's process. It
// is below those that the kernel gives to outgoing connections: an agent that is
// down would lose such a port to any connection that is made meanwhile, even to one
// that asks for this very port.
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

func subst(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		text, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(text), ts.Getenv)), 0o600))
	}
}

// until polls for cond, ever more slowly: most conditions run a program, and the
// scripts beside this one want to run theirs.
func until(ts *testscript.TestScript, what string, cond func() bool) {
	deadline := time.Now().Add(patience)
	for pace := 5 * time.Millisecond; !cond(); pace = min(2*pace, 200*time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(pace)
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	status := http.StatusOK
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		status = n
	}
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	until(ts, args[0], func() bool {
		resp, err := client.Get(args[0])
		if err != nil {
			return neg
		}
		resp.Body.Close()
		return resp.StatusCode == status != neg
	})
}

func pidIn(ts *testscript.TestScript, name string) int {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(name)))
	ts.Check(err)
	return pid
}

func gone(ts *testscript.TestScript, neg bool, args []string) {
	pid := pidIn(ts, args[0])
	until(ts, "the end of "+args[0], func() bool { return !runs(pid) })
}

// runs reports whether a process is there and is no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// kill9 kills the process whose pid is in a file and waits for its end.
func kill9(ts *testscript.TestScript, neg bool, args []string) {
	pid := pidIn(ts, args[0])
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	until(ts, "its end", func() bool { return !runs(pid) })
}

// output runs a command in the script's environment and returns its stdout. It
// is for what is run again and again, and leaves nothing in the script's log.
func output(ts *testscript.TestScript, argv ...string) string {
	path, err := exec.LookPath(argv[0])
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, argv[0]); err != nil && executable(p) {
			path, err = p, nil
		}
	}
	ts.Check(err)
	cmd := exec.Command(path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "WORK", "PORT", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR", "GORACE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, _ := cmd.Output()
	return string(out)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

func awaitOut(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, args[0], func() bool { return strings.Contains(output(ts, args[1:]...), args[0]) != neg })
}

func awaitCount(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	until(ts, strings.Join(args[:2], " times "), func() bool {
		return strings.Count(output(ts, args[2:]...), args[1]) >= n
	})
}

func count(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	n := 0
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if pattern.MatchString(line) {
			n++
		}
	}
	if strconv.Itoa(n) != args[0] {
		ts.Fatalf("%d lines match %s", n, args[1])
	}
}

func incident(ts *testscript.TestScript, neg bool, args []string) {
	id := ""
	for line := range strings.Lines(output(ts, "dm", "history", args[0], "--json")) {
		var e api.Entry
		ts.Check(json.Unmarshal([]byte(line), &e))
		if e.Incident != "" {
			id = e.Incident
		}
	}
	if id == "" {
		ts.Fatalf("%s had no incident", args[0])
	}
	ts.Setenv("INCIDENT", id)
}

func oldest(ts *testscript.TestScript, neg bool, args []string) {
	var all []api.Snapshot
	ts.Check(json.Unmarshal([]byte(output(ts, "dm", "snapshots", args[0], "--json")), &all))
	ts.Setenv("SNAPSHOT", all[len(all)-1].ID)
}

// exitStatus runs a command that must end with this status.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("cannot run %s: %v", args[1], err)
	}
	ts.Logf("[exit status %d]", got)
	if got != want {
		ts.Fatalf("it ended with status %d, not %d", got, want)
	}
}

// proven checks until the live config is the proven known good, as cron would.
func proven(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, "proof", func() bool {
		output(ts, "dm", "check", args[0])
		var report api.Report
		ts.Check(json.Unmarshal([]byte(output(ts, "dm", "status", args[0], "--json")), &report))
		a := report.Agents[0]
		return a.KnownGood != nil && a.KnownGood.Standing == deadman.Proven && a.Live.Hash == a.KnownGood.Hash
	})
}

// descriptors lists what a process has open, beside sockets and what is nobody
// else's (an epoll of its own): "0 /dev/null".
func descriptors(ts *testscript.TestScript, neg bool, args []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pidIn(ts, args[0]))
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		ts.Check(err)
		own := strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "anon_inode:[event") ||
			strings.HasPrefix(target, "/sys/fs/cgroup/") // Go's runtime, in the agent itself
		if fd, err := strconv.Atoi(entry.Name()); err != nil || fd > 2 && !own {
			ts.Fatalf("it has descriptor %s open, which is %s", entry.Name(), target)
		}
		if entry.Name() == "0" && target != os.DevNull {
			ts.Fatalf("its stdin is %s", target)
		}
		if strings.HasPrefix(target, "pipe:") {
			ts.Fatalf("its descriptor %s is a pipe", entry.Name())
		}
	}
}

// unmount takes down what a script has mounted beneath its directory.
func unmount(dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], 2) // MNT_DETACH
		}
	}
}

// sweep ends whatever a script left running: everything whose working
// directory or arguments are in the script's directory.
func sweep(dir string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		env, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if strings.HasPrefix(cwd+"/", dir+"/") || (strings.Contains(string(env), dir+"/") || strings.Contains(string(env), dir+"\x00")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
