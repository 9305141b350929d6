package record_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"deadman/internal/record"
)

// The test binary plays the other processes: DEADMAN_TEST_ROLE says which, and
// its arguments are the role's.
func TestMain(m *testing.M) {
	if role := os.Getenv("DEADMAN_TEST_ROLE"); role != "" {
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var roles = map[string]func([]string) error{
	// commits as fast as it can until it is killed, telling each revision that
	// has been confirmed to it
	"writer": func(args []string) error {
		l, err := record.Open(args[0])
		if err != nil {
			return err
		}
		saved := record.Saved{Agent: "a", Version: 1}
		for n := 0; ; n++ {
			saved.State = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
			if saved, _, err = l.Commit(context.Background(), saved, []record.Entry{event(n), event(n)}); errors.Is(err, record.ErrRevision) {
				return nil
			} else if err != nil {
				return err
			}
			fmt.Println(saved.Revision)
		}
	},
	// commits once, on revision 1, when told to
	"rival": func(args []string) error {
		l, err := record.Open(args[0])
		if err != nil {
			return err
		}
		defer l.Close()
		saved, err := l.Load(context.Background(), "a")
		if err != nil {
			return err
		}
		fmt.Println("ready")
		bufio.NewScanner(os.Stdin).Scan()
		_, _, err = l.Commit(context.Background(), saved, []record.Entry{event(2)})
		switch {
		case err == nil:
			fmt.Println("won")
		case errors.Is(err, record.ErrRevision):
			fmt.Println("lost")
		default:
			return err
		}
		return nil
	},
	// writes without waiting for a lock
	"intruder": func(args []string) error {
		db, err := driver.Open("file:" + filepath.Join(args[0], "deadman.db") + "?_pragma=busy_timeout(0)")
		if err != nil {
			return err
		}
		defer db.Close()
		if _, err := db.Exec(`INSERT INTO sink (name, id) VALUES ('intruder', 1)`); err != nil {
			fmt.Println("kept out:", err)
			return nil
		}
		fmt.Println("wrote")
		return nil
	},
}

// process is another process in one of the roles, killed when the test ends.
type process struct {
	*exec.Cmd
	out *bufio.Scanner
	in  interface{ Close() error }
}

func start(t *testing.T, role string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DEADMAN_TEST_ROLE="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &process{Cmd: cmd, out: bufio.NewScanner(out), in: in}
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("%v has ended: %v", p.Args, p.out.Err())
	}
	return p.out.Text()
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// event is the nth entry of a made-up history.
func event(n int) record.Entry {
	return record.Entry{
		Time: epoch.Add(time.Duration(n) * time.Second), Boot: "boot-1", Uptime: time.Duration(n) * time.Second,
		Agent: "a", Incident: "i1", Kind: "rollback", Cause: "config", Reason: "known-good-differs",
		Snapshot: "s1", OldHash: "old", NewHash: "new", Outcome: "verified",
		Body: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
	}
}

func state(agent string, revision int64, text string) record.Saved {
	return record.Saved{Agent: agent, Revision: revision, Version: 1, State: json.RawMessage(text)}
}

func open(t testing.TB, dir string) *record.Log {
	t.Helper()
	l, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func commit(t testing.TB, l *record.Log, saved record.Saved, entries ...record.Entry) record.Saved {
	t.Helper()
	saved, _, err := l.Commit(t.Context(), saved, entries)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func all(t testing.TB, l *record.Log, q record.Query) []record.Entry {
	t.Helper()
	var entries []record.Entry
	for e, err := range l.Entries(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// verify checks chain and pages, and returns the number of entries.
func verify(t testing.TB, l *record.Log) int64 {
	t.Helper()
	n, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// raw runs a statement as somebody with the sqlite3 command would.
func raw(t testing.TB, dir, statement string) {
	t.Helper()
	db, err := driver.Open("file:" + filepath.Join(dir, "deadman.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
