package deadman_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tables below are a statement of policy: which package may know of which.
// The direction is
//
//	cmd → cli → daemon → {server, guard, adapters} → lifecycle → deadman
//
// where adapters do not import each other (restore → snapshot is the one
// exception) and meet in daemon.
//
// DO NOT CHANGE THIS DATA TO FIX BUILDS. Declare an interface where it is used
// and let daemon put the two together, or argue for the new edge first.
//
// They hold for every file whatever its build tags. Test files may import any
// package of ours; of the libraries only those that are in the table.

// internalPolicy has a line for every package of the module: what of the module
// it may import. A package without a line is an error.
var internalPolicy = table(`
	deadman:

	# Leaves: they know at most the vocabulary.
	internal/atomicfile:
	internal/confine:
	internal/document:      internal/lazy
	internal/lazy:
	internal/proc:          deadman
	internal/service:

	# The core.
	internal/lifecycle:     deadman
	internal/guard:         deadman internal/lifecycle

	# Adapters.
	internal/canonical:     deadman
	internal/cause:         deadman internal/proc
	internal/config:        deadman internal/document internal/lazy
	internal/health:        deadman internal/proc
	internal/record:        deadman internal/atomicfile
	internal/restore:       deadman internal/atomicfile internal/document internal/snapshot
	internal/rival:         deadman internal/atomicfile internal/lazy internal/proc
	internal/sink/metrics:  deadman
	internal/sink/notify:   deadman internal/atomicfile
	internal/sink/requestlog: deadman
	internal/snapshot:      deadman internal/atomicfile internal/document
	internal/supervisor:    deadman internal/proc
	internal/validate:      deadman internal/document internal/lazy

	# Where they meet, and what is above.
	internal/api:           deadman
	internal/server:        deadman internal/api
	internal/daemon:        deadman internal/api internal/atomicfile internal/canonical internal/cause
	internal/daemon:        internal/config internal/confine internal/document internal/guard internal/health internal/lifecycle
	internal/daemon:        internal/proc internal/record internal/restore internal/rival internal/server
	internal/daemon:        internal/sink/metrics internal/sink/notify internal/sink/requestlog
	internal/daemon:        internal/snapshot internal/supervisor internal/validate
	internal/cli:           deadman internal/api internal/atomicfile internal/config internal/daemon internal/document internal/service
	# The shim of a child must come before everything else that main does.
	cmd/deadman:            internal/cli internal/supervisor

	demo/agent:
`)

// forTests is where packages are that only tests use. They need no line, are as
// free as test files are, and nothing else can import them.
const forTests = "internal/simtest"

// libraryPolicy has a line for every library: who may import it or a package
// below it. A library without a line is an error.
var libraryPolicy = table(`
	github.com/aymanbagabas/go-udiff:   internal/cli internal/daemon
	github.com/coreos/go-systemd/v22:   internal/daemon internal/supervisor
	github.com/fsnotify/fsnotify:       internal/daemon
	github.com/godbus/dbus/v5:          internal/supervisor
	github.com/gofrs/flock:             internal/daemon
	github.com/ncruces/go-sqlite3:      internal/record internal/sink/requestlog
	github.com/pelletier/go-toml/v2:    internal/document
	github.com/spf13/cobra:             internal/cli
	github.com/spf13/pflag:             internal/cli
	go.yaml.in/yaml/v4:                 internal/config internal/document demo/agent
	golang.org/x/sys/unix:              internal/atomicfile internal/confine internal/daemon internal/health internal/proc internal/record
	golang.org/x/sys/unix:              internal/restore internal/rival internal/snapshot internal/supervisor
	mvdan.cc/sh/v3:                     internal/rival

	# For tests only.
	github.com/google/go-cmp:
	github.com/hanwen/go-fuse/v2:
	github.com/rogpeppe/go-internal:
	github.com/titanous/json5:
	pgregory.net/rapid:
`)

// stdPolicy restricts packages of the standard library: who may import them.
// Those without a line are free.
var stdPolicy = table(`
	database/sql:   internal/record internal/sink/requestlog
	math/rand:
	plugin:

	# A static binary has no C in it.
	C:
`)

// pureStd is all that lifecycle may import of the standard library: it has no
// clock, no randomness and no I/O.
var pureStd = []string{"fmt", "slices", "strings", "time"}

// impure are the functions of package time that read a clock or wait on one.
var impure = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// table reads lines of the form "name: words"; lines of the same name add up.
func table(text string) map[string][]string {
	t := map[string][]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, words, ok := strings.Cut(line, ":")
		if !ok {
			panic("policy: no colon in " + line)
		}
		t[name] = append(t[name], strings.Fields(words)...)
	}
	return t
}

// file is one Go file of the module, parsed.
type file struct {
	pkg  string // relative to the module, "deadman" for its root
	name string // relative to the module
	test bool
	*ast.File
}

func parseFile(fset *token.FileSet, name string, src any) (file, error) {
	pkg := path.Dir(name)
	if pkg == "." {
		pkg = "deadman"
	}
	// Bodies matter only where the clock is banned; imports and comments everywhere.
	mode := parser.ImportsOnly | parser.ParseComments
	if pkg == "internal/lifecycle" {
		mode = parser.SkipObjectResolution | parser.ParseComments
	}
	f, err := parser.ParseFile(fset, name, src, mode)
	return file{pkg: pkg, name: name, test: strings.HasSuffix(name, "_test.go"), File: f}, err
}

// violations of the import tables, and in lifecycle of purity.
func (f file) violations(fset *token.FileSet) []string {
	var found []string
	report := func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(format, args...)))
	}
	allowed, ok := internalPolicy[f.pkg]
	inTests := f.pkg == forTests || strings.HasPrefix(f.pkg, forTests+"/")
	free := inTests || f.test
	if !ok && !inTests {
		report(f.Package, "package %s has no line in internalPolicy", f.pkg)
	}
	pure := f.pkg == "internal/lifecycle" && !f.test
	for _, spec := range f.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		ours, inModule := strings.CutPrefix(imported, "deadman/")
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case imported == "deadman" || inModule:
			if free || slices.Contains(allowed, ours) {
				continue
			}
			report(spec.Pos(), "%s must not import %s", f.pkg, ours)
		case strings.Contains(first, "."):
			line, users := match(libraryPolicy, imported)
			if line == "" {
				report(spec.Pos(), "library %s has no line in libraryPolicy", imported)
			} else if !free && !slices.Contains(users, f.pkg) {
				report(spec.Pos(), "%s must not import %s", f.pkg, imported)
			}
		default:
			if pure && !slices.Contains(pureStd, imported) {
				report(spec.Pos(), "%s must not import %s: it decides and does nothing else", f.pkg, imported)
			}
			if line, users := match(stdPolicy, imported); line != "" && !free && !slices.Contains(users, f.pkg) {
				report(spec.Pos(), "%s must not import %s", f.pkg, imported)
			}
		}
		if pure && spec.Name != nil {
			report(spec.Pos(), "%s must not rename an import: it would hide the clock", f.pkg)
		}
	}
	if pure {
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(impure, n.Sel.Name) {
					report(n.Pos(), "%s must not use time.%s: time is an argument", f.pkg, n.Sel.Name)
				}
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
				report(n.Pos(), "%s must not use goroutines or channels", f.pkg)
			}
			return true
		})
	}
	return found
}

// match returns the longest name in t that imported is, or is below.
func match(t map[string][]string, imported string) (name string, users []string) {
	for p := imported; p != "."; p = path.Dir(p) {
		if users, ok := t[p]; ok {
			return p, users
		}
	}
	return "", nil
}

// moduleFiles parses every Go file of this module: not those in testdata, nor
// in modules of their own such as tools.
func moduleFiles(t *testing.T, fset *token.FileSet) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name == "." {
				return nil
			}
			if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		f, err := parseFile(fset, filepath.ToSlash(name), nil)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("cannot find any Go file: run the test in the root of the module")
	}
	return files
}

func TestImports(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	for _, f := range moduleFiles(t, fset) {
		for _, v := range f.violations(fset) {
			t.Error(v)
		}
	}
}

// TestPolicyIsSound: every package that a table speaks of is one of internalPolicy,
// and following its edges never leads back to where one started.
func TestPolicyIsSound(t *testing.T) {
	t.Parallel()
	for _, table := range []map[string][]string{internalPolicy, libraryPolicy, stdPolicy} {
		for name, words := range table {
			for _, word := range words {
				if _, ok := internalPolicy[word]; !ok {
					t.Errorf("%s: %s has no line in internalPolicy", name, word)
				}
			}
		}
	}
	var visit func(pkg string, above []string)
	visit = func(pkg string, above []string) {
		if slices.Contains(above, pkg) {
			t.Fatalf("the policy allows a cycle: %s", strings.Join(append(above, pkg), " → "))
		}
		for _, imported := range internalPolicy[pkg] {
			visit(imported, append(slices.Clone(above), pkg))
		}
	}
	for pkg := range internalPolicy {
		visit(pkg, nil)
	}
}

// TestPolicyBites shows that each rule reports what it is there for, and that
// what is allowed passes.
func TestPolicyBites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, src string
		want      string // a part of the one violation, "" for none
	}{
		{"internal/restore/a.go", `import "deadman/internal/snapshot"`, ""},
		{"internal/snapshot/a.go", `import "deadman/internal/restore"`, "must not import internal/restore"},
		{"internal/snapshot/a_test.go", `import "deadman/internal/restore"`, ""},
		{"internal/health/a.go", `import "deadman/internal/simtest"`, "must not import internal/simtest"},
		{"internal/simtest/nginx/a.go", `import "deadman/internal/daemon"`, ""},
		{"internal/misc/a.go", ``, "has no line in internalPolicy"},
		{"enum.go", `import "deadman/internal/proc"`, "deadman must not import internal/proc"},
		{"cmd/deadman/main.go", `import "deadman/internal/daemon"`, "must not import internal/daemon"},

		{"internal/record/a.go", `import _ "github.com/ncruces/go-sqlite3/driver"`, ""},
		{"internal/daemon/a.go", `import _ "github.com/ncruces/go-sqlite3/driver"`, "must not import github.com/ncruces/go-sqlite3/driver"},
		{"internal/daemon/a.go", `import "database/sql"`, "must not import database/sql"},
		{"internal/daemon/a.go", `import "github.com/google/go-cmp/cmp"`, "must not import github.com/google/go-cmp/cmp"},
		{"internal/daemon/a_test.go", `import "github.com/google/go-cmp/cmp"`, ""},
		{"internal/daemon/a_test.go", `import "example.org/new"`, "has no line in libraryPolicy"},
		{"internal/validate/a.go", `import "C"`, "must not import C"},
		{"internal/guard/a.go", `import "math/rand/v2"`, "must not import math/rand/v2"},

		{"internal/lifecycle/a.go", `import "os"`, "decides and does nothing else"},
		{"internal/lifecycle/a_test.go", `import "os"`, ""},
		{"internal/lifecycle/a.go", `import clock "time"`, "would hide the clock"},
		{"internal/lifecycle/a.go", "import \"time\"\nvar now = time.Now()", "must not use time.Now"},
		{"internal/lifecycle/a.go", "import \"time\"\nvar read = time.Since", "must not use time.Since"},
		{"internal/lifecycle/a.go", "import \"time\"\nvar d = time.Second", ""},
		{"internal/lifecycle/a.go", "func f() { go f() }", "goroutines"},
	} {
		fset := token.NewFileSet()
		f, err := parseFile(fset, tt.name, "package p\n"+tt.src)
		if err != nil {
			t.Fatal(err)
		}
		got := f.violations(fset)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %s\n got %q\nwant %q", tt.name, tt.src, got, tt.want)
		}
	}
}

// TestEveryPackageHasADoc: what it is, what it promises, what it leaves out.
func TestEveryPackageHasADoc(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for _, f := range moduleFiles(t, token.NewFileSet()) {
		if f.test {
			continue
		}
		if _, ok := docs[f.pkg]; !ok {
			docs[f.pkg] = nil // so that a package without any is counted
		}
		if f.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.name)
		}
	}
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments %v, want one", pkg, len(files), files)
		}
	}
}

// TestNoMachineInTheRepository: nothing that is checked in, or about to be,
// names the machine that it was written on or where that machine gets its
// packages from.
func TestNoMachineInTheRepository(t *testing.T) {
	t.Parallel()
	// -z: names with blanks; -co: also what is not added yet and not ignored.
	names, err := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("not a git checkout, or no git: %v", err)
	}
	// The preceding character keeps directories of that name in ours apart from it.
	ours := regexp.MustCompile(`(^|[^\w.$}/-])` + "/wo" + `rk/`)
	hosts := []string{"proxy.gol" + "ang.org", "sum.gol" + "ang.org", "registry.np" + "mjs.org", "py" + "pi.org", "deb.deb" + "ian.org"}
	proxies, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	for proxy := range strings.FieldsFuncSeq(string(proxies), func(r rune) bool { return strings.ContainsRune(",|\n", r) }) {
		u, err := url.Parse(proxy)
		if err == nil && strings.Contains(u.Hostname(), ".") && !strings.HasPrefix(u.Hostname(), "127.") {
			hosts = append(hosts, u.Hostname())
		}
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // deleted and not yet committed, or a link to a directory
		}
		says := func(what string, end int) {
			t.Errorf("%s:%d: %q does not belong in the repository", name, 1+bytes.Count(content[:end], []byte("\n")), what)
		}
		if at := ours.FindIndex(content); at != nil {
			says(string(content[at[0]:at[1]]), at[1])
		}
		lower := bytes.ToLower(content)
		for _, host := range hosts {
			if at := bytes.Index(lower, []byte(strings.ToLower(host))); at >= 0 {
				says(host, at)
			}
		}
	}
}
