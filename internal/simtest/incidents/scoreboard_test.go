package incidents_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"deadman/internal/simtest/incidents"
	"deadman/internal/simtest/machine"
)

const (
	scoreboard = "../../../docs/scoreboard.md"
	readme     = "../../../README.md"
	// The totals in the README are between these.
	begin = "<!-- make scoreboard writes this -->\n"
	end   = "<!-- to here -->\n"
)

// TestScoreboard runs every system in every incident and writes the document. With
// a filter only the cells that were run are written anew.
func TestScoreboard(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "scoreboard" {
		t.Skip("`make scoreboard` runs it")
	}
	board, err := incidents.ReadScoreboard(scoreboard)
	if err != nil {
		t.Fatal(err)
	}
	all := scenarios(t)
	t.Cleanup(func() {
		for path, text := range documents(t, board, all) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	m, why := boot(t)
	var mu sync.Mutex
	for _, s := range all {
		for _, system := range systems(m, why) {
			if deadman, ok := system.(*incidents.Deadman); ok && s.Only != nil && !slices.Contains(s.Only, deadman.Name()) {
				continue
			}
			t.Run(s.Name+"/"+system.Name(), func(t *testing.T) {
				t.Parallel()
				cell := incidents.NotRun
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					board.Set(s.Name, system.Name(), cell)
				}()
				if peer, ok := system.(incidents.Peer); ok && peer.Missing() != "" {
					t.Skip(peer.Missing())
				}
				v := play(t, s, system)
				t.Logf("%s\n%s", v.Cell(), strings.Join(v.Why, "\n"))
				cell = v.Cell()
			})
		}
	}
}

// documents are what is written of a scoreboard, by path.
func documents(t *testing.T, board incidents.Scoreboard, all []*incidents.Scenario) map[string]string {
	t.Helper()
	text, err := board.Markdown(all)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the totals, between %q and %q", readme, begin, end)
	}
	return map[string]string{scoreboard: text, readme: before + begin + board.Summary(all) + end + after}
}

// TestScoreboardIsCurrent: the documents have the rows, totals and configurations
// that there are. With -update they are written anew around the cells that they have.
func TestScoreboardIsCurrent(t *testing.T) {
	board, err := incidents.ReadScoreboard(scoreboard)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range documents(t, board, scenarios(t)) {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not up to date; run `make scoreboard`, or `go test ./internal/simtest/incidents -update`\n%s", path, diff)
		}
	}
}

func systems(m *machine.Machine, why string) []incidents.System {
	out := []incidents.System{&incidents.Deadman{}, &incidents.Deadman{OneShot: true}}
	for _, peer := range incidents.Peers(m, why) {
		out = append(out, peer)
	}
	return append(out, incidents.Nothing{})
}

// boot boots the machine for systemd, which sees the directory of all worlds.
func boot(t *testing.T) (m *machine.Machine, why string) {
	image, err := machine.Image()
	if err != nil {
		return nil, err.Error()
	}
	// What is mounted there later is to be seen in the machine.
	if err := unix.Mount(programs, programs, "", unix.MS_BIND, ""); err != nil {
		return nil, err.Error()
	}
	t.Cleanup(func() { _ = unix.Unmount(programs, unix.MNT_DETACH) })
	if err := unix.Mount("", programs, "", unix.MS_SHARED, ""); err != nil {
		return nil, err.Error()
	}
	if m, err = machine.Copy(image, filepath.Join(t.TempDir(), "root")); err != nil {
		return nil, err.Error()
	}
	options := []string{"--bind=" + programs}
	// One incident has the real nginx for a judge. Its libraries are everybody's.
	if nginx, err := exec.LookPath("nginx"); err == nil {
		options = append(options, "--bind-ro="+nginx)
	}
	if err := m.Boot(options...); err != nil {
		return nil, err.Error()
	}
	t.Cleanup(m.Cut)
	m.Try("mkdir -p /var/lib/nginx /var/log/nginx")
	return m, ""
}

// TestReplayScoreboard: deadman has all five judgements in the document, as
// TestReplay has it. (TestScoreboardIsCurrent: in each incident there is, and no other.)
func TestReplayScoreboard(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "replay" {
		t.Skip("`make replay` runs it")
	}
	board, err := incidents.ReadScoreboard(scoreboard)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			for _, way := range incidents.Columns()[:2] {
				want := strconv.Itoa(incidents.Judgements)
				if s.Only != nil && !slices.Contains(s.Only, way) {
					want = incidents.Inapplicable
				}
				if got := board[s.Name][way]; got != want {
					t.Errorf("docs/scoreboard.md has %q for deadman %s, want %q: run `make scoreboard INCIDENTS=%s`", got, way, want, s.Name)
				}
			}
		})
	}
}
