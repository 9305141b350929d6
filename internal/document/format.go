package document

import (
	"path"
	"strings"
)

// Format is the syntax a file's name promises.
type Format string

// The closed list of formats.
const (
	YAML  Format = "yaml"
	JSON  Format = "json"
	JSON5 Format = "json5"
	TOML  Format = "toml"
	INI   Format = "ini"
	Env   Format = "env"
	// Opaque is every other file, e.g. nginx.conf: any bytes are a valid
	// opaque document, and nothing is known of what is in it.
	Opaque Format = "opaque"
)

// FormatOf returns the format that the base name of a slash-separated path
// promises. It never looks at content: a file that is not what its name says
// is exactly what Parse is there to find.
//
// Two names promise something else than their ending. openclaw.json is read as
// JSON5 by the program that owns it, and .jsonc is JSON with comments, which
// JSON5 includes. And .cfg promises nothing: setup.cfg is INI, haproxy.cfg and
// grub.cfg are not, and calling those broken would leave them unguarded.
func FormatOf(name string) Format {
	base := strings.ToLower(path.Base(name))
	switch {
	case base == ".env", strings.HasPrefix(base, ".env."):
		return Env
	case base == "openclaw.json":
		return JSON5
	}
	switch path.Ext(base) {
	case ".yaml", ".yml":
		return YAML
	case ".json":
		return JSON
	case ".json5", ".jsonc":
		return JSON5
	case ".toml":
		return TOML
	case ".ini":
		return INI
	case ".env":
		return Env
	}
	return Opaque
}

// CanSplice reports whether the bytes of a single value can be found in a
// file of format f, so that Splice can carry values from one file to another.
// A `preserve` key in any other format is refused when the config is read.
func CanSplice(f Format) bool {
	switch f {
	case YAML, JSON, JSON5, Env:
		return true
	}
	return false
}
