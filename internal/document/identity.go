package document

// Identity returns a deterministic encoding of what src says, less the values
// at paths, and less mappings and lists above them that are empty then. Two
// files have equal identities exactly when they decode to the same values
// apart from those paths: comments, layout and the order of keys do not count;
// types, the order of lists and the text of numbers do.
//
// ok is false when src does not parse as f, or a path is not valid; such a
// file can be compared by its bytes only. The encoding is for hashing and
// comparing. It holds every value of the file.
func Identity(f Format, src []byte, paths []string) (canonical []byte, ok bool) {
	root, err := parse(f, src)
	if err != nil {
		return nil, false
	}
	var leave [][]step
	for _, p := range paths {
		steps, err := parsePath(p)
		if err != nil {
			return nil, false
		}
		leave = append(leave, steps)
	}
	return appendCanonical(nil, root.without(leave)), true
}
