package config

import (
	"fmt"
	"strings"
)

const referenceHead = "# The keys of deadman.yaml\n" + `
Generated from the table in internal/config; a test fails if this file and the table differ. The JSON
Schema beside it, deadman.schema.json, comes from the same table.

The main file is ` + "`/etc/deadman/deadman.yaml`" + ` for root and ` + "`$XDG_CONFIG_HOME/deadman/deadman.yaml`" + ` otherwise, or what
` + "`--config`" + ` names. Each ` + "`conf.d/*.yaml`" + ` beside it may add ` + "`agents:`" + `; the defaults of the main file hold there too.
The smallest file names a directory, its files, and what owns the process:

` + "```yaml" + `
# deadman.yaml
agents:
  bezalel:
    config:
      root: /root/wizards/bezalel/home
      files: [config.yaml, .env, "conf.d/*.yaml"]
    supervisor:
      child: [hermes, gateway]
` + "```" + `

Durations are ` + "`10s`, `5m`, `1h30m`" + ` or ` + "`0`" + `, sizes ` + "`512KiB`, `16MiB`" + `. A command is a list of arguments: no shell splits it, and
` + "`~` and `${VAR}`" + ` are not expanded. An unknown key, a wrong type and an impossible combination are errors, and an agent with
an error is not guarded. Every other agent is, unless the error is outside ` + "`agents:`" + `.
`

// Reference is docs/reference.md: every key with its type, default, range and
// reason.
func Reference() []byte {
	var b, later strings.Builder
	b.WriteString(referenceHead)
	section := func(title, intro string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s", title, intro, referenceColumns)
	}
	section("The file", "Keys at the top of the main file.")
	for _, k := range fileKeys {
		referenceRow(&b, k)
	}
	section("An agent", "Keys of `agents.NAME`, and of `defaults`. Where several kinds or forms are listed, exactly one is used.")
	var skip []string
	for _, k := range agentKeys {
		if k.later {
			skip = append(skip, k.path+" "+k.form)
		}
		if isLater(k, skip) {
			referenceRow(&later, k)
		} else {
			referenceRow(&b, k)
		}
	}
	if later.Len() > 0 {
		section("Not in this version yet", "These are read and checked, and then refused.")
		b.WriteString(later.String())
	}
	return []byte(b.String())
}

// isLater reports whether k is one of the rows that are not built, or belongs
// to one: skip holds their paths and forms.
func isLater(k key, skip []string) bool {
	for _, s := range skip {
		path, form, _ := strings.Cut(s, " ")
		if k.path == path && k.form == form || strings.HasPrefix(k.path, path+".") ||
			form != "" && k.form == form && parentPath(k.path) == parentPath(path) {
			return true
		}
	}
	return false
}

func parentPath(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

const referenceColumns = "| key | type | default | range | why |\n|---|---|---|---|---|\n"

func referenceRow(b *strings.Builder, k key) {
	path := strings.ReplaceAll(k.path, "*", "NAME")
	def := k.defNote
	switch {
	case def != "":
	case k.required:
		def = "required"
	case k.def != "":
		def = "`" + k.def + "`"
	case k.kind == group || k.form != "":
		def = "–"
	default:
		def = "none"
	}
	bounds := "–"
	if k.min != "" || k.max != "" {
		bounds = fmt.Sprintf("%s to %s", k.min, k.max)
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", path, typePhrase(k), strings.ReplaceAll(def, "|", `\|`), bounds, strings.ReplaceAll(k.why, "|", `\|`))
}

// typePhrase names the type of a key for the reference.
func typePhrase(k key) string {
	base := kindNames[k.kind]
	switch {
	case k.kind == choice:
		base = "`" + strings.Join(k.enum, "` `") + "`"
	case k.kind == group && k.oneForm:
		base = "group, one form"
	}
	plural := map[kind]string{text: "text", target: "targets", word: "text", pattern: "patterns", integer: "whole numbers", absPath: "absolute paths", keyRef: "file#path"}[k.kind]
	switch k.shape {
	case list:
		return "list of " + plural
	case command:
		return "command"
	case named:
		if k.kind == group {
			return "map of groups"
		}
		return "map of " + base
	case oneOrMany:
		return "group, or list of groups"
	}
	return base
}
