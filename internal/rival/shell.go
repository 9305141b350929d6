package rival

import (
	"maps"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Bounds of a judgement: a script cannot make us work without end.
const (
	stepsMax  = 5000
	valuesMax = 16
	depthMax  = 3 // scripts, one calling the other
	callsMax  = 12
)

// scope is where a command would run.
type scope struct {
	user, home string
	dir        string
	vars       map[string][]string
	args       []string // $0, $1, …
	funcs      map[string]*syntax.Stmt
	text       string // of the script, for words whose value cannot be told
	depth      int    // scripts followed
	calls      int    // functions called
	loop       bool   // in a loop that has no end of its own
	branch     bool   // perhaps not run
	guess      bool   // it is not certain that this is run at all
}

// judge finds the acts of one job.
type judge struct {
	host   *Host
	agents []*Agent
	homes  func(name string) string
	acts   []Act
	via    []string
	steps  int
	// printed are the commands behind unknown words.
	printed [][][]string
	// from are the commands whose output the next one reads.
	from  [][]string
	trace *[][]string // collects the commands of a substitution
}

// shell judges a text as a shell would read it.
func (j *judge) shell(text string, s *scope) {
	s.text += "\n" + text
	for _, stmts := range parse(text) {
		j.stmts(stmts, s)
	}
}

// parse reads a text whole, or if it is no shell that we know, line by line.
func parse(text string) [][]*syntax.Stmt {
	for _, lang := range []syntax.LangVariant{syntax.LangBash, syntax.LangPOSIX, syntax.LangMirBSDKorn} {
		f, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(text), "")
		if err == nil {
			return [][]*syntax.Stmt{f.Stmts}
		}
	}
	var all [][]*syntax.Stmt
	for line := range strings.Lines(text) {
		if f, err := syntax.NewParser().Parse(strings.NewReader(line), ""); err == nil {
			all = append(all, f.Stmts)
		}
	}
	return all
}

func (j *judge) stmts(stmts []*syntax.Stmt, s *scope) {
	for _, stmt := range stmts {
		j.stmt(stmt, s)
	}
}

func (j *judge) stmt(stmt *syntax.Stmt, s *scope) {
	if j.steps++; stmt == nil || j.steps > stepsMax {
		return
	}
	for _, r := range stmt.Redirs {
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll:
			for _, p := range j.values(r.Word, s) {
				j.writes(s.path(p), s, "writes")
			}
		}
	}
	switch c := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		j.call(stmt, c, s)
	case *syntax.BinaryCmd:
		j.binary(c, s)
	case *syntax.Block:
		j.stmts(c.Stmts, s)
	case *syntax.Subshell:
		inner := *s
		inner.vars = maps.Clone(s.vars)
		j.stmts(c.Stmts, &inner)
	case *syntax.IfClause:
		j.stmts(c.Cond, s)
		j.branch(s, func() {
			j.stmts(c.Then, s)
			if c.Else != nil {
				j.stmt(&syntax.Stmt{Cmd: c.Else}, s)
			}
		})
	case *syntax.WhileClause:
		j.loop(s, !reads(c.Cond), func() {
			j.stmts(c.Cond, s)
			j.branch(s, func() { j.stmts(c.Do, s) })
		})
	case *syntax.ForClause:
		j.forClause(c, s)
	case *syntax.CaseClause:
		j.caseClause(c, s)
	case *syntax.FuncDecl:
		if c.Name != nil {
			s.funcs[c.Name.Value] = c.Body
		}
	case *syntax.TimeClause:
		j.stmt(c.Stmt, s)
	case *syntax.CoprocClause:
		j.stmt(c.Stmt, s)
	case *syntax.DeclClause:
		for _, a := range c.Args {
			j.assign(a, s)
		}
	case *syntax.TestClause, *syntax.ArithmCmd, *syntax.LetClause:
		syntax.Walk(c, func(n syntax.Node) bool {
			if sub, ok := n.(*syntax.CmdSubst); ok {
				j.stmts(sub.Stmts, s)
				return false
			}
			return true
		})
	}
}

func (j *judge) branch(s *scope, do func()) {
	was := s.branch
	s.branch = true
	do()
	s.branch = was
}

func (j *judge) loop(s *scope, endless bool, do func()) {
	was := s.loop
	s.loop = s.loop || endless
	do()
	s.loop = was
}

// reads reports whether a loop ends with its input.
func reads(cond []*syntax.Stmt) bool {
	for _, stmt := range cond {
		if c, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(c.Args) > 0 && c.Args[0].Lit() == "read" {
			return true
		}
	}
	return false
}

func (j *judge) binary(c *syntax.BinaryCmd, s *scope) {
	if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
		outer := j.trace
		var left [][]string
		j.trace = &left
		j.stmt(c.X, s)
		j.trace = outer
		if outer != nil {
			*outer = append(*outer, left...)
		}
		was := j.from
		j.from = left
		j.stmt(c.Y, s)
		j.from = was
		return
	}
	j.stmt(c.X, s)
	j.branch(s, func() { j.stmt(c.Y, s) })
}

func (j *judge) forClause(c *syntax.ForClause, s *scope) {
	iter, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		endless := false
		if style, ok := c.Loop.(*syntax.CStyleLoop); ok {
			endless = style.Cond == nil
		}
		j.loop(s, endless, func() { j.stmts(c.Do, s) })
		return
	}
	values := s.args[min(1, len(s.args)):]
	if iter.InPos.IsValid() {
		values = j.fields(iter.Items, s)
	}
	for _, v := range values[:min(len(values), valuesMax)] {
		s.vars[iter.Name.Value] = []string{v}
		j.stmts(c.Do, s)
	}
}

// caseClause goes into those arms that the word may match.
func (j *judge) caseClause(c *syntax.CaseClause, s *scope) {
	words := j.values(c.Word, s)
	unsure := slices.ContainsFunc(words, open) || len(words) == 0
	j.branch(s, func() {
		for _, item := range c.Items {
			matched := unsure
			for _, pattern := range item.Patterns {
				for _, p := range j.values(pattern, s) {
					for _, w := range words {
						if ok, err := path.Match(p, w); err != nil || ok || p == "*" {
							matched = true
						}
					}
				}
			}
			if matched {
				j.stmts(item.Stmts, s)
				if !unsure {
					return
				}
			}
		}
	})
}

func (j *judge) assign(a *syntax.Assign, s *scope) {
	if a.Name == nil {
		return
	}
	var values []string
	switch {
	case a.Array != nil:
		var words []*syntax.Word
		for _, e := range a.Array.Elems {
			if e.Value != nil {
				words = append(words, e.Value)
			}
		}
		values = []string{strings.Join(j.fields(words, s), " ")}
	case a.Value != nil:
		values = j.values(a.Value, s)
	case a.Naked:
		return
	default:
		values = []string{""}
	}
	if s.branch || a.Append {
		for _, v := range s.vars[a.Name.Value] {
			if !slices.Contains(values, v) && len(values) < valuesMax {
				values = append(values, v)
			}
		}
	}
	s.vars[a.Name.Value] = values
}

// call judges one simple command.
func (j *judge) call(stmt *syntax.Stmt, c *syntax.CallExpr, s *scope) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			j.assign(a, s)
		}
		return
	}
	inner := s
	if len(c.Assigns) > 0 {
		copied := *s
		copied.vars = maps.Clone(s.vars)
		for _, a := range c.Assigns {
			j.assign(a, &copied)
		}
		inner = &copied
	}
	for _, argv := range j.commands(c.Args, inner) {
		if body, ok := s.funcs[argv[0]]; ok && s.calls < callsMax {
			called := *inner
			called.args = append([]string{argv[0]}, argv[1:]...)
			called.calls++
			j.stmt(body, &called)
			continue
		}
		switch argv[0] {
		case "cd", "pushd":
			if len(argv) > 1 {
				s.dir = s.path(argv[len(argv)-1])
			} else {
				s.dir = s.home
			}
			continue
		case ".", "source":
			if len(argv) > 1 {
				j.source(argv[1], s)
			}
			continue
		case "eval", "trap":
			if len(argv) > 1 {
				j.stmts(slices.Concat(parse(strings.Join(argv[1:], " "))...), inner)
			}
			continue
		}
		if here := heredoc(stmt); here != nil && shells[path.Base(argv[0])] && len(argv) == 1 {
			for _, text := range j.values(here, inner) {
				j.stmts(slices.Concat(parse(text)...), inner)
			}
			continue
		}
		if j.trace != nil {
			*j.trace = append(*j.trace, argv)
		}
		j.command(argv, inner)
	}
}

func heredoc(stmt *syntax.Stmt) *syntax.Word {
	for _, r := range stmt.Redirs {
		if r.Hdoc != nil {
			return r.Hdoc
		}
	}
	return nil
}
