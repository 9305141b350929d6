package daemon_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman/internal/daemon"
	"deadman/internal/proc"
)

// What one deadman says to another arrives as it was said; and who holds an agent,
// as a file of whatever bytes has it, is a process that lives, or nobody.
func FuzzWord(f *testing.F) {
	f.Add("known-good", int64(time.Minute), []byte(`{"process":{"pid":1,"start":5,"boot":"b"},"watch":true}`), "0::/a\n")
	f.Add("\u2028<", int64(-1), []byte(`{"process":{"pid":-1}}`), "1:name=systemd:/x/y\n")
	f.Add("", int64(0), []byte(`{`), "0::/\n:name=systemd:/")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, snapshot string, length int64, raw []byte, groups string) {
		arg := daemon.Arg{Snapshot: strings.ToValidUTF8(snapshot, "?"), For: time.Duration(length)}
		text, err := json.Marshal(arg)
		var read daemon.Arg
		if err != nil || json.Unmarshal(text, &read) != nil || read != arg {
			t.Fatalf("%+v became %+v by way of %s (%v)", arg, read, text, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "actor"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, alive := daemon.Actor(dir); pid != 0 && !alive {
			t.Fatalf("process %d of %s", pid, raw)
		}
		if group := daemon.ParseCgroup(groups); group != "" && (group == "/" || !strings.Contains(groups, group)) {
			t.Fatalf("%q of %q", group, groups)
		}
	})
}

// The clock that is noted for this boot may be of whatever bytes: one that is not of
// this boot is begun anew, and none runs backwards.
func FuzzClock(f *testing.F) {
	boot, err := proc.BootID()
	if err != nil {
		f.Skip(err)
	}
	f.Add([]byte(`{"boot":"b","wall":"2026-11-24T12:00:00Z","uptime":5}`))
	f.Add([]byte(`{"boot":"` + boot + `","base":"2026-11-24T12:00:00Z","wall":5}`))
	f.Add([]byte(`{"boot":5}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "clock.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		first := daemon.ClockNow(dir)
		if ago := time.Since(first).Abs(); ago > time.Hour && !strings.Contains(string(text), boot) {
			t.Fatalf("a clock that was not noted in this boot is off by %v", ago)
		}
		if second := daemon.ClockNow(dir); second.Before(first) {
			t.Fatalf("time went from %v to %v", first, second)
		}
	})
}
