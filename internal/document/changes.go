package document

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// ChangeKind is what became of a key. Closed list.
type ChangeKind string

const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one key that differs between two documents. It never holds a
// value.
type Change struct {
	// Path is the key's path; empty where the document differs as a whole
	// (an opaque file, or a list that became a mapping).
	Path string     `json:"path"`
	Kind ChangeKind `json:"kind"`
}

// Changes returns what differs from a to b, sorted by path. A subtree that
// was added or removed is one entry, at its top. List items are told apart by
// their position after the longest common beginning and end are set aside: an
// item put into the middle is one entry, `list[3]` added.
func Changes(a, b *Document) []Change {
	var out []Change
	c := comparison{digests: make(map[*node][sha256.Size]byte), report: func(path string, k ChangeKind) {
		out = append(out, Change{Path: path, Kind: k})
	}}
	c.compare(a.rootNode(), b.rootNode(), "")
	slices.SortStableFunc(out, func(x, y Change) int { return cmp.Compare(x.Path, y.Path) })
	return out
}

func (d *Document) rootNode() *node {
	if d == nil {
		return nil
	}
	return d.root
}

// comparison remembers a digest of every node that was ever asked for. Without
// it, lists nested in lists would be read again at every level, and a hostile
// file could keep the switch busy for minutes.
type comparison struct {
	digests map[*node][sha256.Size]byte
	report  func(path string, k ChangeKind)
}

func (c *comparison) digest(n *node) [sha256.Size]byte {
	if d, ok := c.digests[n]; ok {
		return d
	}
	// As appendCanonical, with digests in the place of children.
	b := appendText([]byte{byte(n.kind)}, n.tag)
	b = appendText(b, n.text)
	for _, m := range slices.SortedFunc(slices.Values(n.members), compareKeys) {
		b = appendText(append(b, byte(m.keyKind)), m.key)
		d := c.digest(m.value)
		b = append(b, d[:]...)
	}
	for _, v := range n.items {
		d := c.digest(v)
		b = append(b, d[:]...)
	}
	d := sha256.Sum256(b)
	c.digests[n] = d
	return d
}

func (c *comparison) compare(a, b *node, path string) {
	// An empty file beside a mapping is a mapping without keys, so that every
	// key is named; likewise for lists.
	if a == nil && b != nil && b.isContainer() {
		a = &node{kind: b.kind}
	}
	if b == nil && a != nil && a.isContainer() {
		b = &node{kind: a.kind}
	}
	switch {
	case a == nil && b == nil:
	case a == nil:
		c.report(path, Added)
	case b == nil:
		c.report(path, Removed)
	case a.kind != b.kind || a.tag != b.tag:
		c.report(path, Changed)
	case a.kind == mapNode:
		c.members(a, b, path)
	case a.kind == listNode:
		c.items(a.items, b.items, path)
	case a.text != b.text:
		c.report(path, Changed)
	}
}

func (c *comparison) members(a, b *node, path string) {
	type id struct {
		kind kind
		key  string
	}
	inB := make(map[id]*node, len(b.members))
	for _, m := range b.members {
		inB[id{m.keyKind, m.key}] = m.value
	}
	for _, m := range a.members {
		under := appendStep(path, m.step())
		if v, ok := inB[id{m.keyKind, m.key}]; ok {
			c.compare(m.value, v, under)
			delete(inB, id{m.keyKind, m.key})
		} else {
			c.report(under, Removed)
		}
	}
	for _, m := range b.members {
		if _, left := inB[id{m.keyKind, m.key}]; left {
			c.report(appendStep(path, m.step()), Added)
		}
	}
}

func (c *comparison) items(a, b []*node, path string) {
	first := 0
	for len(a) > 0 && len(b) > 0 && c.digest(a[0]) == c.digest(b[0]) {
		a, b, first = a[1:], b[1:], first+1
	}
	for len(a) > 0 && len(b) > 0 && c.digest(a[len(a)-1]) == c.digest(b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	for i := range max(len(a), len(b)) {
		under := appendStep(path, itemStep(first+i))
		switch {
		case i >= len(a):
			c.report(under, Added)
		case i >= len(b):
			c.report(under, Removed)
		default:
			c.compare(a[i], b[i], under)
		}
	}
}
