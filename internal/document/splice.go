package document

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// ErrSplice is what every error of Splice wraps. It means: write the target
// as it is, and say that the keys were not carried over.
var ErrSplice = errors.New("cannot splice")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSplice, fmt.Sprintf(format, args...))
}

// Splice returns target with the values at paths taken from source, edited by
// byte span: comments, order and quoting of everything else stay. A path that
// source has and target lacks is inserted under its deepest parent that target
// has. A path that source lacks is left as target has it and returned in
// missed.
//
// It is all or nothing, and it never guesses: out decodes to exactly target's
// values with those at paths replaced, or err wraps ErrSplice and out is nil.
// target and source are not changed. Errors name paths, never values.
func Splice(f Format, target, source []byte, paths []string) (out []byte, missed []string, err error) {
	if !CanSplice(f) {
		return nil, nil, refuse("values cannot be placed in a file of format %s", f)
	}
	want, err := parse(f, target)
	if err != nil {
		return nil, nil, refuse("the target: %v", err)
	}
	from, err := parse(f, source)
	if err != nil {
		return nil, nil, refuse("the source: %v", err)
	}
	outermost, err := outermostPaths(paths)
	if err != nil {
		return nil, nil, refuse("%v", err)
	}
	out = bytes.Clone(target)
	for _, steps := range outermost {
		value := from.at(steps)
		if value == nil {
			missed = append(missed, formatPath(steps))
			continue
		}
		if old := want.at(steps); old != nil && equal(old, value) {
			continue
		}
		replaced, ok := want.with(steps, from)
		if !ok {
			return nil, nil, refuse("%s: what stands above it in the target has no such place", formatPath(steps))
		}
		want = replaced
		if out, err = spliceOne(f, out, source, steps); err != nil {
			return nil, nil, fmt.Errorf("%w (at %s)", err, formatPath(steps))
		}
	}
	// The theorem. Whatever the edits above got wrong ends here.
	got, err := parse(f, out)
	if err != nil || !equal(got, want) {
		return nil, nil, refuse("the result would not be the target with those keys replaced")
	}
	return out, missed, nil
}

// spliceOne carries over the value at steps, which source has.
func spliceOne(f Format, target, source []byte, steps []step) ([]byte, error) {
	switch f {
	case YAML:
		return spliceYAML(target, source, steps)
	case JSON:
		return spliceJSON(target, source, steps, true)
	case JSON5:
		return spliceJSON(target, source, steps, false)
	}
	return spliceEnv(target, source, steps)
}

// outermostPaths parses paths and drops those that lie under another one.
func outermostPaths(paths []string) ([][]step, error) {
	var all, kept [][]step
	for _, p := range paths {
		steps, err := parsePath(p)
		if err != nil {
			return nil, err
		}
		all = append(all, steps)
	}
	for i, p := range all {
		covered := slices.ContainsFunc(kept, func(q []step) bool { return covers(q, p) })
		for _, q := range all[i+1:] {
			covered = covered || covers(q, p) && len(q) < len(p)
		}
		if !covered {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// replaceBytes returns src with src[start:end] replaced.
func replaceBytes(src []byte, start, end int, text string) []byte {
	return slices.Concat(src[:start], []byte(text), src[end:])
}

// lineBreak is how lines of src end.
func lineBreak(src []byte) string {
	if bytes.Contains(src, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// lineEnd returns the offset at which the line of pos ends, before its break.
func lineEnd(src []byte, pos int) int {
	i := bytes.IndexByte(src[pos:], '\n')
	switch {
	case i < 0:
		return len(src)
	case i > 0 && src[pos+i-1] == '\r':
		return pos + i - 1
	}
	return pos + i
}

// indentBefore returns the white space between the start of the line and pos;
// ok is false if there is something else.
func indentBefore(src []byte, pos int) (indent string, ok bool) {
	start := bytes.LastIndexByte(src[:pos], '\n') + 1
	indent = string(src[start:pos])
	return indent, len(bytes.Trim(src[start:pos], " \t")) == 0
}

func spliceEnv(target, source []byte, steps []step) ([]byte, error) {
	to, err := parseEnv(target)
	if err != nil {
		return nil, refuse("the target: %v", err)
	}
	from, err := parseEnv(source)
	if err != nil {
		return nil, refuse("the source: %v", err)
	}
	m := from.members[from.memberIndex(steps[0].key)]
	raw := string(source[m.value.start:m.value.end])
	if m.value.kind != nullNode {
		raw = "=" + raw
	}
	if to != nil {
		if i := to.memberIndex(steps[0].key); i >= 0 {
			old := to.members[i]
			start := old.value.start
			if old.value.kind != nullNode {
				start = old.end + bytes.IndexByte(target[old.end:], '=')
			}
			return replaceBytes(target, start, old.value.end, raw), nil
		}
	}
	line := string(source[m.start:m.end]) + raw
	switch {
	case len(target) == 0:
		return []byte(line + lineBreak(source)), nil
	case target[len(target)-1] == '\n':
		return append(bytes.Clone(target), line+lineBreak(target)...), nil
	}
	return append(bytes.Clone(target), lineBreak(target)+line...), nil
}
