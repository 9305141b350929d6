package proc_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// The test binary plays the processes that the tests look at.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST_PART") {
	case "":
		os.Exit(m.Run())
	case "parent": // of a process that waits
		cmd := exec.Command(os.Args[0], "child")
		cmd.Stdin = os.Stdin
		cmd.Env = append(os.Environ(), "PROC_TEST_PART=wait")
		cmd.Stdin = os.Stdin // or it would end at once
		cmd.Start()
		wait()
	case "named": // as badly as it can be
		os.WriteFile("/proc/self/comm", []byte(") Z 1 (x) S"), 0)
		fmt.Println("named")
		wait()
	case "listen":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		wait()
	case "exit":
		os.Exit(42)
	default:
		wait()
	}
}

// wait ends with the test: stdin is a pipe of its.
func wait() {
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// play starts a part and returns it with the first line that it prints, if it
// prints any.
func play(t *testing.T, part string, prints bool) (*exec.Cmd, deadman.Process, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "with an", "argument")
	cmd.Env = append(os.Environ(), "PROC_TEST_PART="+part, "PROC_TEST_MARK=a=b")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	line := ""
	if prints {
		if _, err := fmt.Fscanln(stdout, &line); err != nil {
			t.Fatal(err)
		}
	}
	s, err := proc.Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, s.Process, line
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
