package supervisor_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// sane fails unless an inspection can be acted on: who is said to run is somebody
// who lives, and nobody who is gone was left out because an answer was odd.
func sane(t *testing.T, i supervisor.Inspection) {
	t.Helper()
	switch i.Presence {
	case deadman.Running:
		if i.Process.PID <= 0 || proc.Alive(i.Process) == deadman.Gone {
			t.Fatalf("%+v is said to run", i.Process)
		}
	case deadman.Gone, deadman.Obscured:
	default:
		t.Fatalf("no presence: %+v", i)
	}
	if i.Restarts < supervisor.RestartsTallied {
		t.Fatalf("%d restarts", i.Restarts)
	}
}

// answering is a server on a unix socket that answers everything with *body.
func answering(f *testing.F, body *string) (socket string) {
	dir, err := os.MkdirTemp("", "deadman")
	if err != nil {
		f.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		f.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, *body) })}
	go server.Serve(l)
	f.Cleanup(func() { server.Close(); os.RemoveAll(dir) })
	return socket
}

// What is put into an XML-RPC call comes out of an answer with the same values;
// any other answer is an error that repeats nothing of it.
func FuzzXMLRPC(f *testing.F) {
	const mark = "7f3a91c5Zq"
	f.Add("<&>", 7, true, []byte("<methodResponse><params><param><value>"))
	f.Add("x\ny", -1, false, []byte("<methodResponse><fault><value><struct></struct></value></fault></methodResponse>"))
	f.Add("\u00e9", 0, true, []byte("<methodResponse><params><param><value><struct><member><name>a</name><value><i4>x</i4></value></member></struct></value></param></params></methodResponse>"))
	f.Fuzz(func(t *testing.T, text string, number int, flag bool, raw []byte) {
		printable := strings.Map(func(r rune) rune {
			if r < ' ' || r > 0xD7FF {
				return 'x'
			}
			return r
		}, text)
		call := string(supervisor.XMLCall(printable, number, flag))
		// A call holds values in a row; an answer holds one. The same spelling.
		for i, want := range []any{printable, number, flag} {
			value := strings.Split(call, "<param>")[i+1]
			got, err := supervisor.ParseXML([]byte("<methodResponse><params><param>" + strings.TrimSuffix(value, "</params></methodCall>") + "</params></methodResponse>"))
			if err != nil || got != want {
				t.Fatalf("%v became %v (%v) by way of %s", want, got, err, value)
			}
		}
		planted := strings.ReplaceAll(string(raw), "value", "value>"+mark+"<x")
		for _, text := range []string{string(raw), planted} {
			got, err := supervisor.ParseXML([]byte(text))
			if (got == nil) == (err == nil) {
				t.Fatalf("%v and %v", got, err)
			}
			if err != nil && !strings.Contains(text, "fault") && strings.Contains(err.Error(), mark) {
				t.Fatal(err)
			}
		}
	})
}

// Whatever supervisord answers: the agent is running, gone, or it cannot be told.
func FuzzSupervisord(f *testing.F) {
	info := func(state string, pid int) string {
		return fmt.Sprintf("<methodResponse><params><param><value><struct><member><name>statename</name><value><string>%s</string></value></member>"+
			"<member><name>pid</name><value><int>%d</int></value></member><member><name>state</name><value><int>20</int></value></member>"+
			"<member><name>start</name><value><int>1</int></value></member></struct></value></param></params></methodResponse>", state, pid)
	}
	for _, state := range []string{"RUNNING", "STOPPED", "STARTING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN", "?"} {
		f.Add(info(state, os.Getpid()))
	}
	f.Add(info("RUNNING", -1))
	f.Add("<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value></member></struct></value></fault></methodResponse>")
	f.Add("")
	var body string
	s := &supervisor.Supervisord{Program: "agent", Socket: answering(f, &body)}
	f.Fuzz(func(t *testing.T, answer string) {
		body = answer
		sane(t, supervisor.Look(t.Context(), s))
	})
}

// Whatever a container engine answers, the same.
func FuzzDocker(f *testing.F) {
	for _, status := range []string{"running", "paused", "restarting", "removing", "created", "exited", "dead", "?"} {
		f.Add(fmt.Sprintf(`{"Id":"x","RestartCount":2,"State":{"Status":%q,"Pid":%d,"ExitCode":1,"StartedAt":"2026-11-24T12:00:00Z","FinishedAt":"2026-11-24T12:00:00Z"},"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}}`, status, os.Getpid()))
	}
	f.Add(`{"RestartCount":-5,"State":{"Status":"running","Pid":-1}}`)
	f.Add(`[]`)
	var body string
	d := &supervisor.Docker{Container: "agent", Socket: answering(f, &body)}
	f.Fuzz(func(t *testing.T, answer string) {
		body = answer
		sane(t, supervisor.Look(t.Context(), d))
	})
}

// Whatever systemd says over D-Bus, of whatever types: no property is believed
// that is not of its type, and the words of a unit mean one of three things.
func FuzzUnit(f *testing.F) {
	f.Add("loaded", "active", "running", "enabled", "simple", "success", uint64(1), uint64(0), uint32(1), int32(0), int32(0), uint8(0))
	f.Add("masked", "inactive", "dead", "disabled", "notify", "exit-code", uint64(1), uint64(2), uint32(0), int32(1), int32(1), uint8(0xff))
	f.Add("loaded", "failed", "failed", "static", "oneshot", "start-limit-hit", uint64(5), uint64(9), uint32(0), int32(2), int32(9), uint8(3))
	f.Add("", "?", "", "", "", "", ^uint64(0), ^uint64(0), ^uint32(0), int32(-1), int32(-1), uint8(0x55))
	f.Fuzz(func(t *testing.T, load, active, sub, file, kind, result string, enter, exit uint64, pid uint32, code, status int32, wrong uint8) {
		p := map[string]any{
			"LoadState": load, "ActiveState": active, "SubState": sub, "UnitFileState": file, "Type": kind, "Result": result,
			"MainPID": pid, "ExecMainCode": code, "ExecMainStatus": status, "NRestarts": pid, "InvocationID": []byte(load),
			"ActiveEnterTimestampMonotonic": enter, "InactiveExitTimestampMonotonic": exit, "InactiveEnterTimestampMonotonic": enter,
			"ExecMainExitTimestampMonotonic": exit, "ActiveExitTimestampMonotonic": enter, "Job": []any{pid, load},
		}
		// Each bit has one property of another type than it should be.
		for i, name := range []string{"MainPID", "ActiveState", "NRestarts", "Job", "InvocationID", "ExecMainCode", "ActiveEnterTimestampMonotonic", "LoadState"} {
			if wrong&(1<<i) != 0 {
				p[name] = map[string]any{"x": name}
			}
		}
		i := supervisor.OfUnit(p, "", false)
		known := map[string]bool{"active": true, "reloading": true, "refreshing": true, "activating": true, "deactivating": true, "inactive": true, "failed": true}
		if state, _ := p["ActiveState"].(string); !known[state] && i.Presence != deadman.Obscured {
			t.Fatalf("the unit is %q, and the agent %v", state, i.Presence)
		}
		if i.Presence == deadman.PresenceUnset || i.Restarts < supervisor.RestartsUnknown {
			t.Fatalf("%+v", i)
		}
		if again := supervisor.OfUnit(p, "", false); cmp.Diff(i, again, cmp.AllowUnexported(supervisor.Inspection{})) != "" {
			t.Fatal("not the same twice")
		}
	})
}

// A pid file names one process, or none that can be the agent: never init, never
// deadman itself, never a group (a pid that kill(2) takes for one).
func FuzzPIDFile(f *testing.F) {
	for _, text := range []string{"12\n", " 7 ", "0", "-1", "1", "x", `{"pid": 12}`, `{"pid": -12}`, `{"pid": 1e3}`, "99999999999999999999", "5\n/var/lib\n", ""} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "pid")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &supervisor.Command{PIDFile: path}
		i, err := c.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sane(t, i)
		if p := i.Process.PID; i.Presence != deadman.Gone && p != 0 && (p <= 1 || p == os.Getpid()) {
			t.Fatalf("%q names %d", text, p)
		}
		// A number comes back as what it is.
		if pid, ok := supervisor.ParsePID(text); ok {
			if again, ok := supervisor.ParsePID(fmt.Sprintf(" %d\nmore", pid)); !ok || again != pid {
				t.Fatalf("%d became %d", pid, again)
			}
			object, _ := json.Marshal(map[string]int{"pid": pid})
			if again, ok := supervisor.ParsePID(string(object)); pid != 0 && (!ok || again != pid) {
				t.Fatalf("%d became %d", pid, again)
			}
		}
	})
}

// Twenty bytes of runsv, or any other number of them; and what launchctl prints.
func FuzzOwners(f *testing.F) {
	dir := f.TempDir()
	if err := supervisor.MakeRunit(dir); err != nil {
		f.Skip(err)
	}
	r := &supervisor.Runit{Service: dir}
	f.Add([]byte("01234567890123\x00\x00\x00u\x00\x01"), "\tstate = running\n\truns = 3\n\tpid = 1\n")
	f.Add(make([]byte, 20), "\tstate = spawn scheduled\n\truns = -1\n\tlast exit code = 78: EX_CONFIG\n")
	f.Add([]byte("short"), "\tpid = x\n\t\tpid = 1\nstate = running\n\tlast terminating signal = Killed: 9\n\truns = 0\n\tstate = x\n")
	f.Fuzz(func(t *testing.T, status []byte, print string) {
		if err := os.WriteFile(filepath.Join(dir, "supervise/status"), status, 0o600); err != nil {
			t.Fatal(err)
		}
		sane(t, supervisor.Look(t.Context(), r))
		i := supervisor.OfJob(print)
		sane(t, i)
		if i.Presence == deadman.Running && !strings.Contains(print, fmt.Sprint(i.Process.PID)) {
			t.Fatalf("nothing names %d", i.Process.PID)
		}
	})
}

// The notes that a supervisor leaves for itself come back as they were written; of
// another version, or damaged, they are none. Nobody starts or spares anybody by them.
func FuzzNotes(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte(`{"version":1,"attempt":"x","down":true,"ended":{"pid":1,"start":1,"boot":"b"}}`), "t", int64(5))
	f.Add([]byte(`{"version":2,"attempt":"x","down":true}`), "", int64(-1))
	f.Add([]byte(`{"version":1,"process":{"pid":-1,"start":1,"boot":""},"forked":{"pid":0}}`), "\xff", int64(0))
	f.Add([]byte(`{`), "x", int64(1))
	f.Fuzz(func(t *testing.T, raw []byte, attempt string, at int64) {
		if err := supervisor.NotesComeBack(dir, strings.ToValidUTF8(attempt, "?"), time.Duration(at)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"owner.json", "unit.json", "child.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var head struct{ Version int }
		if err := supervisor.NotesOf(dir); err != nil && json.Unmarshal(raw, &head) == nil && head.Version != 1 {
			t.Fatal(err)
		}
		c := &supervisor.Child{Argv: []string{"/nonexistent"}, StateDir: dir}
		i, err := c.Inspect(t.Context())
		if err == nil {
			sane(t, i)
		}
	})
}
