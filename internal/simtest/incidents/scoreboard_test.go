package incidents_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"deadman/internal/simtest/incidents"
	"deadman/internal/simtest/machine"
)

const scoreboard = "../../../docs/scoreboard.md"

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
		text, err := board.Markdown(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(scoreboard, []byte(text), 0o644); err != nil {
			t.Fatal(err)
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
	if err := m.Boot("--bind=" + programs); err != nil {
		return nil, err.Error()
	}
	t.Cleanup(m.Cut)
	return m, ""
}

// TestReplayScoreboard: the document has a row for each incident and no other, and
// deadman has all five judgements in it, as TestReplay has it.
func TestReplayScoreboard(t *testing.T) {
	if testing.Short() || os.Getenv("DEADMAN_RUN") != "replay" {
		t.Skip("`make replay` runs it")
	}
	board, err := incidents.ReadScoreboard(scoreboard)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, s := range scenarios(t) {
		there[s.Name] = true
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
	for name := range board {
		if !there[name] {
			t.Errorf("docs/scoreboard.md has a row for %s, which is no incident: run `make scoreboard INCIDENTS=none`", name)
		}
	}
}
