package openclaw_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/api"
)

// The suite runs in a network of its own, where the gateway has its usual port and
// reaches nobody, and with processes of its own, which all end with it.
const (
	programs = "DEADMAN_OPENCLAW" // the directory that tools/install-openclaw printed
	apart    = "DEADMAN_APART"
)

func TestMain(m *testing.M) {
	if os.Getenv(programs) == "" || os.Getenv(apart) != "" {
		os.Exit(m.Run())
	}
	clean := tidy()
	args := []string{"--net", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	if out, err := exec.Command("unshare", append(args, "ip", "link", "set", "lo", "up")...).CombinedOutput(); err != nil {
		os.Setenv(apart, fmt.Sprintf("cannot have a network of its own: %v: %s", err, out))
		os.Exit(m.Run())
	}
	// The shell stays, to be the parent of orphans.
	args = append(args, "sh", "-c", `ip link set lo up; "$0" "$@"; exit $?`)
	cmd := exec.Command("unshare", append(args, os.Args...)...)
	cmd.Env = append(os.Environ(), apart+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	clean()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tidy returns what removes the directories that OpenClaw makes in /tmp, whatever
// TMPDIR says, if they were not there before.
func tidy() func() {
	var ours []string
	for _, dir := range []string{"/tmp/openclaw", fmt.Sprintf("/tmp/openclaw-state-locks-%d", os.Geteuid())} {
		if _, err := os.Lstat(dir); os.IsNotExist(err) {
			ours = append(ours, dir)
		}
	}
	return func() {
		for _, dir := range ours {
			_ = os.RemoveAll(dir)
		}
	}
}

// need skips the test where there is no OpenClaw, or fails it where DEADMAN_REQUIRE
// says so.
func need(t *testing.T) {
	t.Helper()
	why := ""
	switch {
	case !strings.Contains(os.Getenv("DEADMAN_RUN")+os.Getenv("DEADMAN_REQUIRE"), "openclaw"):
		t.Skip("it takes minutes: `make test-openclaw` runs it")
	case os.Getenv(programs) == "":
		why = "npm could not bring openclaw: tools/install-openclaw says why"
	case os.Getenv(apart) != "yes":
		why = os.Getenv(apart)
	default:
		return
	}
	if strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "openclaw") {
		t.Fatal(why)
	}
	t.Skip(why)
}

// patience bounds what a test waits for. A start takes 5 to 40 s on two cores, and
// minutes where others want them too.
const patience = 10 * time.Minute

const gateway = "http://127.0.0.1:18789"

// config is what the gateway starts on, without plugins, so that it starts sooner.
const config = `{
  // Put back as it was: comments and all.
  gateway: { mode: "local", bind: "loopback", auth: { mode: "none" } },
  logging: { file: "HOME/gateway.log" },
  update: { checkOnStart: false },
  discovery: { mdns: { mode: "off" } },
  plugins: { enabled: false },
}
`

// world is a home with an OpenClaw in it, and a deadman that guards it.
type world struct {
	home, root, deadman, yaml string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need(t)
	home := t.TempDir()
	w := &world{home: home, root: home + "/.openclaw", deadman: home + "/bin/deadman", yaml: home + "/deadman.yaml"}
	cmd := exec.Command("go", "build", "-o", w.deadman, "deadman/cmd/deadman")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build deadman: %v\n%s", err, out)
	}
	w.write(t, w.good())
	return w
}

func (w *world) good() string { return strings.ReplaceAll(config, "HOME", w.home) }

// write writes the gateway's config as a program does that knows nothing of it.
func (w *world) write(t *testing.T, text string) {
	t.Helper()
	if err := os.MkdirAll(w.root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.root+"/openclaw.json", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) live(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.root + "/openclaw.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// guard writes deadman's config: the preset, what it leaves to the user, and times
// that a test can wait for.
func (w *world) guard(t *testing.T, lines string) {
	t.Helper()
	text := fmt.Sprintf(`state-dir: %[1]s/state
agents:
  gateway:
    preset: openclaw
    config: {root: %[1]s/.openclaw, settle: 1s}
    period: 10s
    probation: 2s
%[2]s`, w.home, lines)
	if err := os.WriteFile(w.yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command has the programs of OpenClaw in its path and nothing of the user's.
func (w *world) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = w.home
	cmd.Env = []string{
		"HOME=" + w.home, "TMPDIR=" + w.home, "LANG=C.UTF-8", "NODE_COMPILE_CACHE=" + w.home + "/compiled",
		"PATH=" + w.home + "/bin:" + os.Getenv(programs) + ":/usr/sbin:/usr/bin:/sbin:/bin",
	}
	return cmd
}

// dm runs deadman to its end.
func (w *world) dm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.command(w.deadman, append(args, "--config", w.yaml)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		t.Logf("deadman %s: status %d: %s", strings.Join(args, " "), exit.ExitCode(), exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// start starts deadman, which ends with the test.
func (w *world) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := w.command(w.deadman, append(args, "--config", w.yaml)...)
	log, err := os.Create(filepath.Join(w.home, args[0]+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s\n%s", args[0], text[max(0, len(text)-5000):], w.dm(t, "history"))
		}
	})
	return cmd
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func answers(path string) bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(gateway + path)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (w *world) status(t *testing.T) api.Agent {
	t.Helper()
	var report api.Report
	if err := json.Unmarshal([]byte(w.dm(t, "status", "--json")), &report); err != nil || len(report.Agents) != 1 {
		t.Fatalf("%v: %+v", err, report)
	}
	return report.Agents[0]
}

// proven waits until what is live is the proven known good.
func (w *world) proven(t *testing.T) api.Agent {
	t.Helper()
	var a api.Agent
	until(t, "proof", func() bool {
		a = w.status(t)
		return a.State == deadman.Up && a.KnownGood != nil && a.KnownGood.Standing == deadman.Proven && a.Live.Hash == a.KnownGood.Hash && a.Process != nil
	})
	return a
}

// history is what was recorded, the last entry last.
func (w *world) history(t *testing.T) []api.Entry {
	t.Helper()
	var all []api.Entry
	for line := range strings.Lines(w.dm(t, "history", "--json", "-n", "1000")) {
		var e api.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// count counts the entries of a kind, of any with "".
func (w *world) count(t *testing.T, kind, reason string) int {
	t.Helper()
	n := 0
	for _, e := range w.history(t) {
		if (kind == "" || e.Kind == kind) && (reason == "" || e.Reason == reason) {
			n++
		}
	}
	return n
}

// kill kills the gateway's main process. What it leaves behind, for it may be only what
// started another, is for deadman to find.
func kill(t *testing.T, a api.Agent) {
	t.Helper()
	if err := syscall.Kill(a.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killAll kills all that the gateway is, and waits for its end.
func killAll(t *testing.T, a api.Agent) {
	t.Helper()
	group, err := syscall.Getpgid(a.Process.PID)
	if err == nil {
		err = syscall.Kill(-group, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return !answers("/healthz") })
}
