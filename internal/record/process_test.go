package record_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3/driver"
	"golang.org/x/sys/unix"

	"deadman/internal/record"
)

// A writer that is killed at any moment loses nothing that was confirmed, and
// leaves a log that holds together.
func TestKilledWriterLosesNothingConfirmed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	confirmed := int64(0)
	for _, lines := range []int{1, 3, 17, 40} {
		if confirmed > 0 {
			// each round begins with no state of its own
			raw(t, dir, `DELETE FROM state`)
		}
		p := start(t, "writer", dir)
		var revision int64
		for range lines {
			revision, _ = strconv.ParseInt(p.line(t), 10, 64)
		}
		p.Process.Kill() // SIGKILL, in the middle of a later commit
		p.Wait()

		before := confirmed
		l := open(t, dir)
		n := verify(t, l)
		if confirmed += 2 * revision; n < confirmed {
			t.Errorf("%d entries, but %d were confirmed", n, confirmed)
		}
		saved, err := l.Load(t.Context(), "a")
		if err != nil || saved.Revision < revision {
			t.Errorf("revision %d, but %d was confirmed; %v", saved.Revision, revision, err)
		}
		if n != before+2*saved.Revision {
			t.Errorf("%d entries do not belong to revision %d", n-before, saved.Revision)
		}
		confirmed = n
		l.Close()
	}
}

func TestOneOfTwoProcessesWins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, state("a", 0, `1`), event(1))
	rivals := []*process{start(t, "rival", dir), start(t, "rival", dir), start(t, "rival", dir)}
	for _, r := range rivals {
		r.line(t) // has read revision 1
	}
	for _, r := range rivals {
		r.in.Close()
	}
	results := map[string]int{}
	for _, r := range rivals {
		results[r.line(t)]++
	}
	if results["won"] != 1 || results["lost"] != 2 {
		t.Errorf("results: %v", results)
	}
	if n := verify(t, l); n != 2 {
		t.Errorf("%d entries", n)
	}
}

func TestProcessesMayCreateTheLogAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writers := []*process{start(t, "writer", dir), start(t, "writer", dir), start(t, "writer", dir)}
	alive := 0
	for _, w := range writers {
		// One goes on; the others find its revision, or are it.
		if w.out.Scan() {
			alive++
		}
	}
	for _, w := range writers {
		w.Process.Kill()
		w.Wait()
	}
	if alive == 0 {
		t.Error("nobody could write")
	}
	verify(t, open(t, dir))
}

// POSIX locks would be dropped when this process closes any descriptor of the
// file, and a snapshot that hashes a directory opens and closes all of them.
func TestLocksSurviveOpeningTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, state("a", 0, `1`), event(1))
	db, err := driver.Open("file:" + filepath.Join(dir, "deadman.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, name := range names(t, dir) {
		if _, err := os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := start(t, "intruder", dir).line(t); !strings.HasPrefix(got, "kept out") {
		t.Errorf("another process inside our transaction: %s", got)
	}
	tx.Rollback()
	if got := start(t, "intruder", dir).line(t); got != "wrote" {
		t.Errorf("another process after our transaction: %s", got)
	}
}

// What deadman starts for the user must inherit no descriptor of ours.
func TestDescriptorsAreCloseOnExec(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc")
	}
	dir, run := t.TempDir(), t.TempDir()
	l := open(t, dir)
	commit(t, l, state("a", 0, `1`), event(1))
	live, err := record.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	quiet := t.TempDir()
	open(t, quiet).Close()
	frozen, err := record.OpenReadOnly(quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	j := record.NewJournal(dir, run, thisBoot)
	defer j.Close()
	if _, err := j.Commit(context.Background(), state("b", 0, `1`), nil); err != nil {
		t.Fatal(err)
	}

	seen := map[string]bool{}
	for _, name := range names(t, "/proc/self/fd") {
		target, err := os.Readlink("/proc/self/fd/" + name)
		if err != nil || !strings.HasPrefix(target, dir) && !strings.HasPrefix(target, quiet) {
			continue
		}
		seen[filepath.Base(target)] = true
		fd, _ := strconv.Atoi(name)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil {
			t.Fatal(err)
		}
		if flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s is inherited", target)
		}
	}
	for _, want := range []string{"deadman.db", "deadman.db-wal", "deadman.db-shm"} {
		if !seen[want] {
			t.Errorf("%s was not open, so nothing was tested", want)
		}
	}
}
