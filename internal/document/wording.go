package document

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"deadman/internal/lazy"
)

// The YAML and TOML parsers put pieces of the file into some of their
// messages. The functions here know which, as of the versions in go.mod; that
// they know all of them is what TestErrorsNeverQuoteTheFile is for.

var (
	// aCharacter is how go-toml prints one, e.g. U+0041 'A'.
	aCharacter  = lazy.Regexp(`(?s) U\+[0-9A-F]+( '.*?')?`)
	parenthesis = lazy.Regexp(`(?s) \(.*\)`)
)

func tomlWording(message string) string {
	message = strings.TrimPrefix(message, "toml: ")
	if strings.HasPrefix(message, "table ") || strings.HasPrefix(message, "key ") {
		return "a key or table is defined twice, or as two different things"
	}
	message, _, _ = strings.Cut(message, " but got ")
	message, _, _ = strings.Cut(message, ": ")
	return aCharacter().ReplaceAllString(message, "")
}

func yamlWording(e *yaml.LoadError) string {
	switch e.Stage {
	case yaml.ReaderStage, yaml.ScannerStage, yaml.ParserStage:
		if strings.HasPrefix(e.Message, "found character '") {
			return "a character is not allowed in a tag"
		}
		return parenthesis().ReplaceAllString(e.Message, "")
	case yaml.ComposerStage:
		return "an alias names no anchor, or the structure is broken"
	}
	return "a value does not fit its tag"
}

// charColumn turns a column in bytes into one in characters.
func charColumn(src []byte, line, column int) int {
	lines := bytes.SplitN(src, []byte{'\n'}, line+1)
	if line < 1 || line > len(lines) || column < 1 || column > len(lines[line-1])+1 {
		return column
	}
	text := lines[line-1]
	for 1 < column && column <= len(text) && !utf8.RuneStart(text[column-1]) {
		column-- // The parser may stop within a character.
	}
	return 1 + utf8.RuneCount(text[:column-1])
}
