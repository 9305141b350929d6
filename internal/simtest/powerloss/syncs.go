package powerloss

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Sync is one place in the program's source that makes something durable: a
// call, or the text that tells SQLite to.
type Sync struct {
	File string // relative to the module
	Func string
	Call string // as it is written, or "synchronous" for the text
	N    int    // which one of these in the function, from 1

	pos, end int // in the file
}

func (s Sync) String() string { return fmt.Sprintf("%s %s %s %d", s.File, s.Func, s.Call, s.N) }

// syncers are the functions that sync, beside every method called Sync.
var syncers = []string{"SyncDir", "syncDir", "syncNames", "Fsync", "Fdatasync", "SyncFileRange", "Syncfs"}

// Syncs lists every one in the Go files of the module at root that the program is
// made of.
func Syncs(root string) ([]Sync, error) {
	var all []Sync
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" ||
				slices.Contains([]string{"internal/simtest", "tools", "demo"}, filepath.ToSlash(name))) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		found, err := syncsOf(path, filepath.ToSlash(name))
		all = append(all, found...)
		return err
	})
	return all, err
}

func syncsOf(path, name string) ([]Sync, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []Sync
	for _, decl := range file.Decls {
		within := "init"
		if f, ok := decl.(*ast.FuncDecl); ok {
			within = f.Name.Name
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			call := ""
			switch n := n.(type) {
			case *ast.CallExpr:
				switch fun := n.Fun.(type) {
				case *ast.SelectorExpr:
					if fun.Sel.Name == "Sync" && len(n.Args) == 0 || slices.Contains(syncers, fun.Sel.Name) {
						call = source(set, n)
					}
				case *ast.Ident:
					if slices.Contains(syncers, fun.Name) {
						call = source(set, n)
					}
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && strings.Contains(strings.ToLower(n.Value), "synchronous") {
					call = "synchronous"
				}
			}
			if call == "" {
				return true
			}
			s := Sync{File: name, Func: within, Call: call, N: 1, pos: set.Position(n.Pos()).Offset, end: set.Position(n.End()).Offset}
			for _, other := range found {
				if other.Func == s.Func && other.Call == s.Call {
					s.N++
				}
			}
			found = append(found, s)
			return true
		})
	}
	return found, nil
}

// source is a call in one line without blanks.
func source(set *token.FileSet, n ast.Node) string {
	var b bytes.Buffer
	_ = format.Node(&b, set, n)
	return strings.Join(strings.Fields(b.String()), "")
}

// Overlay writes to dir an overlay for `go build -overlay`, in which each of these
// is left out when the environment variable names it, and returns its path.
func Overlay(root, dir, variable string, syncs []Sync) (string, error) {
	replace := map[string]string{}
	write := func(name string, text []byte) error {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		replace[filepath.Join(root, name)] = path
		return os.WriteFile(path, text, 0o600)
	}
	byFile := map[string][]Sync{}
	for _, s := range syncs {
		byFile[s.File] = append(byFile[s.File], s)
	}
	for name, list := range byFile {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		slices.SortFunc(list, func(a, b Sync) int { return b.pos - a.pos }) // from the end
		for _, s := range list {
			old := string(text[s.pos:s.end])
			with := fmt.Sprintf("powerlossSync(%q, func() error { return %s })", s, old)
			if s.Call == "synchronous" {
				with = fmt.Sprintf("powerlossText(%q, %s)", s, old)
			}
			text = slices.Replace(text, s.pos, s.end, []byte(with)...)
		}
		if err := write(name, text); err != nil {
			return "", err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		if err := write(filepath.Join(filepath.Dir(name), "powerloss_removed.go"), fmt.Appendf(nil, removable, file.Name.Name, strconv.Quote(variable))); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

const removable = `package %s

import (
	powerlossos "os"
	powerlossstrings "strings"
)

// At the start: a program may clear its environment later.
var powerlossRemoved = powerlossos.Getenv(%s)

func powerlossSync(name string, sync func() error) error {
	if name == powerlossRemoved {
		return nil
	}
	return sync()
}

func powerlossText(name, text string) string {
	if name == powerlossRemoved {
		return powerlossstrings.ReplaceAll(powerlossstrings.ReplaceAll(text, "FULL", "OFF"), "EXTRA", "OFF")
	}
	return text
}
`
