package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"deadman/internal/config"
)

// write puts the files of a txtar archive into a new directory.
func write(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	t.Parallel()
	agent := func(name string) string {
		return "agents: {" + name + ": {config: {root: /srv/" + name + ", files: [x]}, supervisor: {child: [run]}}}\n"
	}
	for _, test := range []struct {
		name, files string
		served      []string
		problems    []string // substrings, in order
	}{{
		name:   "drop-ins in the order of their names",
		files:  "-- deadman.yaml --\n" + agent("m") + "-- conf.d/20.yaml --\n" + agent("b") + "-- conf.d/10.yaml --\n" + agent("a"),
		served: []string{"a", "b", "m"},
	}, {
		name:     "one bad drop-in disarms nobody else",
		files:    "-- deadman.yaml --\n" + agent("m") + "-- conf.d/a.yaml --\nagents: {a: [\n-- conf.d/b.yaml --\n" + agent("b"),
		served:   []string{"b", "m"},
		problems: []string{"conf.d/a.yaml:"},
	}, {
		name:     "without the main file the state directory is not known",
		files:    "-- conf.d/a.yaml --\n" + agent("a"),
		served:   []string{},
		problems: []string{"deadman.yaml: cannot read the config: no such file or directory"},
	}, {
		name:   "beside drop-ins it may be empty",
		files:  "-- deadman.yaml --\n-- conf.d/a.yaml --\n" + agent("a"),
		served: []string{"a"},
	}, {
		name:     "a broken main file",
		files:    "-- deadman.yaml --\nstate-dir: [\n-- conf.d/a.yaml --\n" + agent("a"),
		served:   []string{},
		problems: []string{"deadman.yaml:"},
	}, {
		name:     "nothing to guard",
		files:    "-- deadman.yaml --\n",
		served:   []string{},
		problems: []string{"cannot guard anything"},
	}, {
		name:     "another extension is not silently ignored, an editor's file is",
		files:    "-- deadman.yaml --\n" + agent("m") + "-- conf.d/a.yml --\n" + agent("a") + "-- conf.d/.b.yaml --\n[[\n-- conf.d/README --\nhello\n",
		served:   []string{"m"},
		problems: []string{"a.yml: cannot use this drop-in: only *.yaml are read"},
	}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, problems := config.Load(filepath.Join(write(t, test.files), "deadman.yaml"))
			if got := agents(c); !slices.Equal(got, test.served) {
				t.Errorf("served %v, want %v", got, test.served)
			}
			if len(problems) != len(test.problems) {
				t.Fatalf("problems: %v, want %v", problems, test.problems)
			}
			for i, want := range test.problems {
				if !strings.Contains(problems[i].Error(), want) {
					t.Errorf("problem %q, want %q", problems[i], want)
				}
			}
			if c.StateDir == "" || c.RequestLog == "" {
				t.Errorf("state %q, request log %q", c.StateDir, c.RequestLog)
			}
		})
	}
}

// What is not a file is named, and never waited for.
func TestLoadOddFiles(t *testing.T) {
	t.Parallel()
	dir := write(t, "-- deadman.yaml --\n-- conf.d/big.yaml --\n"+strings.Repeat("#\n", 3<<20))
	if err := syscall.Mkfifo(filepath.Join(dir, "conf.d/fifo.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d/dir.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, problems := config.Load(filepath.Join(dir, "deadman.yaml"))
	got := strings.ReplaceAll(problems.Error(), dir, "")
	want := `/conf.d/big.yaml: cannot read the drop-in: it is larger than 4 MiB
/conf.d/dir.yaml: cannot read the drop-in: it is not a file
/conf.d/fifo.yaml: cannot read the drop-in: it is not a file`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDefaultPaths(t *testing.T) {
	t.Parallel()
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			if i := slices.Index(pairs, name); i >= 0 {
				return pairs[i+1]
			}
			return ""
		}
	}
	for _, test := range []struct {
		euid        int
		getenv      func(string) string
		path, state string
	}{
		{0, env("XDG_CONFIG_HOME", "/x", "HOME", "/home/a"), "/etc/deadman/deadman.yaml", "/var/lib/deadman"},
		{7, env("HOME", "/home/a"), "/home/a/.config/deadman/deadman.yaml", "/home/a/.local/state/deadman"},
		{7, env("XDG_CONFIG_HOME", "/c", "XDG_STATE_HOME", "/s"), "/c/deadman/deadman.yaml", "/s/deadman"},
		{7, env("HOME", "/home/a", "XDG_CONFIG_HOME", "rel", "XDG_STATE_HOME", "rel"), "/home/a/.config/deadman/deadman.yaml", "/home/a/.local/state/deadman"},
	} {
		if got := config.DefaultPath(test.euid, test.getenv); got != test.path {
			t.Errorf("path %s, want %s", got, test.path)
		}
		if got := config.DefaultStateDir(test.euid, test.getenv); got != test.state {
			t.Errorf("state %s, want %s", got, test.state)
		}
	}
}
