package powerloss_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// engine is a container engine that owns the agent. What it was told to stop it
// does not start again by itself, at a reboot neither.
type engine struct {
	w *world
	// told is after how many operations it was told to stop the agent, 0 for never.
	told atomic.Int64
}

// newEngine returns one that answers at the socket, in a directory whose name is
// short enough.
func newEngine(w *world) (e *engine, socket string) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		w.t.Fatal(err)
	}
	e, socket = &engine{w: w}, filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(listener) }()
	w.t.Cleanup(func() {
		server.Close()
		os.RemoveAll(dir)
	})
	return e, socket
}

func (e *engine) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + r.URL.Path {
	case "GET /containers/a/json":
		state := map[string]any{"Status": "exited", "ExitCode": 1}
		if p, ok := e.w.process(); ok {
			state = map[string]any{"Status": "running", "Pid": p.PID, "StartedAt": proc.WallOf(p.Start, time.Now(), proc.Uptime())}
		}
		err = json.NewEncoder(rw).Encode(map[string]any{"Id": "a", "State": state})
	case "POST /containers/a/stop":
		e.told.CompareAndSwap(0, int64(e.w.fs.Len()))
		if p, ok := e.w.process(); ok {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	case "POST /containers/a/start":
		err = e.w.begin()
	case "GET /events": // none
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
	if err != nil {
		rw.WriteHeader(http.StatusInternalServerError)
	}
}

// process is the agent's, if it runs.
func (w *world) process() (p deadman.Process, ok bool) {
	text, err := os.ReadFile(w.pidFile())
	if err != nil {
		return p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return p, false
	}
	p, err = proc.Look(pid)
	return p, err == nil
}
