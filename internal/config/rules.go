package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"deadman/internal/document"
)

// judge finds what no single key can show: keys that are missing after the
// defaults have been merged in, and keys that exclude each other.
type judge struct {
	found    *collection
	stateDir string
}

// missing reports required keys that are not there. Where a key was refused
// nothing is called missing: it may be the one, misspelt.
func (j judge) missing(v *value) {
	if v.bad {
		return
	}
	for _, s := range v.spec.kids {
		if _, there := v.kids[s.name]; s.required && !there && v.spec.kind == group && v.spec.shape != named &&
			v.elems == nil && (s.form == "" || s.form == v.form) {
			hint := ""
			if s.oneForm {
				hint = fmt.Sprintf("add %s: with one of %s", s.name, words(builtForms(s)))
			}
			if s.path == "config.root" {
				hint = "add root: with the directory that the files are in"
			}
			j.found.add(v.at.error(fmt.Sprintf("cannot use %s: %s is missing", orTop(v.path), s.name), hint))
		}
	}
	for _, e := range v.elems {
		j.missing(e)
	}
	for _, n := range v.names {
		j.missing(v.kids[n])
	}
}

// clash reports a combination that cannot be. It stands at the first of the
// values that somebody wrote, and names the place of each other.
func (j judge) clash(why, hint string, values ...*value) {
	var at *value
	var others []string
	for _, v := range values {
		if at == nil && !v.absent {
			at = v
		}
	}
	if at == nil {
		return // two defaults: a test of the table shows that they agree
	}
	for _, v := range values {
		if v == at {
			continue
		}
		where := "the default"
		if !v.absent {
			where = v.at.from(at.at.src.file)
		}
		others = append(others, fmt.Sprintf("%s: %s", v.path, where))
	}
	j.found.add(at.at.error(fmt.Sprintf("cannot use %s: %s (%s)", at.path, why, strings.Join(others, "; ")), hint))
}

// sound reports whether none of the values was refused already.
func sound(values ...*value) bool {
	for _, v := range values {
		if v.bad {
			return false
		}
	}
	return true
}

// agent judges one agent, defaults merged in.
func (j judge) agent(v *value) {
	j.missing(v)
	j.pacing(v)
	if checks := v.kid("checks"); !checks.bad {
		for _, n := range checks.names {
			j.check(checks.kids[n], v.kid("period"))
		}
	}
	if u := v.kid("supervisor").kid("systemd"); !v.kid("supervisor").bad && !u.bad && v.kid("supervisor").form == "systemd" {
		j.unit(u)
	}
	if c := v.kid("config"); !c.bad {
		j.labels(c.sets())
		for _, s := range c.sets() {
			j.set(s, v.kid("safe"))
		}
	}
	j.window(v.kid("supervisor").kid("tmux"))
	j.publish(v.kid("publish"))
}

// publish judges which files are given to whoever can read a repository. Where a
// pattern stands for names, an .env may come to be among them.
func (j judge) publish(v *value) {
	files := v.kid("files")
	if v.absent || !sound(v, files) {
		return
	}
	for _, e := range files.elems {
		env := path.Join(path.Dir(e.text), ".env")
		if document.FormatOf(e.text) == document.Env {
			env = e.text
		}
		secret := env == e.text || meet(absolute("/", e.text), literal("/"+env))
		if sound(e) && secret {
			j.found.add(e.at.error("cannot use "+e.path+": it would publish "+env+", where secrets are", "name the files that have none"))
		}
	}
	if push := v.kid("push"); !push.absent && sound(push) && (push.text == "" || strings.HasPrefix(push.text, "-")) {
		j.found.add(push.at.error("cannot use "+push.path+": it is not the name of a remote", ""))
	}
}

// window judges the name of a window of tmux, where names of sessions hold
// neither colon nor dot.
func (j judge) window(v *value) {
	session, window, _ := strings.Cut(v.text, ":")
	if !v.absent && sound(v) && (session == "" || window == "" || strings.ContainsAny(session+window, ".:=")) {
		j.found.add(v.at.error("cannot use "+v.path+": it is not SESSION:WINDOW", ""))
	}
}

// unitKinds are those of systemd that own no process that could be started
// again.
var unitKinds = []string{
	".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice", ".scope",
}

// unit judges the name of a systemd unit.
func (j judge) unit(v *value) {
	at := func(why, hint string) {
		j.found.add(v.at.error(fmt.Sprintf("cannot use %s: %s", v.path, why), hint))
	}
	switch base := strings.TrimSuffix(v.text, ".service"); {
	case base == "" || strings.ContainsAny(v.text, "/ \t\n"):
		at("it is not the name of a unit", "")
	case strings.HasSuffix(base, "@"):
		at("it is a template, of which nothing runs", "name an instance of it: "+base+"NAME.service")
	case slices.Contains(unitKinds, path.Ext(v.text)):
		at("it is not a service", "name the unit that the agent's process belongs to")
	}
}

func (j judge) pacing(v *value) {
	period, timeout := v.kid("period"), v.kid("timeout")
	if sound(period, timeout) && !timeout.absent && timeout.span > period.span {
		j.clash("it is longer than period, so rounds would overtake each other", "", timeout, period)
	}
	deadline, threshold, retry := v.kid("healthy-deadline"), v.kid("threshold"), v.kid("retry")
	if sound(deadline, threshold, retry) && deadline.span < time.Duration(threshold.num)*retry.span {
		j.clash("healthy-deadline is shorter than threshold times retry, so no recovery could ever be seen to be good",
			"raise healthy-deadline", deadline, threshold, retry)
	}
	recovery := v.kid("recovery")
	if delay, limit := recovery.kid("backoff-delay"), recovery.kid("backoff-limit"); sound(recovery, delay, limit) && limit.span < delay.span {
		j.clash("backoff-limit is shorter than backoff-delay", "", limit, delay)
	}
	limits := v.kid("limits")
	if file, set := limits.kid("file"), limits.kid("set"); sound(limits, file, set) && set.num < file.num {
		j.clash("limits.set is less than limits.file", "", set, file)
	}
}

func (j judge) check(v, period *value) {
	if v.bad {
		return
	}
	if t := v.kid("timeout"); sound(t, period) && !t.absent && t.span > period.span {
		j.clash("it is longer than period, so rounds would overtake each other", "", t, period)
	}
	if v.form != "http" {
		return
	}
	http := v.kid("http")
	method, body, answer := http.kid("method"), http.kid("body"), http.kid("json")
	if sound(http, method, body) && body.text != "" && method.text != "POST" && method.text != "PUT" {
		j.clash("only POST and PUT send a body", "", body, method)
	}
	if sound(http, method, answer) && len(answer.names) > 0 && method.text == "HEAD" {
		j.clash("HEAD has no answer to look into", "", answer, method)
	}
}

func (j judge) labels(sets []*value) {
	first := map[string]*value{}
	for _, s := range sets {
		label := s.kid("label")
		if len(sets) == 1 || !sound(s, label) {
			continue
		}
		if label.absent {
			j.found.add(s.at.error(fmt.Sprintf("cannot use %s: label is missing, and there is more than one set", s.path), ""))
		} else if other := first[label.text]; other != nil {
			j.clash("two sets have this label", "", label, other)
		} else {
			first[label.text] = label
		}
	}
}

func (j judge) set(v, safe *value) {
	root, files, exclude := v.kid("root"), v.kid("files"), v.kid("exclude")
	if !sound(v, root, files, exclude) || root.absent || files.absent {
		return
	}
	var mine []glob
	for _, e := range files.elems {
		mine = append(mine, absolute(root.text, e.text))
	}
	matched := func(name string) bool {
		file := literal(path.Join(root.text, name))
		for _, g := range mine {
			if meet(g, file) {
				return true
			}
		}
		return false
	}

	formats := v.kid("formats")
	for _, n := range formats.names {
		if f := formats.kids[n]; sound(formats, f) && !matched(n) {
			j.clash("no pattern of files matches this file", "", f, files)
		}
	}
	preserve := v.kid("preserve")
	for _, e := range preserve.elems {
		key, err := document.ParseKey(e.text)
		if !sound(e, formats) || err != nil {
			continue
		}
		format := document.FormatOf(key.File)
		if f := formats.kids[key.File]; f != nil {
			format = document.Format(f.text)
		}
		why, hint := wrongPath(key.File, false)
		switch {
		case why != "":
			j.clash("in its file, "+why, hint, e, files)
		case strings.ContainsAny(key.File, `*?[\`):
			j.clash("its file is a pattern", "write one key for each file", e, files)
		case !matched(key.File):
			j.clash("no pattern of files matches its file", "", e, files)
		case !document.CanSplice(format):
			j.clash(fmt.Sprintf("a value cannot be carried over in a file of format %s", format),
				"preserve works in yaml, json, json5 and env; `formats` tells the format of a file whose name does not", e, formats)
		}
	}
	if sound(safe) && !safe.absent && safe.text == root.text {
		j.clash("it is a root itself, so there would be nothing to fall back to", "", safe, root)
	}
	// The state directory holds copies of the set. Inside the set they would
	// be captured in turn, and put back over themselves.
	own := &ownedSet{root: root.text}
	for _, e := range exclude.elems {
		own.except = append(own.except, absolute(root.text, e.text))
	}
	state := absolute(j.stateDir, "**")
	for i, g := range mine {
		if meet(g, state) && !own.spares(state) && !own.spares(literal(j.stateDir)) {
			j.found.add(files.elems[i].at.error(fmt.Sprintf("cannot use %s: it can match deadman's own state directory", files.elems[i].path),
				"exclude the state directory, or move it with `state-dir`"))
		}
	}
}
