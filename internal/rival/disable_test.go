package rival_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"deadman/internal/rival"
)

// facts are all that a file is, but for when it was changed last.
func facts(t *testing.T, root string, times bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text = string(data)
		} else if text, err = os.Readlink(p); err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fact := fmt.Sprintf("%s %d:%d %q %s", info.Mode(), stat.Uid, stat.Gid, text, attributes(p))
		if times {
			fact += fmt.Sprintf(" %d %s", stat.Ino, info.ModTime())
		}
		all[strings.TrimPrefix(p, root)] = fact
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func attributes(p string) string {
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(p, "user.seed", value)
	if err != nil {
		return ""
	}
	return string(value[:n])
}

func find(t *testing.T, h *rival.Host) []rival.Rival {
	t.Helper()
	found, err := rival.Find(h, agents())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// dress gives files what must survive: owners (where that can be), modes, attributes.
func dress(t *testing.T, h rival.Host) {
	t.Helper()
	crontab := filepath.Join(h.Root, "var/spool/cron/crontabs/alex")
	if os.Geteuid() == 0 {
		if err := os.Chown(crontab, 1000, 105); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(crontab, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(crontab, "user.seed", []byte("kept"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := filepath.WalkDir(h.Root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type() == fs.ModeSymlink {
			return err
		}
		return os.Chtimes(p, old, old)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDisableAndRestore: what is likely a rival goes, every innocent stays as it is,
// and restoring brings back the same bytes, owners, modes and attributes.
func TestDisableAndRestore(t *testing.T) {
	t.Parallel()
	h := host(t)
	dress(t, h)
	all, before := seeds(t, h), facts(t, h.Root, false)
	timed := facts(t, h.Root, true)
	journal := filepath.Join(t.TempDir(), "rivals")
	outcomes, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			t.Errorf("%s: %v", o.Path, o.Err)
		}
	}
	for _, r := range find(t, &h) {
		if r.Hint == "" && r.Sure() != rival.Possible {
			t.Errorf("still there: %s", describe(r))
		}
	}
	after := facts(t, h.Root, true)
	lines := map[string][]int{}
	touched := map[string]bool{}
	for _, s := range all {
		if s.rival && s.sure != rival.Possible && s.form != rival.OwnSchedule {
			touched[s.path] = true
			lines[s.path] = append(lines[s.path], s.line)
		}
	}
	for p, fact := range timed {
		if !touched[p] && after[p] != fact {
			t.Errorf("%s was touched:\n%s\n%s", p, fact, after[p])
		}
	}
	for _, s := range all {
		if !s.rival && s.line > 0 && touched[s.path] {
			was, is := lineOf(t, before[s.path], s.line), lineOf(t, after[s.path], s.line)
			if was != is {
				t.Errorf("the line of an innocent changed in %s:\n%s\n%s", s.path, was, is)
			}
		}
	}
	info, err := os.Stat(filepath.Join(h.Root, "var/spool/cron/crontabs/root"))
	if err != nil || info.Mode().Perm() != 0o600 || time.Since(info.ModTime()) > time.Minute {
		t.Errorf("cron would not take root's crontab, or not notice: %v %v", info.Mode(), info.ModTime())
	}

	// Doing so again does nothing.
	again, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range again {
		if o.Deed != "" || o.Err != nil {
			t.Errorf("the second time: %+v", o)
		}
	}
	if diff := cmp.Diff(after, facts(t, h.Root, true)); diff != "" {
		t.Error(diff)
	}

	// Of the journal, others must not read a crontab.
	if info, err := os.Stat(journal); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the journal: %v %v", info.Mode(), err)
	}
	for range 2 {
		restored, err := rival.Restore(t.Context(), &h, journal, nil, rival.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range restored {
			if o.Err != nil {
				t.Errorf("%s: %v", o.Path, o.Err)
			}
		}
		if diff := cmp.Diff(before, facts(t, h.Root, false)); diff != "" {
			t.Error(diff)
		}
	}
	if left, err := rival.Journal(journal); err != nil || len(left) > 0 {
		t.Errorf("left in the journal: %v %v", left, err)
	}
}

// lineOf is a line of the text in a fact.
func lineOf(t *testing.T, fact string, n int) string {
	t.Helper()
	from := strings.IndexByte(fact, '"')
	text := strings.ReplaceAll(fact[from+1:], `\\n`, "\x00")
	lines := strings.Split(text, `\n`)
	if n > len(lines) {
		t.Fatalf("there is no line %d in %s", n, fact)
	}
	return lines[n-1]
}

// TestCrash: wherever it ends, running it again completes it, and a restore from
// there gives back what was.
func TestCrash(t *testing.T) {
	t.Parallel()
	points := 0
	// One of each deed, two of them in one file.
	few := []string{
		"etc/passwd", "etc/systemd/system/wizard-health.service", "etc/systemd/system/wizard-health.timer", "usr/local/sbin/wizard-health",
		"usr/local/lib/wizards/health.sh", "etc/systemd/system/timers.target.wants/wizard-health.timer", "etc/monit/monitrc",
		"etc/monit/conf.d/wizards", "etc/cron.hourly/ezra-guard", "root/wizards/ezra/home/config.yaml",
	}
	for _, restoring := range []bool{false, true} {
		for n := 1; ; n++ {
			h := host(t, few...)
			before := facts(t, h.Root, false)
			journal := filepath.Join(t.TempDir(), "rivals")
			var o rival.Options
			left := n
			dies := func(string) {
				if left--; left == 0 {
					panic("crash")
				}
			}
			found := find(t, &h)
			if restoring {
				if _, err := rival.Disable(t.Context(), &h, journal, found, o); err != nil {
					t.Fatal(err)
				}
			}
			o.At(dies)
			crashed := func() (crashed bool) {
				defer func() { crashed = recover() != nil }()
				var err error
				if restoring {
					_, err = rival.Restore(t.Context(), &h, journal, nil, o)
				} else {
					_, err = rival.Disable(t.Context(), &h, journal, found, o)
				}
				if err != nil {
					t.Error(err)
				}
				return false
			}()
			if !crashed {
				break
			}
			points++
			// Every second time it is completed first.
			if n%2 == 0 {
				outcomes, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{})
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range outcomes {
					if o.Err != nil {
						t.Errorf("crash %d: %s: %v", n, o.Path, o.Err)
					}
				}
				for _, r := range find(t, &h) {
					if r.Hint == "" && r.Sure() != rival.Possible {
						t.Errorf("crash %d: still there: %s", n, describe(r))
					}
				}
			}
			restored, err := rival.Restore(t.Context(), &h, journal, nil, rival.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range restored {
				if o.Err != nil {
					t.Errorf("crash %d: %s: %v", n, o.Path, o.Err)
				}
			}
			if diff := cmp.Diff(before, facts(t, h.Root, false)); diff != "" {
				t.Fatalf("crash %d, restoring %v: %s", n, restoring, diff)
			}
		}
	}
	if points < 12 {
		t.Errorf("there were %d points", points)
	}
}

// TestChanged: what somebody has changed is left alone, in both directions.
func TestChanged(t *testing.T) {
	t.Parallel()
	h := host(t)
	journal := filepath.Join(t.TempDir(), "rivals")
	crontab := filepath.Join(h.Root, "var/spool/cron/crontabs/root")
	timer := filepath.Join(h.Root, "etc/systemd/system/wizard-health.timer")
	add := func(p string) string {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data) + "# mine\n"
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return text
	}
	refused := func(outcomes []rival.Outcome, paths ...string) {
		t.Helper()
		for _, p := range paths {
			i := slices.IndexFunc(outcomes, func(o rival.Outcome) bool { return o.Path == strings.TrimPrefix(p, h.Root) })
			var changed *rival.ChangedError
			if i < 0 || !errors.As(outcomes[i].Err, &changed) || outcomes[i].Deed != "" && outcomes[i].Err == nil {
				t.Errorf("%s was not refused: %+v", p, outcomes)
			}
		}
	}
	found := find(t, &h)
	first, second := add(crontab), add(timer)
	outcomes, err := rival.Disable(t.Context(), &h, journal, found, rival.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused(outcomes, crontab, timer)
	for p, want := range map[string]string{crontab: first, timer: second} {
		if got, err := os.ReadFile(p); err != nil || string(got) != want {
			t.Errorf("%s was changed (%v)", p, err)
		}
	}
	// Judged anew, they go; and changed since, they do not come back: of a file that
	// others share that is a change of the rival's own line.
	if _, err := rival.Disable(t.Context(), &h, journal, find(t, &h), rival.Options{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(crontab)
	if err != nil {
		t.Fatal(err)
	}
	first = strings.Replace(string(data), "# disabled by deadman rivals: ", "# mine now: ", 1)
	if err := os.WriteFile(crontab, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(timer, []byte("[Timer]\nOnCalendar=daily\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	outcomes, err = rival.Restore(t.Context(), &h, journal, nil, rival.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused(outcomes, crontab, timer)
	if got, err := os.ReadFile(crontab); err != nil || string(got) != first {
		t.Errorf("the crontab was changed (%v)", err)
	}
	if left, err := rival.Journal(journal); err != nil || len(left) != 2 {
		t.Errorf("the journal holds %v (%v)", left, err)
	}
}

// TestChangedAtTheLastMoment: who writes between the last look and the replacing
// loses nothing.
func TestChangedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	h := host(t, "etc/cron.d/relay-nightly")
	p := filepath.Join(h.Root, "etc/cron.d/relay-nightly")
	journal := filepath.Join(t.TempDir(), "rivals")
	var o rival.Options
	o.At(func(point string) {
		if point == "staged" {
			if err := os.WriteFile(p, []byte("# theirs\n"), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	outcomes, err := rival.Disable(t.Context(), &h, journal, find(t, &h), o)
	if err != nil {
		t.Fatal(err)
	}
	var changed *rival.ChangedError
	if len(outcomes) != 1 || !errors.As(outcomes[0].Err, &changed) {
		t.Errorf("got %+v", outcomes)
	}
	if text, err := os.ReadFile(p); err != nil || string(text) != "# theirs\n" {
		t.Errorf("it holds %q (%v)", text, err)
	}
	if names, err := os.ReadDir(filepath.Dir(p)); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v (%v)", names, err)
	}
}
