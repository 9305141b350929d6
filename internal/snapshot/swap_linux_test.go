package snapshot_test

import (
	"context"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deadman/internal/snapshot"
)

// TestSwapsDuringTheLook has a hostile agent swap what is captured with
// something else as fast as the kernel can. What the patterns did not mean
// must never be read, and nothing may make us wait.
func TestSwapsDuringTheLook(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(root string) (victim, planted string, err error){
		"file and link out":      func(r string) (string, string, error) { return "a", "x", os.Symlink("../secret", r+"/x") },
		"file and link inside":   func(r string) (string, string, error) { return "a", "x", os.Symlink("other", r+"/x") },
		"file and fifo":          func(r string) (string, string, error) { return "a", "x", syscall.Mkfifo(r+"/x", 0o644) },
		"file and directory":     func(r string) (string, string, error) { return "a", "x", os.Mkdir(r+"/x", 0o755) },
		"directory and link":     func(r string) (string, string, error) { return "c", "x", os.Symlink("evil", r+"/x") },
		"directory and link out": func(r string) (string, string, error) { return "c", "x", os.Symlink("../evil", r+"/x") },
		"directory and fifo":     func(r string) (string, string, error) { return "c", "x", syscall.Mkfifo(r+"/x", 0o644) },
		"directory and another":  func(r string) (string, string, error) { return "c", "x", os.Mkdir(r+"/x", 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{
				"secret": "secret", "evil/f": "evil",
				"agent/a": "fine", "agent/c/f": "fine", "agent/other": "other", "agent/evil/f": "evil",
			})
			root := dir + "/agent"
			victim, planted, err := plant(root)
			must(t, err)
			stop := make(chan struct{})
			var swapper sync.WaitGroup
			swapper.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						unix.Renameat2(unix.AT_FDCWD, root+"/"+victim, unix.AT_FDCWD, root+"/"+planted, unix.RENAME_EXCHANGE)
					}
				}
			})
			looks := make(chan int)
			go func() {
				n := 0
				for end := time.Now().Add(time.Second); n < 400 && time.Now().Before(end); {
					// Shorter than the wait before a second attempt.
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
					look, err := snapshot.Observe(ctx, one(root, "a", "c/*"), snapshot.DefaultLimits)
					cancel()
					if err != nil {
						continue
					}
					n++
					for _, m := range look.Members {
						if got := string(look.Bytes(m.Name())); m.Type == snapshot.File && got != "fine" {
							t.Errorf("%s is %q", m.Name(), got)
						}
					}
				}
				looks <- n
			}()
			select {
			case n := <-looks:
				if n == 0 {
					t.Error("no look succeeded: nothing was tested")
				}
			case <-time.After(20 * time.Second):
				t.Error("Observe waits")
			}
			close(stop)
			swapper.Wait()
		})
	}
}
