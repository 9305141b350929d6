package rival_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman/internal/rival"
)

// TestHostile: what others can put in the places that are looked at makes nobody
// wait, and costs little.
func TestHostile(t *testing.T) {
	t.Parallel()
	h := host(t, "etc/cron.d/relay-nightly", "etc/passwd")
	at := func(p string) string {
		p = filepath.Join(h.Root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write := func(p, text string) {
		if err := os.WriteFile(at(p), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"etc/cron.d/fifo", "etc/cron.hourly/fifo", "opt/fifo", "home/alex/.config/systemd/user/fifo.service"} {
		if err := syscall.Mkfifo(at(p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for p, target := range map[string]string{
		"etc/cron.d/loop": "loop", "etc/cron.d/zero": "/dev/zero", "etc/cron.d/dir": "/etc", "opt/up": "/../../../../../../etc/passwd",
	} {
		if err := os.Symlink(target, at(p)); err != nil {
			t.Fatal(err)
		}
	}
	big, err := os.Create(at("etc/cron.d/big"))
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(10 << 30); err != nil {
		t.Fatal(err)
	}
	big.Close()
	nested := strings.Repeat("$(", 500) + strings.Repeat(")", 500)
	product := "for a in 1 2 3 4 5 6 7 8 9; do for b in 1 2 3 4 5 6 7 8 9; do for c in 1 2 3 4 5 6 7 8 9; do for d in 1 2 3 4 5 6 7 8 9; do for e in 1 2 3 4 5 6 7 8 9; do cp $a$b $c$d$e; done; done; done; done; done"
	write("etc/cron.d/calls", "* * * * * root /opt/fifo; /opt/self; /opt/up\n* * * * * root "+nested+"\n* * * * * root "+product+"\n* * * * * root f() { f; f; f; }; f\n")
	write("opt/self", "#!/bin/sh\n/opt/self\n. /opt/self\n")
	write("Users/timmy/Library/LaunchAgents/deep.plist", strings.Repeat("<dict><key>a</key>", 5000))
	done := make(chan []rival.Rival)
	go func() {
		found, _ := rival.Find(&h, agents())
		done <- found
	}()
	select {
	case found := <-done:
		if len(found) != 1 || found[0].Path != "/etc/cron.d/relay-nightly" {
			t.Errorf("found %v", found)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
}
