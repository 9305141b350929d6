package attack_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deadman/internal/cli"
	"deadman/internal/supervisor"
)

var (
	rounds = flag.Int("rounds", 0, "how many rounds of capture and rollback")
	seed   = flag.Int("seed", 1, "what the attacker does")
)

const (
	// inParallel is how many agents are attacked at once: most of a round is
	// waiting for files to settle.
	inParallel = 16
	// hang is how long a round may take: some hundred times what it does.
	hang = time.Minute
	// lookTime is how long one look may go on trying. The daemon waits longer; but
	// this attacker does not rest, and more looks find more than longer ones.
	lookTime = 100 * time.Millisecond
	// maxMemory is what the process may have taken at its peak; it has a few sets
	// in hand at a time, of 256 KiB each.
	maxMemory = 512 << 20
	// maxDisk is what one agent may take in the state directory: 22 snapshots of
	// 256 KiB, and their manifests.
	maxDisk = 12 << 20
	// runEvery is after how many rounds the whole program has a turn.
	runEvery = 400
)

const role = "DEADMAN_ATTACK_ROLE"

func TestMain(m *testing.M) {
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	switch os.Getenv(role) {
	case "attacker":
		attackMain()
	case "deadman":
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestAttack makes rounds on agents that attack.
func TestAttack(t *testing.T) {
	if *rounds == 0 {
		t.Skip("`make attack` runs it")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the attacker is to be another user than deadman")
	}
	base := t.TempDir()
	if dir, err := os.MkdirTemp("/dev/shm", "deadman-attack-"); err == nil { // in memory: syncs are cheap
		base = dir
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	must(os.Chmod(base, 0o755))
	f, err := newField(base, inParallel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	whole, err := newProgram(base, f.worlds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = whole.kill() })
	f.attack(t)

	var next, violations atomic.Int64
	var fail sync.Mutex
	found := func(n int64, what string) {
		fail.Lock()
		defer fail.Unlock()
		if violations.Add(1) <= 5 {
			t.Errorf("violation in round %d, seed %d: %s", n, *seed, what)
		}
	}
	var judging sync.RWMutex
	var turn sync.Mutex // of the whole program
	var wait sync.WaitGroup
	for _, w := range f.worlds {
		wait.Go(func() {
			for violations.Load() == 0 {
				n := next.Add(1)
				if n > int64(*rounds) {
					return
				}
				judging.RLock()
				var err error
				if n%runEvery == 0 {
					turn.Lock()
					err = whole.round(n%(2*runEvery) == 0)
					turn.Unlock()
				} else {
					err = w.round(n)
				}
				judging.RUnlock()
				if err != nil {
					found(n, err.Error())
				}
				for _, what := range append(f.around.changed(n%50 == 0), w.around.changed(n%50 == 0)...) {
					found(n, what)
				}
				if n%200 == 0 {
					// Nothing is half written while it is read.
					judging.Lock()
					for _, what := range f.judge() {
						found(n, what)
					}
					judging.Unlock()
				}
			}
		})
	}
	wait.Wait()
	for _, what := range f.judge() {
		found(int64(*rounds), what)
	}
	f.report(t, violations.Load())
	t.Logf("deadman check, by its exit: %v", whole.exits)
}

// round is one round, within its time.
func (w *world) round(n int64) error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		if n%2 == 0 {
			ended <- w.capture(ctx)
		} else {
			ended <- w.rollback(ctx)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(hang):
		stacks := make([]byte, 1<<20)
		return violation("it hangs:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

// judge looks at everything that was stored, and at what that took.
func (f *field) judge() []string {
	var found []string
	for _, w := range f.worlds {
		w.replenish()
		found = append(found, w.around.changed(true)...)
		stored, size := sweep(w.state)
		found = append(found, stored...)
		if size > maxDisk {
			found = append(found, fmt.Sprintf("%s takes %d bytes", w.state, size))
		}
	}
	// The log grows with every record, so there is no limit to judge by.
	stored, _ := sweep(f.base + "/state/program")
	found = append(found, stored...)
	found = append(found, f.around.changed(true)...)
	if peak := peakMemory(); peak > maxMemory {
		found = append(found, fmt.Sprintf("the peak of memory is %d bytes", peak))
	}
	return found
}

// peakMemory is the most that this process has had in memory, in bytes.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	must(err)
	return kib << 10
}

// attack starts the attacker; it ends with the test.
func (f *field) attack(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self, f.base, strconv.Itoa(len(f.worlds)), strconv.Itoa(*seed))
	cmd.Env = append(os.Environ(), role+"=attacker")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the attacker does not attack: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the attacker has failed: %v", err)
		}
	})
}

// report says what the rounds came to. Rounds in which nothing succeeds test
// nothing, and neither do those that nothing hinders.
func (f *field) report(t *testing.T, violations int64) {
	t.Helper()
	var captures, refusals, rollbacks, hindered int
	reasons := map[string]int{}
	for _, w := range f.worlds {
		captures, refusals = captures+w.captures, refusals+w.refusals
		rollbacks, hindered = rollbacks+w.rollbacks, hindered+w.hindered
		for why, n := range w.reasons {
			reasons[why] += n
		}
	}
	var lines []string
	for why, n := range reasons {
		lines = append(lines, fmt.Sprintf("%6d %s", n, why))
	}
	slices.Sort(lines)
	t.Logf("captures: %d and %d refused; rollbacks: %d and %d not whole\n%s", captures, refusals, rollbacks, hindered, strings.Join(lines, "\n"))
	if violations == 0 && (captures == 0 || refusals == 0 || rollbacks == 0 || hindered == 0) {
		t.Error("what never succeeds, or is never hindered, is not tested")
	}
	fmt.Printf("attack: %d rounds, %d violations\n", *rounds, violations)
}
