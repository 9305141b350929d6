package config

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
