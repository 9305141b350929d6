package config

import yaml "go.yaml.in/yaml/v4"

// BuildUnjudged decodes and builds the agents of src whatever is wrong with
// them, so that the forms that this version refuses are tested before the day
// they are allowed.
func BuildUnjudged(src string) []Agent {
	r := reader{src: newSource("test", []byte(src)), found: &collection{}, budget: maxNodes}
	top := r.read(compiled().file, r.document([]byte(src)), nil, "")
	var out []Agent
	for _, name := range top.kid("agents").names {
		out = append(out, build(name, top.kid("agents").kids[name]))
	}
	return out
}

// Paths returns the dotted path of every key of the table; `*` is a name.
func Paths() []string {
	var out []string
	for _, k := range fileKeys {
		out = append(out, k.path)
	}
	for _, k := range agentKeys {
		out = append(out, "agents.*."+k.path)
	}
	return out
}

// Defaults returns every default of the table, as it is written there.
func Defaults() []string {
	var out []string
	for _, rows := range [][]key{fileKeys, agentKeys} {
		for _, k := range rows {
			if k.def != "" {
				out = append(out, k.def)
			}
		}
	}
	return out
}

func DefaultNode(def string) (*yaml.Node, error) { return defaultNode(def) }

// WrongPattern says why a pattern is refused, "" if it is not.
func WrongPattern(pattern string) string {
	why, _ := wrongPattern(pattern)
	return why
}

// PatternMatches reports whether a pattern beneath root matches a path there.
func PatternMatches(root, pattern, path string) bool {
	return meet(absolute(root, pattern), literal(root+"/"+path))
}

// PatternCovers reports whether an `exclude` surely takes away all that a pattern
// matches.
func PatternCovers(root, exclude, pattern string) bool {
	return newOwnedSet(root, []string{exclude}, nil).spares(absolute(root, pattern))
}
