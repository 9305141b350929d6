package simtest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// hook is a program for scripts: where messages and pings go. `hook PORT FILE`
// listens on a port of this machine and appends a line to FILE for each request
// that it takes: method, path and body. While FILE.status is there, the number in
// it is the answer, and the line goes to FILE.refused; 0 is none at all. The process whose pid is in FILE.kill is killed
// when a request has been taken, before it is answered.
func hook() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: hook PORT FILE")
		os.Exit(2)
	}
	file := os.Args[2]
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt)
	go func() {
		<-end
		os.Exit(0)
	}()
	var mu sync.Mutex
	err := http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := file
		if text, err := os.ReadFile(file + ".status"); err == nil {
			name += ".refused"
			status, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			if status == 0 {
				<-r.Context().Done()
			} else {
				w.WriteHeader(status)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if text, err := os.ReadFile(file + ".kill"); err == nil {
			defer func() {
				pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
				_ = syscall.Kill(pid, syscall.SIGKILL)
				_ = os.Remove(file + ".kill")
			}()
		}
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintf(f, "%s %s %s\n", r.Method, r.URL.RequestURI(), strings.ReplaceAll(string(body), "\n", " "))
	}))
	fmt.Fprintln(os.Stderr, "hook:", err)
	os.Exit(1)
}
