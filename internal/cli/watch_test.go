package cli_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"deadman/internal/cli"
)

// TestNotifier: systemd hears of us, and what we start cannot speak for us.
func TestNotifier(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	tell := cli.Notifier()
	if _, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
		t.Error("the variable is left for children")
	}
	tell("READY=1")
	buf := make([]byte, 64)
	if n, err := listener.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("heard %q, %v", buf[:n], err)
	}
	cli.Notifier()("READY=1") // without a socket nobody is told, and nothing fails
}
