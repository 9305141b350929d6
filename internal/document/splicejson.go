package document

import "bytes"

func spliceJSON(target, source []byte, steps []step, strict bool) ([]byte, error) {
	to, err := parseJSON(target, strict)
	if err != nil {
		return nil, refuse("the target: %v", err)
	}
	from, err := parseJSON(source, strict)
	if err != nil {
		return nil, refuse("the source: %v", err)
	}
	value := from.at(steps)
	text := string(source[value.start:value.end])
	parent, depth := to, 0
	for depth < len(steps) && parent.child(steps[depth]) != nil {
		parent, depth = parent.child(steps[depth]), depth+1
	}
	if depth == len(steps) {
		return replaceBytes(target, parent.start, parent.end, text), nil
	}
	for i := len(steps) - 1; i >= depth; i-- {
		holder := from.at(steps[:i])
		if steps[i].index >= 0 || holder.kind != mapNode {
			return nil, refuse("a list item is not inserted")
		}
		key := holder.members[holder.memberIndex(steps[i].key)]
		text = string(source[key.start:key.end]) + ": " + text
		if i > depth {
			text = "{" + text + "}"
		}
	}
	if parent.kind != mapNode {
		return nil, refuse("its parent is no object")
	}
	return insertMember(target, parent, text), nil
}

// insertMember adds a member behind the last one, on a line of its own if the
// last one has one, and behind the comment on that line.
func insertMember(src []byte, object *node, text string) []byte {
	if len(object.members) == 0 {
		return replaceBytes(src, object.start+1, object.start+1, text)
	}
	last := object.members[len(object.members)-1]
	end := last.value.end
	indent, ownLine := indentBefore(src, last.start)
	if !ownLine {
		return replaceBytes(src, end, end, ", "+text)
	}
	broken := lineBreak(src) + indent + text
	eol, comma, ok := restOfMember(src, end)
	switch {
	case !ok:
		return replaceBytes(src, end, end, ","+broken)
	case comma:
		return replaceBytes(src, eol, eol, broken+",")
	}
	return replaceBytes(replaceBytes(src, eol, eol, broken), end, end, ",")
}

// restOfMember looks at what follows a value on its line. ok is false if that
// is more than a comma and comments.
func restOfMember(src []byte, pos int) (eol int, comma, ok bool) {
	eol = lineEnd(src, pos)
	rest := src[pos:eol]
	for {
		rest = bytes.TrimLeft(rest, " \t")
		switch {
		case len(rest) == 0, bytes.HasPrefix(rest, []byte("//")):
			return eol, comma, true
		case rest[0] == ',' && !comma:
			comma, rest = true, rest[1:]
		case bytes.HasPrefix(rest, []byte("/*")) && bytes.Contains(rest[2:], []byte("*/")):
			rest = rest[2+bytes.Index(rest[2:], []byte("*/"))+2:]
		default:
			return eol, comma, false
		}
	}
}
