package supervisor_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deadman/internal/supervisor"
)

// The test binary plays three parts besides its own: the shim, the agent, and a
// deadman that is killed while it starts one.
func TestMain(m *testing.M) {
	// Built with -race, a program sleeps for a second when it ends, unless told.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "launchctl" {
		os.Exit(launchctl(os.Args[2:]))
	}
	if order := os.Getenv("TEST_STARTER"); order != "" {
		starter(order)
	}
	os.Setenv("NOTIFY_SOCKET", "/dev/null")
	// They wait for owners that take their time, and need no core for that.
	flag.Parse()
	flag.Set("test.parallel", "16")
	status := m.Run()
	for n, verdict := range verdicts {
		if verdict != "" { // -run left it out
			fmt.Printf("%-11s × %-11s %s\n", owners[n].form, owners[n].kind, verdict)
		}
	}
	os.Exit(status)
}

// agent is a program with the habits of real ones.
func agent(args []string) int {
	f := flag.NewFlagSet("agent", flag.ExitOnError)
	port := f.Int("port", 0, "listen there")
	fd := f.Int("fd", 0, "keep a socket that was inherited as this descriptor")
	pidFile := f.String("pid-file", "", "write it")
	jsonFile := f.Bool("json", false, "write the pid file as json")
	stubborn := f.Bool("stubborn", false, "ignore SIGTERM")
	orphan := f.Bool("orphan", false, "have a child in a session of its own that keeps the port")
	unmarked := f.Bool("unmarked", false, "give the child an empty environment")
	twice := f.Bool("twice", false, "have that child made by one that ends")
	worker := f.Bool("worker", false, "have a child with the same arguments")
	daemonize := f.Bool("daemonize", false, "go on in a detached process")
	broken := f.String("broken", "", "end at once with status 3 if that file is there")
	code := f.Int("exit", -1, "end at once with this status")
	f.Parse(args)

	self, _ := os.Executable()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if *stubborn {
		signal.Ignore(syscall.SIGTERM)
	}
	if *code >= 0 {
		return *code
	}
	if _, err := os.Stat(*broken); err == nil {
		return 3
	}
	if *daemonize {
		cmd := exec.Command(self, "agent")
		for _, a := range args {
			if a != "-daemonize" {
				cmd.Args = append(cmd.Args, a)
			}
		}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if *fd != 0 {
			cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(*fd), "socket")}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if cmd.Start() != nil {
			return 9
		}
		return 0
	}
	var socket *os.File
	if *port != 0 {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(*port))
		if err != nil {
			return 8
		}
		socket, _ = listener.(*net.TCPListener).File()
	}
	if *fd != 0 {
		socket = os.NewFile(uintptr(*fd), "socket")
	}
	if *orphan {
		cmd := exec.Command(self, "agent", "-fd", "3")
		if *twice {
			cmd.Args = append(cmd.Args, "-daemonize")
		}
		cmd.ExtraFiles = []*os.File{socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if *unmarked {
			cmd.Env = []string{"A=B"}
		}
		if cmd.Start() != nil || *twice && cmd.Wait() != nil {
			return 7
		}
	}
	if *worker && os.Getenv("WORKER") == "" {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), "WORKER=1")
		if cmd.Start() != nil {
			return 6
		}
	}
	fmt.Println("agent is up")
	if *pidFile != "" {
		text := fmt.Sprintf("%d\n/some/dir\n", os.Getpid())
		if *jsonFile {
			b, _ := json.Marshal(map[string]any{"kind": "agent", "pid": os.Getpid()})
			text = string(b)
		}
		if os.WriteFile(*pidFile+".new", []byte(text), 0o600) != nil || os.Rename(*pidFile+".new", *pidFile) != nil {
			return 5
		}
	}
	<-term
	return 0
}

// starter is a deadman that starts a child and says so on stdout, if it lives to.
func starter(order string) {
	var c supervisor.Child
	if json.Unmarshal([]byte(order), &c) != nil {
		os.Exit(9)
	}
	p, err := c.Start(context.Background(), "attempt-1")
	fmt.Println(p.PID, err)
	select {}
}

var lastPort atomic.Int64

// freePort is a port that nobody listens on and no other test gets. It is below
// those that the kernel gives out by itself.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		port := 20000 + (os.Getpid()*97+int(lastPort.Add(1)))%10000
		// Or a child that another test forks now would hold it for a moment longer.
		syscall.ForkLock.RLock()
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			listener.Close()
		}
		syscall.ForkLock.RUnlock()
		if err == nil {
			return port
		}
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually waits for a condition. It asks ever less often: each question to a real
// owner is work for it, and a dozen tests that ask podman without a pause keep it
// from what they wait for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	pause := 2 * time.Millisecond
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		pause = min(pause*5/4, 100*time.Millisecond)
	}
}

func listens(port int) bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err == nil {
		conn.Close()
	}
	return err == nil
}
