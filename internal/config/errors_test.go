package config_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"deadman/internal/config"
)

// Each archive in testdata/errors says in its comment what it shows; then come
// the main file, the drop-ins, and what is printed. -update rewrites the last.
func TestErrors(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var sources []config.Source
			for i, f := range archive.Files {
				if f.Name == "want" {
					archive.Files = archive.Files[:i]
					break
				}
				sources = append(sources, config.Source{File: f.Name, Data: f.Data})
			}
			c, problems := config.Parse("/var/lib/deadman", sources[0], sources[1:]...)
			if problems == nil {
				t.Error("no problems")
			}
			var b bytes.Buffer
			fmt.Fprintf(&b, "served: %s\n\n", strings.Join(agents(c), " "))
			if err := problems.Print(&b); err != nil {
				t.Fatal(err)
			}
			archive.Files = append(archive.Files, txtar.File{Name: "want", Data: b.Bytes()})
			golden(t, path, txtar.Format(archive))
		})
	}
}

// Whatever is wrong around it, a secret is not printed.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	agent := func(lines string) string {
		return strings.TrimSpace(minimal) + "\n    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
	}
	for name, src := range map[string]string{
		"target":                  agent("notify: [xSECRETx]"),
		"target, no URL":          agent("notify: ['ntfy://%xSECRETx']"),
		"target in a list":        agent("notify:\n- ntfy://h/xSECRETx\n- - xSECRETx"),
		"ping elsewhere":          agent("ping: htp://h/xSECRETx"),
		"list at the key":         agent("notify:\n- xSECRETx: y"),
		"misspelt key":            agent("notfy: [xSECRETx]"),
		"misspelt, flow":          "agents: {a: {notfy: [xSECRETx], period: 1}}",
		"misspelt beside":         agent("checks: {a: {http: {url: 'http://localhost/', haeders: {A: xSECRETx}}}}"),
		"wrong type":              agent("ping: [xSECRETx]"),
		"ping is a map":           agent("ping: {xSECRETx: 1}"),
		"key that is none":        agent("{xSECRETx: 1}: 2"),
		"odd key":                 agent("'https://hooks/xSECRETx': 2"),
		"long key":                agent(strings.Repeat("z", 70) + "xSECRETx: 2"),
		"url with query":          agent("checks: {a: {http: {url: 'http://127.0.0.1/?token=xSECRETx', stats: 1}}}"),
		"url with user":           agent("checks: {a: {http: {url: 'http://xSECRETx@127.0.0.1/'}}}"),
		"url elsewhere":           agent("checks: {a: {http: {url: 'htp://hooks.example.com/xSECRETx'}}}"),
		"escaped url":             agent(`log: "https:\/\/hooks.example.com\/xSECRETx"`),
		"header value":            agent("checks: {a: {http: {url: 'http://127.0.0.1/', headers: {Authorization: [xSECRETx]}}}}"),
		"header, block":           agent("checks:\n  a:\n    http:\n      url: 'http://127.0.0.1/'\n      headers:\n        'A B': xSECRETx"),
		"header, flow over lines": agent("checks: {a: {http: {url: 'http://127.0.0.1/', headers: {\n'A B': xSECRETx,\nB: [xSECRETx]}}}}"),
		"body":                    agent("checks: {a: {http: {url: 'http://127.0.0.1/', body: [xSECRETx]}}}"),
		"env":                     "agents:\n  a:\n    supervisor:\n      child: [run]\n      env:\n        bad name: xSECRETx\n        B: [xSECRETx]\n",
		"twice":                   agent("notify: [ntfy://h/a]\nnotify: [xSECRETx]"),
		"syntax":                  agent("notify: xSECRETx: y"),
		"syntax below":            agent("notify:\n  - a\n  - xSECRETx: y: z"),
		"syntax, misspelt":        agent("notfy: xSECRETx: y"),
		"syntax, no key":          agent("- 'xSECRETx"),
		"tab":                     agent("notify:\n\t- xSECRETx"),
		"enum":                    agent("recovery: {mode: xSECRETx, ping: xSECRETx}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := parse(t, src)
			if problems == nil {
				t.Fatalf("no problem in:\n%s", src)
			}
			var b bytes.Buffer
			if err := problems.Print(&b); err != nil {
				t.Fatal(err)
			}
			// A value that was refused may be shown, if no key says that it is
			// secret; but only in the excerpt.
			shown := b.String()
			if name == "enum" {
				shown = problems.Error()
			}
			if strings.Contains(shown, "SECRET") {
				t.Errorf("printed:\n%s", shown)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	archives, _ := filepath.Glob("testdata/errors/*.txtar")
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, problems := config.Parse("/s", config.Source{File: "f", Data: src})
		// A problem is at a place in the file, begins as all do, and repeats.
		for _, p := range problems {
			if !strings.HasPrefix(p.Message, "cannot ") || strings.Contains(p.Message, "\n") {
				t.Errorf("message %q", p.Message)
			}
			if p.Line < 0 || p.Line > 1+bytes.Count(src, []byte("\n"))+strings.Count(string(src), "\r")+
				strings.Count(string(src), "\u0085")+strings.Count(string(src), "\u2028")+strings.Count(string(src), "\u2029") {
				t.Errorf("line %d of %q", p.Line, src)
			}
		}
		_, again := config.Parse("/s", config.Source{File: "f", Data: src})
		if problems.Error() != again.Error() {
			t.Errorf("not the same twice:\n%v\n%v", problems, again)
		}
		// What is served satisfies the schema, if nothing was refused, and is
		// complete.
		for _, a := range c.Agents {
			if len(a.Config) == 0 || a.Config[0].Root == "" || len(a.Config[0].Files) == 0 || a.Threshold == 0 || a.Supervisor == (config.Supervisor{}) {
				t.Errorf("incomplete agent %+v", a)
			}
		}
		if problems == nil && len(c.Agents) > 0 {
			if err := satisfies(t, src); err != nil {
				t.Errorf("accepted, and not by the schema: %v\n%s", err, src)
			}
		}
	})
}
