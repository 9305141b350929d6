package rival

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// scan is one look at a host.
type scan struct {
	host   *Host
	agents []*Agent
	rivals []Rival
	homes  func() []user
}

// Find looks through everything that runs by itself on a host, and returns what
// acts on the agents, sorted by where it is.
func Find(h *Host, agents []Agent) ([]Rival, error) {
	x := &scan{host: h, homes: sync.OnceValue(h.homes)}
	for _, a := range agents {
		x.agents = append(x.agents, &a)
	}
	x.learn()
	x.crontabs()
	x.units()
	x.propertyLists()
	x.monit()
	x.supervisord()
	x.schedules()
	var err error
	if h.live() {
		err = x.processes()
	}
	slices.SortStableFunc(x.rivals, func(a, b Rival) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Process.PID, b.Process.PID))
	})
	return x.rivals, err
}

// learn fills in what the host says of the agents.
func (x *scan) learn() {
	for _, a := range x.agents {
		if a.Unit != "" {
			a.Unit = suffixed(a.Unit)
		}
		for _, p := range a.literals() {
			if r := x.host.resolve(p); r != p {
				a.targets = append(a.targets, r)
			}
		}
		for _, argv := range a.Commands {
			a.lines = append(a.lines, strings.Join(argv, " "))
		}
	}
	x.owners()
}

func (x *scan) agent(name string) *Agent {
	for _, a := range x.agents {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func (x *scan) homeOf(name string) string {
	for _, u := range x.homes() {
		if u.name == name || u.uid == name && name != "" {
			return u.home
		}
	}
	return x.host.homeOf(name)
}

// scope is where a user's job runs.
func (x *scan) scope(user string) *scope {
	home := x.homeOf(user)
	return &scope{user: user, home: home, dir: home, vars: map[string][]string{}, funcs: map[string]*syntax.Stmt{}}
}

// verdict is what a judge has found.
type verdict struct {
	acts []Act
	via  []string
}

func (x *scan) judged(s *scope, do func(j *judge)) verdict {
	j := &judge{host: x.host, agents: x.agents, homes: x.homeOf}
	do(j)
	return verdict{j.acts, j.via}
}

// found enters a rival, if there is anything that it does.
func (x *scan) found(v verdict, r Rival) {
	r.Acts = tidy(v.acts)
	if len(r.Acts) == 0 {
		return
	}
	r.Via = slices.Compact(slices.DeleteFunc(v.via, func(p string) bool { return p == r.Path }))
	if r.Path != "" {
		sum := sha256.Sum256([]byte(r.Path + "\x00" + r.name))
		r.ID = hex.EncodeToString(sum[:6])
	} else {
		sum := sha256.Sum256([]byte(r.Process.Boot + r.Process.Start.String() + strconv.Itoa(r.Process.PID)))
		r.ID = hex.EncodeToString(sum[:6])
	}
	x.rivals = append(x.rivals, r)
}

// atMost bounds how sure acts are.
func (v verdict) atMost(sure Sure) verdict {
	for i := range v.acts {
		v.acts[i].Sure = least(v.acts[i].Sure, sure)
	}
	return v
}

// glob are the names in a directory that match a pattern.
func (x *scan) glob(dir, pattern string) []string {
	var out []string
	for _, name := range x.host.names(dir) {
		if ok, err := filepath.Match(pattern, name); err == nil && ok && !strings.HasPrefix(name, ".") {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}
