package supervisor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners,
		owner{form: "docker", kind: "stand-in", install: installEngine, restarts: true, counts: true, givesUp: true},
		owner{form: "docker", kind: "real podman", program: "podman", install: installPodman, restarts: true, counts: true},
	)
}

// shortDir is a directory whose path is short enough for a unix socket in it.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "deadman")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// engine is a stand-in for a container engine, written from the documentation of
// the Docker Engine API: inspect, start, stop, events, and the restart policy
// on-failure:2. Its container has no walls.
type engine struct {
	argv []string

	sync.Mutex
	cmd                   *exec.Cmd
	over                  chan struct{}
	status                string
	code                  int
	startedAt, finishedAt time.Time
	restarts              int
	manual                bool
	stops                 []time.Time
}

const engineID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// run starts the container's process. The lock is held.
func (e *engine) run() {
	e.cmd = exec.Command(e.argv[0], e.argv[1:]...)
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if e.cmd.Start() != nil {
		return
	}
	over := make(chan struct{})
	e.status, e.startedAt, e.over = "running", time.Now().UTC(), over
	cmd := e.cmd
	go func() {
		cmd.Wait()
		e.Lock()
		defer e.Unlock()
		defer close(over)
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		e.code = ws.ExitStatus()
		if ws.Signaled() {
			e.code = 128 + int(ws.Signal())
		}
		e.status, e.finishedAt = "exited", time.Now().UTC()
		if e.manual || e.code == 0 || e.restarts >= 2 {
			return
		}
		e.status = "restarting"
		time.AfterFunc(100*time.Millisecond, func() {
			e.Lock()
			defer e.Unlock()
			if e.status == "restarting" {
				e.restarts++
				e.run()
			}
		})
	}()
}

func (e *engine) stop(patience time.Duration) {
	e.Lock()
	e.manual = true
	if e.status == "restarting" {
		e.status = "exited"
	}
	over, cmd, runs := e.over, e.cmd, e.status == "running"
	e.Unlock()
	if !runs {
		return
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-over:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-over
	}
	e.Lock()
	defer e.Unlock()
	e.stops = append(e.stops, time.Now())
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /containers/agent/json":
		e.Lock()
		defer e.Unlock()
		pid := 0
		if e.status == "running" {
			pid = e.cmd.Process.Pid
		}
		json.NewEncoder(w).Encode(map[string]any{
			"Id": engineID, "RestartCount": e.restarts,
			"State": map[string]any{
				"Status": e.status, "Running": e.status == "running", "Pid": pid, "ExitCode": e.code,
				"Error": "", "OOMKilled": false, "StartedAt": e.startedAt, "FinishedAt": e.finishedAt,
			},
			"HostConfig": map[string]any{"RestartPolicy": map[string]any{"Name": "on-failure", "MaximumRetryCount": 2}},
		})
	case "POST /containers/agent/start":
		e.Lock()
		defer e.Unlock()
		if e.status == "running" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		e.manual, e.restarts = false, 0
		e.run()
		w.WriteHeader(http.StatusNoContent)
	case "POST /containers/agent/stop":
		seconds, err := strconv.Atoi(r.FormValue("t"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.stop(time.Duration(seconds) * time.Second)
		w.WriteHeader(http.StatusNoContent)
	case "GET /events":
		var filters map[string][]string
		since, err1 := strconv.ParseFloat(r.FormValue("since"), 64)
		until, err2 := strconv.ParseFloat(r.FormValue("until"), 64)
		err3 := json.Unmarshal([]byte(r.FormValue("filters")), &filters)
		if err := errors.Join(err1, err2, err3); err != nil || !slices.Equal(filters["event"], []string{"stop"}) || !slices.Equal(filters["container"], []string{engineID}) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.Lock()
		defer e.Unlock()
		for _, at := range e.stops {
			if s := float64(at.UnixNano()) / 1e9; s >= since && s <= until {
				json.NewEncoder(w).Encode(map[string]any{"Type": "container", "Action": "stop", "timeNano": at.UnixNano()})
			}
		}
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"No such container"}`)
	}
}

func installEngine(t *testing.T, dir string, argv []string) ways {
	socket := shortDir(t) + "/docker.sock"
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{argv: argv, status: "created"}
	server := http.Server{Handler: e}
	go server.Serve(listener)
	t.Cleanup(func() {
		server.Close()
		e.stop(0)
	})
	return ways{
		owner:  &supervisor.Docker{Container: "agent", Socket: socket},
		person: func(*testing.T) { e.stop(5 * time.Second) },
		vanish: func(*testing.T) {
			e.Lock()
			defer e.Unlock()
			e.manual = true // Nobody is there to bring it back.
			server.Close()
		},
	}
}

// installPodman makes a container with the machine's own programs in it, in
// directories of its own, and serves the API for it. Where no container can be
// run it skips: in a container, or without the rights.
func installPodman(t *testing.T, dir string, argv []string) ways {
	if os.Geteuid() != 0 {
		t.Skip("not root: a podman of this user's would leave a process behind")
	}
	home := shortDir(t)
	podman := []string{
		"podman", "--root", home + "/root", "--runroot", home + "/run", "--tmpdir", home + "/tmp",
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
	}
	// crun does not run where there is a cgroup2 with controllers beside others.
	if path, err := exec.LookPath("runc"); err == nil {
		podman = append(podman, "--runtime", path)
	}
	try := func(args ...string) {
		t.Helper()
		cmd := exec.Command(podman[0], slices.Concat(podman[1:], args)...)
		cmd.Env = quiet()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("podman cannot %s here: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() {
		exec.Command(podman[0], slices.Concat(podman[1:], []string{"rm", "--all", "--force", "--time", "0"})...).Run()
		// What podman has left to clean up after itself would make files again.
		eventually(t, "podman is done", func() bool {
			table, err := proc.Scan()
			return err == nil && len(table.Where(func(s proc.Stat) bool {
				argv, _ := proc.Argv(s.PID)
				return strings.Contains(strings.Join(argv, " "), home+"/")
			})) == 0
		})
	})
	empty := filepath.Join(home, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "-cf", home+"/image.tar", "-C", empty, ".")
	try("import", "--quiet", home+"/image.tar", "empty")
	args := []string{
		"create", "--name", "agent", "--network", "host", "--restart", "on-failure",
		// What podman would set may be more than it may set.
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
		"--volume", dir + ":" + dir, "--volume", filepath.Dir(argv[0]) + ":" + filepath.Dir(argv[0]) + ":ro",
	}
	for _, path := range []string{"/usr", "/lib", "/lib64"} {
		if _, err := os.Stat(path); err == nil {
			args = append(args, "--volume", path+":"+path+":ro")
		}
	}
	try(slices.Concat(args, []string{"empty"}, argv)...)
	try("start", "agent")
	try("stop", "--time", "1", "agent")
	os.Remove(dir + "/up")
	vanish := daemon(t, slices.Concat(podman, []string{"system", "service", "--time", "0", "unix://" + home + "/socket"})...)
	d := &supervisor.Docker{Container: "agent", Socket: home + "/socket"}
	f := &supervisor.Owned{Owner: d, StateDir: home}
	eventually(t, "podman answers", func() bool { return inspect(t, f).Presence == deadman.Gone })
	return ways{owner: d, vanish: vanish}
}

// What an engine may say besides.
func TestDockerStates(t *testing.T) {
	t.Parallel()
	self, err := proc.Look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)
	for name, c := range map[string]struct {
		state, policy string
		count         int
		want          supervisor.Inspection
	}{
		"paused": {
			state: fmt.Sprintf(`{"Status":"paused","Pid":%d,"StartedAt":%q}`, self.PID, proc.WallOf(self.Start, time.Now(), proc.Uptime()).UTC().Format(time.RFC3339Nano)),
			want:  supervisor.Inspection{Presence: deadman.Running},
		},
		"another machine's pid": {
			state: fmt.Sprintf(`{"Status":"running","Pid":%d,"StartedAt":%q}`, self.PID, long),
			want:  supervisor.Inspection{Presence: deadman.Obscured},
		},
		"out of memory": {
			state: `{"Status":"exited","ExitCode":137,"OOMKilled":true,"StartedAt":"` + long + `","FinishedAt":"` + long + `"}`,
			want:  supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 137", Result: "oom-kill"},
		},
		"stopped, or the policy would have brought it back": {
			state: `{"Status":"exited","ExitCode":0,"StartedAt":"` + long + `"}`, policy: `{"Name":"unless-stopped"}`,
			want: supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 0", Stopped: true},
		},
		"the engine could not start it": {
			state: `{"Status":"exited","ExitCode":127,"Error":"no such file","StartedAt":"` + long + `"}`, policy: `{"Name":"always"}`,
			want: supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 127"},
		},
		"restarting": {
			state: `{"Status":"restarting","ExitCode":1,"StartedAt":"` + long + `"}`, count: 7,
			want: supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 1", Activating: true, Restarts: 7},
		},
		"given up": {
			state: `{"Status":"exited","ExitCode":1,"StartedAt":"` + long + `"}`, policy: `{"Name":"on-failure","MaximumRetryCount":3}`, count: 3,
			want: supervisor.Inspection{Presence: deadman.Gone, Exit: "exit 1", Latched: "on-failure:3", Restarts: 3},
		},
		"created":     {state: `{"Status":"created"}`, want: supervisor.Inspection{Presence: deadman.Gone, Stopped: true}},
		"a new state": {state: `{"Status":"hibernating"}`, want: supervisor.Inspection{Presence: deadman.Obscured}},
	} {
		t.Run(name, func(t *testing.T) {
			home := shortDir(t)
			listener, err := net.Listen("unix", home+"/socket")
			if err != nil {
				t.Fatal(err)
			}
			if c.policy == "" {
				c.policy = `{"Name":"no"}`
			}
			server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/containers/agent/json" {
					fmt.Fprintf(w, `{"Id":"x-y-z","RestartCount":%d,"State":%s,"HostConfig":{"RestartPolicy":%s}}`, c.count, c.state, c.policy)
				}
			})}
			go server.Serve(listener)
			defer server.Close()
			got := inspect(t, &supervisor.Owned{Owner: &supervisor.Docker{Container: "agent", Socket: home + "/socket"}, StateDir: home})
			if got.Presence != c.want.Presence || got.Exit != c.want.Exit || got.Result != c.want.Result || got.Stopped != c.want.Stopped ||
				got.Activating != c.want.Activating || got.Latched != c.want.Latched || got.Restarts != c.want.Restarts {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
		})
	}
}
