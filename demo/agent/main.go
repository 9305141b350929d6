// Command agent is the agent that the demo guards: a small gateway that does
// what real ones do.
//
// It is strict when it starts, and exits with status 1 on a config it cannot
// read or a key it does not know. Once it runs it never looks at the file again,
// so it stays green whatever becomes of it. It writes to its own config: a
// counter, which is harmless, and after a provider error a "repair", which is
// not. It has no idea that it is guarded.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
)

// config is the file. A key that is not here keeps the agent from starting.
type config struct {
	Listen   string `yaml:"listen"`
	Provider string `yaml:"provider"`
	Model    string `yaml:"model"`
	// Seen counts the requests served; the agent writes it itself.
	Seen int `yaml:"seen"`
}

func load(path string) (config, error) {
	var c config
	text, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("cannot read the config: %v", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return config{}, fmt.Errorf("cannot load %s: %v", path, err)
	}
	if c.Listen == "" || c.Provider == "" || c.Model == "" {
		return config{}, fmt.Errorf("cannot load %s: listen, provider and model are required", path)
	}
	return c, nil
}

// agent serves from the config it has in memory.
type agent struct {
	path string

	mu     sync.Mutex
	config config
}

func (a *agent) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.health)
	mux.HandleFunc("GET /ready", a.health) // a real one would ask its provider
	mux.HandleFunc("POST /chat", a.chat)
	mux.HandleFunc("POST /break", a.repair)
	return mux
}

func (a *agent) health(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"status": "ok", "pid": os.Getpid(), "provider": a.config.Provider, "model": a.config.Model, "seen": a.config.Seen,
	})
}

var counter = regexp.MustCompile(`(?m)^seen:.*$`)

// chat serves a request and counts it in the file, comments and all left alone.
func (a *agent) chat(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config.Seen++
	text, err := os.ReadFile(a.path)
	if err == nil {
		err = replace(a.path, counter.ReplaceAll(text, fmt.Appendf(nil, "seen: %d", a.config.Seen)))
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("cannot count: %v", err), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%s: hello (request %d)\n", a.config.Model, a.config.Seen)
}

// repair is what the agent takes for one when its provider fails. The list is
// never closed, so the file is no YAML any more, and nobody notices before the
// next start.
func (a *agent) repair(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := fmt.Sprintf(`# repaired automatically after provider error 529 (overloaded)
listen: %s
provider: %s
fallback: [%s, backup-provider
seen: %d
`, a.config.Listen, a.config.Provider, a.config.Provider, a.config.Seen)
	if err := os.WriteFile(a.path, []byte(text), 0o600); err != nil {
		http.Error(w, fmt.Sprintf("cannot repair: %v", err), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "provider error 529: config repaired")
}

func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// call makes one request and prints the answer, so that the demo needs no curl.
func call(method, url string) error {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot %s %s: %s", method, url, answer.Status)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func run() error {
	path := flag.String("config", "config.yaml", "the config `file`")
	method := flag.String("call", "", "be a client instead: send a request of this `method` to the URL that follows")
	flag.Parse()
	if *method != "" {
		return call(*method, flag.Arg(0))
	}
	c, err := load(*path)
	if err != nil {
		return err
	}
	a := &agent{path: *path, config: c}
	server := &http.Server{Addr: c.Listen, Handler: a.routes(), ReadHeaderTimeout: 5 * time.Second}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	fmt.Fprintf(os.Stderr, "agent: serving %s on %s\n", c.Model, c.Listen)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		os.Exit(1)
	}
}
