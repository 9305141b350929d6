package document

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// maxTOMLKeys bounds the '=' in a TOML file. go-toml looks for duplicates in
// time that grows with the square of the keys of a table: 20,000 take seconds,
// 100,000 a minute and a half, and the file may be hostile.
const maxTOMLKeys = 20_000

// parseTOML decodes by go-toml, which is strict on duplicate keys and tables
// (openai/codex#13464, Yeachan-Heo/oh-my-codex#825). It gives no positions of
// values, so TOML is compared and validated but never spliced.
func parseTOML(src []byte) (*node, error) {
	if bytes.Count(src, []byte{'='}) > maxTOMLKeys {
		return nil, &SyntaxError{Message: fmt.Sprintf("there are more than %d keys", maxTOMLKeys)}
	}
	var tree map[string]any
	if err := toml.Unmarshal(src, &tree); err != nil {
		var bad *toml.DecodeError
		if errors.As(err, &bad) {
			line, column := bad.Position()
			return nil, &SyntaxError{Line: line, Column: charColumn(src, line, column), Message: tomlWording(err.Error())}
		}
		return nil, &SyntaxError{Message: tomlWording(err.Error())}
	}
	if len(tree) == 0 {
		return nil, nil
	}
	return tomlNode(tree), nil
}

func tomlNode(value any) *node {
	switch v := value.(type) {
	case map[string]any:
		n := &node{kind: mapNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.members = append(n.members, member{key: key, keyKind: stringNode, value: tomlNode(v[key])})
		}
		return n
	case []any:
		n := &node{kind: listNode}
		for _, item := range v {
			n.items = append(n.items, tomlNode(item))
		}
		return n
	case string:
		return &node{kind: stringNode, text: v}
	case bool:
		return &node{kind: boolNode, text: strconv.FormatBool(v)}
	case int64:
		return &node{kind: numberNode, text: strconv.FormatInt(v, 10)}
	case float64:
		// The prefix keeps 1.0 apart from 1.
		return &node{kind: numberNode, text: "f" + strconv.FormatFloat(v, 'g', -1, 64)}
	case time.Time:
		return &node{kind: timeNode, text: v.Format(time.RFC3339Nano)}
	}
	// The local dates and times, each with a text form of its own.
	return &node{kind: timeNode, text: fmt.Sprint(value)}
}
