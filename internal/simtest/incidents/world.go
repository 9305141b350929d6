package incidents

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"time"
)

const (
	// Period is that of everybody who looks at the agent from time to time.
	Period = time.Second
	// patience is how long the harness waits for what must come.
	patience = 30 * time.Second
	// poll paces the harness' own looks.
	poll = 5 * time.Millisecond
)

// World is what a scenario happens in: a directory with the config in etc/, the
// agent's knobs, and what the agent writes in run/.
type World struct {
	Scenario *Scenario
	Dir      string
	// Port is the agent's, Other one for a program beside it.
	Port, Other int
	// Programs has the programs of the suite: deadman and gateway.
	Programs string

	system  System
	witness *witness
	// seen is how we know a process of the agent's, where it runs in a machine that
	// numbers them for itself; nil where it does not.
	seen    func(pid int) int
	first   int // the pid of the agent's first process
	thief   net.Listener
	rival   func()   // ends it
	trouble []string // steps that did not come about
}

// NewWorld lays out a directory for a scenario.
func NewWorld(s *Scenario, dir, programs string) (*World, error) {
	w := &World{Scenario: s, Dir: dir, Programs: programs}
	var err error
	if s.Volume != "" {
		if err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+s.Volume, "tmpfs", dir).Run(); err != nil {
			return nil, fmt.Errorf("cannot mount a file system: %v", err)
		}
	}
	if w.Port, err = freePort(); err != nil {
		return nil, err
	}
	if w.Other, err = freePort(); err != nil {
		return nil, err
	}
	for _, sub := range []string{"etc", "run", "state"} {
		if err := os.MkdirAll(w.Path(sub), 0o755); err != nil {
			return nil, err
		}
	}
	for name := range s.Files {
		if slices.ContainsFunc(slices.Concat(s.Set, s.Exclude), func(p string) bool { ok, _ := filepath.Match(p, name); return ok }) {
			if err := w.put("etc/"+name, s.Files[name], 0o644); err != nil {
				return nil, err
			}
		}
	}
	for _, given := range s.Given {
		if err := steps[given[0]](w, given[1:]); err != nil {
			return nil, fmt.Errorf("%s: %v", strings.Join(given, " "), err)
		}
	}
	return w, w.turn("knobs")
}

// turn makes a file of the scenario the agent's knobs. What every agent needs is
// added.
func (w *World) turn(variant string) error {
	common := "config " + w.Path("etc", w.Scenario.Set[0]) + "\n" +
		fmt.Sprintf("listen 127.0.0.1:%d\n", w.Port) +
		"pid-file " + w.Path("run", "pid") + "\nstarts " + w.Path("run", "starts") + "\nown " + w.Path("run", "own") + "\n"
	temporary := w.Path("run", "knobs.tmp")
	if err := os.WriteFile(temporary, []byte(common+w.expand(w.Scenario.Files[variant])), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, w.Path("run", "knobs"))
}

// Path is a path in the world's directory.
func (w *World) Path(elements ...string) string {
	return filepath.Join(append([]string{w.Dir}, elements...)...)
}

// Agent is the agent's command line.
func (w *World) Agent() []string {
	return []string{filepath.Join(w.Programs, "gateway"), w.Path("run", "knobs")}
}

// Daemon is a command line that starts the agent in the background and returns.
func (w *World) Daemon() []string {
	return append([]string{"env", "GATEWAY_DAEMON=0"}, w.Agent()...)
}

func (w *World) expand(text string) string {
	// Any other $ is the agent's business.
	return strings.NewReplacer("$DIR", w.Dir, "$PORT", strconv.Itoa(w.Port), "$OTHER", strconv.Itoa(w.Other),
		"$PROGRAMS", w.Programs).Replace(text)
}

// put writes a file by rename, keeping what mode it has.
func (w *World) put(name, text string, mode os.FileMode) error {
	path := w.Path(name)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temporary, []byte(w.expand(text)), mode); err != nil {
		return err
	}
	if err := os.Chmod(temporary, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// variant is the text of a file of the scenario.
func (w *World) variant(name string) string { return w.expand(w.Scenario.Files[name]) }

// client gives up soon: what hangs is not well.
var client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// answers asks the agent.
func (w *World) answers(path, expects string) bool {
	response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", w.Port, path))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK && strings.Contains(string(body), expects)
}

// well reports whether the agent can do its work.
func (w *World) well() bool {
	expects := ""
	if e := w.Scenario.Expects; e != nil {
		expects = fmt.Sprintf("%q: %q", e[0], e[1])
	}
	return w.pid() > 0 && w.answers("/health", expects) && (!w.Scenario.Ready || w.answers("/ready", ""))
}

// pid is that of the agent's process, 0 if it does not live.
func (w *World) pid() int {
	text, err := os.ReadFile(w.Path("run", "pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if w.seen != nil {
		pid = w.seen(pid)
	}
	if !lives(pid) {
		return 0
	}
	return pid
}

// lives reports whether a process is there and no zombie.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest != "" && rest[0] != 'Z'
}

// until waits for what must come, and notes when it does not.
func (w *World) until(what string, limit time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(poll) {
		if time.Now().After(deadline) {
			w.trouble = append(w.trouble, what+" did not come")
			return false
		}
	}
	return true
}

// Run plays the scenario under a system and judges it.
func (w *World) Run(ctx context.Context, system System) (Verdict, error) {
	w.system = system
	defer w.sweep()
	defer system.End(w)
	if err := system.Begin(w); err != nil {
		return Verdict{}, fmt.Errorf("cannot begin %s: %v", system.Name(), err)
	}
	if peer, ok := system.(Peer); !w.until("the first start", patience, w.well) && ok {
		return Verdict{}, fmt.Errorf("cannot judge %s: under it the agent does not start", peer.Name())
	}
	w.first = w.pid()
	w.until("the first proof", patience, func() bool { return system.Ready(w) })
	w.witness = newWitness(w)
	defer w.witness.stop()
	for _, step := range w.Scenario.Steps {
		if err := ctx.Err(); err != nil {
			return Verdict{}, err
		}
		if err := steps[step[0]](w, step[1:]); err != nil {
			return Verdict{}, fmt.Errorf("%s: %v", strings.Join(step, " "), err)
		}
	}
	w.witness.mark()
	return w.judge(), nil
}

// sweep kills what is left of the agent.
func (w *World) sweep() {
	if w.thief != nil {
		_ = w.thief.Close()
	}
	if w.rival != nil {
		w.rival()
	}
	for range 3 {
		for _, pid := range w.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if w.Scenario.Volume != "" {
		_ = exec.Command("umount", "--lazy", w.Dir).Run()
	}
}

// processes are those that have the world's directory in their command line.
func (w *World) processes() []int {
	names, _ := os.ReadDir("/proc")
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join("/proc", name.Name(), "cmdline"))
		if strings.Contains(string(argv), w.Dir+"/") && lives(pid) && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// command is a program with its output in run/NAME.log.
func (w *World) command(name string, argv ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(w.Path("run", name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = w.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// run runs a program to its end. Its exit status is its own business.
func (w *World) run(name string, argv ...string) error {
	cmd, err := w.command(name, argv...)
	if err != nil {
		return err
	}
	defer cmd.Stdout.(*os.File).Close()
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// begin starts a program that stays, and returns how to end it.
func (w *World) begin(name string, argv ...string) (end func(), err error) {
	cmd, err := w.command(name, argv...)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_ = cmd.Stdout.(*os.File).Close()
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}, nil
}

// ports are those that were given out: many worlds take theirs at the same time.
var ports sync.Map

func freePort() (int, error) {
	// Below the ephemeral range, where no connection of somebody's may sit.
	for range 1000 {
		port := 10000 + int(time.Now().UnixNano()/1000%20000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = listener.Close()
			if _, taken := ports.LoadOrStore(port, true); !taken {
				return port, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return 0, errors.New("cannot find a free port")
}

// runsv has runit's runsv own the agent, as it does in a service directory.
func runsv(w *World) (end func(), err error) {
	if err := os.MkdirAll(w.Path("service"), 0o755); err != nil {
		return nil, err
	}
	script := "#!/bin/sh\nexec " + strings.Join(w.Agent(), " ") + " 2>&1\n"
	if err := os.WriteFile(w.Path("service", "run"), []byte(script), 0o755); err != nil {
		return nil, err
	}
	return w.begin("runsv", "runsv", w.Path("service"))
}
