package powerloss_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "deadman/internal/simtest/powerloss"
)

// removedEnv names the sync that is left out.
const removedEnv = "POWERLOSS_REMOVED"

var sample = flag.Uint("sample", 1, "try what may have become of one in so many operations; above 1, only at points before a sync, and of the removals only some")

// need skips a test that `make powerloss` runs and that this machine can run.
func need(t *testing.T) {
	t.Helper()
	if os.Getenv("DEADMAN_RUN") != "powerloss" {
		t.Skip("`make powerloss` runs it")
	}
	why := ""
	if os.Geteuid() != 0 {
		why = "not root"
	} else if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		why = err.Error()
	} else {
		f.Close()
		dir := t.TempDir()
		server, err := NewFS().Mount(dir)
		if err != nil {
			why = err.Error()
		} else if err := server.Unmount(); err != nil {
			_ = syscall.Unmount(dir, unmountDetach)
		}
	}
	switch {
	case why == "":
	case strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "fuse"):
		t.Fatal("a file system cannot be mounted: " + why)
	default:
		t.Skip("a file system cannot be mounted here: " + why)
	}
}

// play has a deed done and returns who can judge it.
func play(t *testing.T, p programs, d deed, removed string) *judge {
	t.Helper()
	w := newWorld(t, p, d.config, removed)
	d.do(w)
	w.kill()
	return newJudge(w)
}

func TestDeedNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, d := range deeds {
		names = append(names, d.name)
	}
	if !slices.Equal(names, deedNames) {
		t.Errorf("the deeds are %q, and removals.txt may name %q", names, deedNames)
	}
}

// TestPowerLoss takes the power away at every point of every deed. Then it
// takes one sync after the other out of the program, and the deed that
// removals.txt names must not survive that.
func TestPowerLoss(t *testing.T) {
	need(t)
	begin := time.Now()
	var mu sync.Mutex
	var points, losses, removed, missed, violations int
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	syncs, err := Syncs(module)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := Overlay(module, t.TempDir(), removedEnv, syncs)
	if err != nil {
		t.Fatal(err)
	}
	// One build in which any sync can be left out, and which is the program itself
	// as long as none is.
	p := newPrograms(t, "-overlay", overlay)

	t.Run("all", func(t *testing.T) {
		for _, d := range deeds {
			t.Run("deed/"+d.name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				j := play(t, p, d, "")
				v := j.all(both(d.tries, j.sampled(*sample)))
				mu.Lock()
				defer mu.Unlock()
				points += v.points
				losses += v.losses
				t.Logf("%d operations, %d promises, %v: %v", len(j.history.Ops), len(j.floors), time.Since(began).Round(time.Millisecond), v)
				if v.violation != nil {
					violations++
					t.Errorf("%v", j.tell(v))
				}
			})
		}
		for i, r := range removals(t) {
			if *sample > 1 && i%8 != 0 {
				continue
			}
			at := slices.IndexFunc(deeds, func(d deed) bool { return d.name == r.deed })
			t.Run("without/"+strings.ReplaceAll(r.sync, "/", "."), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				v := p.misses(t, deeds[at], r.sync)
				mu.Lock()
				defer mu.Unlock()
				removed++
				if v.violation == nil {
					t.Errorf("the deed %s does not miss it: %v", r.deed, v)
					return
				}
				missed++
				t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), v)
			})
		}
	})
	fmt.Printf("powerloss: %d points, %d losses, %d of %d syncs removed and missed, %d violations (%v)\n",
		points, losses, missed, removed, violations, time.Since(begin).Round(time.Second))
}

// misses has a deed done without one sync and looks for what that costs.
func (p programs) misses(t *testing.T, d deed, sync string) verdict {
	t.Helper()
	j := play(t, p, d, sync)
	v := j.all(func(_ int, op *Op) bool { return op == nil })
	if v.violation == nil {
		v = j.all(both(d.tries, ours))
	}
	return v
}

// tell tells a person all about a violation.
func (j *judge) tell(v verdict) string {
	var b strings.Builder
	fmt.Fprintln(&b, v)
	p := v.violation.Point
	for k := max(0, p-15); k < min(len(j.history.Ops), p+3); k++ {
		fmt.Fprintln(&b, k, j.history.Ops[k].Text)
	}
	fmt.Fprintf(&b, "processes saw (-), and the disk has (+):\n%s\n", Difference(j.history.After(p), v.violation.Disk))
	for _, m := range j.w.marks {
		fmt.Fprintf(&b, "%+v\n", m)
	}
	return b.String()
}
