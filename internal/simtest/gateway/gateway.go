// Package gateway is the scripted agent of the replayed incidents: a small real
// HTTP server that reads a real config, with a knob for each thing that agents
// did in them. It knows nothing of deadman.
package gateway

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// agent is a gateway that runs.
type agent struct {
	knobFile string
	config   atomic.Pointer[tree] // what it runs on, whatever is on disk
	stuck    atomic.Bool
	spoilt   atomic.Bool
	locked   atomic.Bool // its token was not the one that is good now
}

// Main runs the agent, `gateway KNOBFILE`, and never returns. `gateway -t KNOBFILE
// FILE` only says whether the file would do as its config.
func Main() {
	if os.Args[1] == "-t" {
		test(os.Args[2], os.Args[3])
	}
	a := &agent{knobFile: os.Args[1]}
	if os.Getenv("GATEWAY_DAEMON") == "0" {
		a.daemonize()
	}
	if err := a.run(); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// test judges a file as a start would.
func test(knobFile, file string) {
	k, err := readKnobs(knobFile)
	if err == nil {
		k["config"] = [][]string{{file}}
		_, err = load(k)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// daemonize starts the same agent in a session of its own and leaves.
func (a *agent) daemonize() {
	cmd := again("GATEWAY_DAEMON=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// again is this program with something more in its environment.
func again(variable string) *exec.Cmd {
	self, _ := os.Executable()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), variable)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

func (a *agent) run() error {
	k, err := readKnobs(a.knobFile)
	if err != nil {
		return err
	}
	worker := os.Getenv("GATEWAY_WORKER") == "1"
	if !worker {
		if err := a.begin(k); err != nil {
			return err
		}
	}
	if err := a.take(k); err != nil {
		return err
	}
	if k.has("needs-provider") {
		if answer := a.provider(k); answer != "ok" {
			return fmt.Errorf("the provider answers %s", answer)
		}
	}
	if k.has("forks") && !worker {
		return a.master(k)
	}
	listener, err := net.Listen("tcp", k.word("listen", 0))
	if err != nil {
		return err
	}
	if !worker {
		if err := a.serving(k); err != nil {
			return err
		}
	}
	go a.live(k)
	return http.Serve(listener, a.handler())
}

// begin is what comes before the config is read.
func (a *agent) begin(k knobs) error {
	if err := appendLine(k.word("starts", 0), strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	if k.has("lock") {
		lock, err := os.OpenFile(k.word("lock", 0), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("another instance is running: %v", err)
		}
		if err := lock.Close(); err != nil {
			return err
		}
	}
	if k.has("breaker") {
		had, _ := os.ReadFile(k.word("breaker", 1))
		if strings.Count(string(had), "\n") >= k.number("breaker") {
			return fmt.Errorf("crash breaker: %d starts without a second of health; remove %s", k.number("breaker"), k.word("breaker", 1))
		}
		return appendLine(k.word("breaker", 1), "started")
	}
	return nil
}

// take loads the config for a start.
func (a *agent) take(k knobs) error {
	t, err := load(k)
	switch {
	case err != nil && k.has("lenient"):
		fmt.Fprintf(os.Stderr, "gateway: %v; running on defaults\n", err)
		t = tree{"provider": "default"}
	case err != nil:
		return err
	}
	a.config.Store(&t)
	if k.has("stamps") {
		if err := a.count(k, k.word("stamps", 0)); err != nil {
			return err
		}
	}
	if k.has("rotates") {
		token, _ := os.ReadFile(k.word("rotates", 1))
		good, _ := os.ReadFile(k.word("rotates", 2))
		a.locked.Store(string(token) != string(good))
	}
	time.Sleep(k.duration("slow"))
	return nil
}

// serving is what comes once the port is held.
func (a *agent) serving(k knobs) error {
	if file := k.word("pid-file", 0); file != "" {
		if err := replace(file, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
			return err
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		for range ended {
			if k, err := readKnobs(a.knobFile); err == nil && !k.has("deaf") && !a.stuck.Load() {
				_ = os.Remove(k.word("lock", 0))
				os.Exit(0)
			}
		}
	}()
	if k.has("breaker") {
		time.AfterFunc(time.Second, func() { _ = os.Remove(k.word("breaker", 1)) })
	}
	return nil
}

// master has a worker serve, which outlives it if it is killed.
func (a *agent) master(k knobs) error {
	worker := again("GATEWAY_WORKER=1")
	if err := worker.Start(); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		_ = worker.Process.Kill()
		os.Exit(0)
	}()
	if file := k.word("pid-file", 0); file != "" {
		if err := replace(file, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
			return err
		}
	}
	return worker.Wait()
}

// moment is how often a running agent looks at its knobs.
const moment = 10 * time.Millisecond

// live does what an agent does by itself while it runs.
func (a *agent) live(started knobs) {
	began, repaired := time.Now(), false
	last, _ := os.ReadFile(started.word("config", 0))
	var since struct{ reload, write, rotate time.Duration }
	for range time.Tick(moment) {
		k, err := readKnobs(a.knobFile)
		if err != nil {
			continue
		}
		if after, _ := time.ParseDuration(k.word("exit", 1)); k.has("exit") && time.Since(began) >= after {
			_ = os.Remove(k.word("lock", 0))
			os.Exit(k.number("exit"))
		}
		if after, _ := time.ParseDuration(k.word("panics", 1)); k.has("panics") && time.Since(began) >= after && a.provider(k) != "ok" {
			a.repair(k, "panics")
			os.Exit(1)
		}
		if k.has("repairs") && !repaired && a.provider(k) != "ok" {
			a.repair(k, "repairs")
			repaired = true
		}
		due := func(spent *time.Duration, knob string) bool {
			*spent += moment
			if !k.has(knob) || *spent < k.duration(knob) {
				return false
			}
			*spent = 0
			return true
		}
		if due(&since.reload, "reload") {
			last = a.reload(k, last)
		}
		if due(&since.write, "writes") {
			_ = a.count(k, k.word("writes", 1))
		}
		if due(&since.rotate, "rotates") && !a.locked.Load() {
			a.rotate(k)
		}
	}
}

// reload takes a config that has changed, if it is good.
func (a *agent) reload(k knobs, last []byte) []byte {
	text, err := os.ReadFile(k.word("config", 0))
	if err != nil || string(text) == string(last) {
		return last
	}
	t, err := load(k)
	switch {
	case a.spoilt.Load():
		return text
	case err == nil:
		a.config.Store(&t)
	case k.has("stuck"):
		a.stuck.Store(true)
	default:
		fmt.Fprintf(os.Stderr, "gateway: reload refused: %v\n", err)
		a.spoilt.Store(k.has("spoilt"))
	}
	return text
}
