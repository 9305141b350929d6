// Package agent is a scripted agent: a small real HTTP server with a YAML
// config, and knobs for what agents in real incidents did. It knows nothing of
// deadman.
package agent

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
)

// settings is the agent's config. Any other key ends it at start, as strict
// agents do (incident 1).
type settings struct {
	Listen   string          `yaml:"listen"`
	Provider string          `yaml:"provider"`
	Model    string          `yaml:"model"`
	Token    string          `yaml:"token"`
	Stamp    int             `yaml:"stamp"`
	Seen     map[string]bool `yaml:"seen"`
}

// knobs are the agent's flags.
type knobs struct {
	config, pidFile, need, cascade, starts, broken, hoard string
	daemon, stamp, deaf, sick, reload                     bool
	after                                                 int
	slow                                                  time.Duration
}

// Main runs the agent and never returns.
func Main() {
	var k knobs
	flag.StringVar(&k.config, "config", "config.yaml", "the config `FILE`")
	flag.StringVar(&k.pidFile, "pid-file", "", "write the pid to `FILE`")
	flag.StringVar(&k.need, "need", "", "a second `FILE` without which it does not start")
	flag.StringVar(&k.starts, "starts", "", "append a line to `FILE` at every start")
	flag.StringVar(&k.broken, "broken", "", "do not start while `FILE` exists, whatever the config")
	flag.StringVar(&k.hoard, "hoard", "", "when `FILE` appears: take it away, and take memory without end")
	flag.StringVar(&k.cascade, "cascade", "", "while `FILE` exists: after some answers corrupt the config and die")
	flag.IntVar(&k.after, "after", 5, "so many answers, for -cascade")
	flag.BoolVar(&k.daemon, "daemon", false, "go into the background")
	flag.BoolVar(&k.stamp, "stamp", false, "count starts in the config")
	flag.BoolVar(&k.sick, "sick", false, "say so on /health")
	flag.BoolVar(&k.deaf, "deaf", false, "ignore SIGTERM")
	flag.BoolVar(&k.reload, "reload", false, "at SIGHUP read the config anew, and end if that is no good")
	flag.DurationVar(&k.slow, "slow", 0, "wait before listening")
	flag.Parse()
	if k.daemon && os.Getenv("AGENT_DAEMON") == "" {
		daemonize()
	}
	if err := run(k); err != nil {
		fail(err)
	}
	os.Exit(0)
}

// daemonize starts the same agent in a session of its own, and leaves when that
// serves, or is slow about it. It fails if that has ended.
func daemonize() {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	begun, tell, err := os.Pipe()
	if err != nil {
		fail(err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "AGENT_DAEMON=1")
	cmd.ExtraFiles = []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fail(err)
	}
	tell.Close()
	if _, err := begun.Read(make([]byte, 1)); err != nil {
		fail(errors.New("the daemon has ended at once"))
	}
	os.Exit(0)
}

// begun tells whoever has made a daemon of us, once, that he may leave.
var begun = sync.OnceFunc(func() {
	if os.Getenv("AGENT_DAEMON") != "" {
		tell := os.NewFile(3, "whoever started us")
		_, _ = tell.Write([]byte{'.'})
		_ = tell.Close()
	}
})

func fail(err error) {
	fmt.Fprintln(os.Stderr, "agent:", err)
	os.Exit(1)
}

func run(k knobs) error {
	if k.starts != "" {
		f, err := os.OpenFile(k.starts, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintln(f, os.Getpid())
		f.Close()
	}
	if k.broken != "" {
		if _, err := os.Stat(k.broken); err == nil {
			return errors.New("it is broken today")
		}
	}
	s, err := load(k.config)
	if err != nil {
		return err
	}
	if k.need != "" {
		if _, err := os.Stat(k.need); err != nil {
			return err
		}
	}
	if k.stamp {
		s.Stamp++
		if err := save(k.config, s); err != nil {
			return err
		}
	}
	if k.slow > 0 {
		begun()
		time.Sleep(k.slow)
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	if k.pidFile != "" {
		if err := os.WriteFile(k.pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return err
		}
	}
	if k.deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	begun()
	if k.hoard != "" {
		go hoard(k.hoard)
	}
	var handler atomic.Value
	handler.Store(k.handler(s))
	if k.reload {
		go k.reloads(&handler)
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.Load().(http.Handler).ServeHTTP(w, r)
	}))
}

// reloads takes the config anew at each SIGHUP. One that it cannot read ends it.
func (k knobs) reloads(handler *atomic.Value) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	for range hup {
		s, err := load(k.config)
		if err != nil {
			fail(err)
		}
		handler.Store(k.handler(s))
	}
}

// hoard waits for a file, removes it, and takes memory until it is killed.
func hoard(file string) {
	for os.Remove(file) != nil {
		time.Sleep(10 * time.Millisecond)
	}
	for all := [][]byte{}; len(all) < 1024; {
		some := make([]byte, 1<<20)
		for i := range some {
			some[i] = 1 // A page that is not written takes no memory.
		}
		all = append(all, some)
	}
	os.Exit(1) // Nobody has killed it.
}

// handler serves /health (it serves), /ready (its provider is not "down") and
// /model (what it runs on, which is what it loaded and not what is on disk).
func (k knobs) handler(s settings) http.Handler {
	var answers atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if k.sick {
			http.Error(w, "sick", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
		if k.cascade == "" {
			return
		}
		if _, err := os.Stat(k.cascade); err == nil && int(answers.Add(1)) >= k.after {
			// A provider error, "repaired" by the agent itself.
			text := fmt.Sprintf("listen: %s\nprovider: [broken at %d\n", s.Listen, os.Getpid())
			_ = os.WriteFile(k.config, []byte(text), 0o644)
			os.Exit(1)
		}
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if s.Provider == "down" {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/model", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.Model) })
	return mux
}

func load(path string) (settings, error) {
	var s settings
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err = decoder.Decode(&s)
	return s, err
}

// save writes the config by rename, keeping its mode.
func save(path string, s settings) error {
	text, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := os.WriteFile(path+".tmp", text, mode); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
