package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman/internal/snapshot"
)

func file(path, text string) snapshot.Piece {
	return snapshot.Piece{Path: path, Type: snapshot.File, Bytes: []byte(text)}
}

func described(l *snapshot.Look) string {
	var lines []string
	for _, m := range l.Members {
		line := fmt.Sprintf("%s %04o %s", m.Type, m.Mode, m.Name())
		if m.Target != "" {
			line += " -> " + filepath.Base(m.Target)
		}
		if m.Type == snapshot.File {
			line += " " + string(l.Bytes(m.Name()))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestCompose(t *testing.T) {
	dir := tree(t, map[string]string{"config.yaml": "a", ".env": "KEY=1", "conf.d/a.yaml": "a", "conf.d/b.yaml": "b", "README": "no", "ext/x.yaml": "theirs"})
	must(t, os.Chmod(filepath.Join(dir, "config.yaml"), 0o444))
	must(t, os.Chmod(filepath.Join(dir, ".env"), 0o600))
	must(t, os.Chmod(filepath.Join(dir, "conf.d/a.yaml"), 0o640))
	must(t, os.Chmod(filepath.Join(dir, "conf.d"), 0o750))
	sets := one(dir, "config.yaml", ".env", "conf.d/*.yaml", "new/**", "run.sh")
	sets[0].Exclude, sets[0].Reads = []string{"secret.yaml"}, []string{"ext/*.yaml"}
	base := observe(t, sets)
	script := file("run.sh", "#!/bin/sh")
	script.Executable = true
	look, err := snapshot.Compose(sets, base, []snapshot.Piece{
		file("config.yaml", "b"), file("conf.d/c.yaml", "c"), file("new/deep/x.yaml", "x"), script,
		file("README", "no pattern names it"), file("conf.d/secret.yaml", "excluded"), file("ext/x.yaml", "another's"), file("../up.yaml", "up"),
	}, snapshot.DefaultLimits)
	must(t, err)
	want := `file 0600 .env KEY=1
dir 0750 conf.d
file 0640 conf.d/a.yaml a
file 0644 conf.d/b.yaml b
file 0640 conf.d/c.yaml c
file 0444 config.yaml b
dir 0755 ext
file 0644 ext/x.yaml theirs
dir 0755 new
dir 0755 new/deep
file 0444 new/deep/x.yaml x
file 0700 run.sh #!/bin/sh`
	if got := described(look); got != want {
		t.Errorf("composed:\n%s\nwant:\n%s", got, want)
	}
	// Put in place by hand, it is what is seen there.
	grow(t, dir, map[string]string{"conf.d/c.yaml": "c", "new/deep/x.yaml": "x", "run.sh": "#!/bin/sh"})
	must(t, os.Remove(filepath.Join(dir, "config.yaml")))
	grow(t, dir, map[string]string{"config.yaml": "b"})
	for name, mode := range map[string]os.FileMode{"conf.d/c.yaml": 0o640, "new/deep/x.yaml": 0o444, "run.sh": 0o700, "config.yaml": 0o444} {
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	now := observe(t, sets)
	if now.Hash != look.Hash || now.Identity != look.Identity || now.Content != look.Content {
		t.Errorf("in place it is\n%s", described(now))
	}
	// Nothing new is the base again.
	if same, err := snapshot.Compose(sets, base, []snapshot.Piece{file("config.yaml", "a")}, snapshot.DefaultLimits); err != nil || same.Hash != base.Hash {
		t.Errorf("with nothing new: %v, %v", same, err)
	}
}

func TestComposeThroughLinks(t *testing.T) {
	checkout := tree(t, map[string]string{"config.yaml": "a", "d/x.yaml": "x"})
	dir := tree(t, map[string]string{
		"config.yaml": "-> " + checkout + "/config.yaml", "own.yaml": "-> elsewhere.yaml", "d": "-> " + checkout + "/d",
	})
	sets := one(dir, "config.yaml", "own.yaml", "d/*.yaml")
	sets[0].Follow = []string{checkout}
	base := observe(t, sets)
	look, err := snapshot.Compose(sets, base, []snapshot.Piece{file("config.yaml", "b"), file("own.yaml", "b"), file("d/x.yaml", "y")}, snapshot.DefaultLimits)
	must(t, err)
	want := `file 0644 config.yaml -> config.yaml b
link 0777 d -> d
file 0644 d/x.yaml y
link 0777 own.yaml -> elsewhere.yaml`
	if got := described(look); got != want {
		t.Errorf("composed:\n%s\nwant:\n%s", got, want)
	}
	if m, _ := look.Member("config.yaml"); m.Followed != filepath.Join(checkout, "config.yaml") {
		t.Errorf("config.yaml is put at %q", m.Followed)
	}
}

func TestComposeRefuses(t *testing.T) {
	dir := tree(t, map[string]string{"config.yaml": "a", "conf.d/a.yaml": "a"})
	sets := one(dir, "config.yaml", "conf.d", "conf.d/*", "config.yaml/*")
	base := observe(t, one(dir, "config.yaml", "conf.d/*"))
	link := snapshot.Piece{Path: "config.yaml", Type: snapshot.Link, Bytes: []byte("x")}
	for _, c := range []struct {
		piece  snapshot.Piece
		limits snapshot.Limits
		want   string
	}{
		{piece: file("conf.d", "x"), want: "it is a directory"},
		{piece: file("config.yaml/x", "x"), want: "in which it would lie, is a file"},
		{piece: link, want: "it is a link"},
		{piece: file("config.yaml", "aaaa"), limits: snapshot.Limits{File: 3, Set: 100, Files: 9}, want: string(snapshot.FileTooBig)},
		{piece: file("config.yaml", "aaaa"), limits: snapshot.Limits{File: 9, Set: 4, Files: 9}, want: string(snapshot.SetTooBig)},
		{piece: file("config.yaml", "aaaa"), limits: snapshot.Limits{File: 9, Set: 9, Files: 2}, want: string(snapshot.TooMany)},
	} {
		if c.limits == (snapshot.Limits{}) {
			c.limits = snapshot.DefaultLimits
		}
		look, err := snapshot.Compose(sets, base, []snapshot.Piece{c.piece}, c.limits)
		if err == nil || !strings.Contains(err.Error(), c.want) || look != nil {
			t.Errorf("%s: got %v, want %q", c.piece.Path, err, c.want)
		}
	}
	var none *snapshot.ComposeError
	if _, err := snapshot.Compose(one(t.TempDir(), "config.yaml"), base, nil, snapshot.DefaultLimits); !errors.As(err, &none) {
		t.Errorf("over a base of another root: got %v", err)
	}
}

func TestRecall(t *testing.T) {
	dir := tree(t, map[string]string{"config.yaml": "a", "conf.d/a.yaml": "a"})
	sets := one(dir, "config.yaml", "conf.d/*")
	look := observe(t, sets)
	store, err := snapshot.Open(filepath.Join(t.TempDir(), "agents", "a"), "a")
	must(t, err)
	defer store.Close()
	m, err := store.Save(look, sets, snapshot.Meta{Now: noon})
	must(t, err)
	back, err := store.Recall(m)
	must(t, err)
	if described(back) != described(look) || back.Hash != look.Hash {
		t.Errorf("recalled\n%s\nsaved\n%s", described(back), described(look))
	}
}
