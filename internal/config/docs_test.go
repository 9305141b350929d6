package config_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	yaml "go.yaml.in/yaml/v4"

	"deadman/internal/config"
)

const docs = "../../docs"

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, filepath.Join(docs, "reference.md"), config.Reference())
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, filepath.Join(docs, "deadman.schema.json"), config.Schema())
}

var fence = regexp.MustCompile("(?ms)^```ya?ml\n(# deadman\\.yaml.*?)^```$")

// Every example in the documents is a config that works.
func TestExamplesInDocs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil && file == "../../README.md" {
			continue // there is none yet
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatchIndex(string(text), -1) {
			found++
			at := fmt.Sprintf("%s:%d", file, 1+strings.Count(string(text[:m[2]]), "\n"))
			example := text[m[2]:m[3]]
			if _, problems := config.Parse("/var/lib/deadman", config.Source{File: at, Data: example}); problems != nil {
				t.Errorf("%s: %v", at, problems)
			}
			if err := satisfies(t, example); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
	}
	if found == 0 {
		t.Error("found no example: even the reference has one")
	}
}

func TestSchemaAcceptsAndRefuses(t *testing.T) {
	t.Parallel()
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := satisfies(t, full); err != nil {
		t.Errorf("full.yaml: %v", err)
	}
	for name, src := range map[string]string{
		"unknown key":     "agents: {a: {preiod: 1s}}",
		"wrong type":      "agents: {a: {threshold: three}}",
		"out of range":    "agents: {a: {threshold: 0}}",
		"bad duration":    "agents: {a: {period: 5}}",
		"bad name":        "agents: {A: {}}",
		"no form":         "agents: {a: {supervisor: {}}}",
		"two forms":       "agents: {a: {supervisor: {child: [a], command: {start: [b]}}}}",
		"not built":       "agents: {a: {supervisor: {launchd: a}}}",
		"missing":         "agents: {a: {checks: {c: {http: {}}}}}",
		"empty command":   "agents: {a: {validate: []}}",
		"in defaults too": "defaults: {periods: 1s}",
	} {
		if err := satisfies(t, []byte(src)); err == nil {
			t.Errorf("%s: the schema accepts %s", name, src)
		}
	}
}

var schema = sync.OnceValue(func() map[string]any {
	var s map[string]any
	if err := json.Unmarshal(config.Schema(), &s); err != nil {
		panic(err)
	}
	return s
})

// satisfies checks a YAML file against the schema. It knows the keywords that
// the schema uses, and fails on any other.
func satisfies(t *testing.T, src []byte) error {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		return err
	}
	return holds(schema(), jsonValue(doc.Content[0]), "")
}

// jsonValue is what an editor makes of a YAML node.
func jsonValue(n *yaml.Node) any {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind == yaml.AliasNode {
				k = k.Alias
			}
			m[k.Value] = jsonValue(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, jsonValue(c))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			i, _ := strconv.ParseInt(n.Value, 0, 64)
			f = float64(i)
		}
		return f
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!null":
		return nil
	}
	return n.Value
}

func typeOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	case float64:
		if v == math.Trunc(v) {
			return []string{"number", "integer"}
		}
	}
	return []string{"number"}
}

func holds(s map[string]any, v any, at string) error {
	bad := func(why string, args ...any) error {
		return fmt.Errorf("%s: %s", at, fmt.Sprintf(why, args...))
	}
	object, isObject := v.(map[string]any)
	array, isArray := v.([]any)
	text, isText := v.(string)
	num, isNum := v.(float64)
	for keyword, arg := range s {
		switch keyword {
		case "$schema", "$defs", "title", "description", "default":
		case "$ref":
			def := schema()["$defs"].(map[string]any)[strings.TrimPrefix(arg.(string), "#/$defs/")]
			if err := holds(def.(map[string]any), v, at); err != nil {
				return err
			}
		case "type":
			want, ok := arg.([]any)
			if !ok {
				want = []any{arg}
			}
			if !slices.ContainsFunc(typeOf(v), func(is string) bool { return slices.Contains(want, any(is)) }) {
				return bad("is %v, not %v", typeOf(v), want)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				return bad("is not one of %v", arg)
			}
		case "oneOf":
			var errs []error
			for _, o := range arg.([]any) {
				if err := holds(o.(map[string]any), v, at); err != nil {
					errs = append(errs, err)
				}
			}
			if n := len(arg.([]any)) - len(errs); n != 1 {
				return bad("satisfies %d of oneOf: %v", n, errs)
			}
		case "properties", "additionalProperties":
			if !isObject || (keyword == "properties" && s["additionalProperties"] != nil) {
				continue
			}
			known, _ := s["properties"].(map[string]any)
			for k, item := range object {
				sub, ok := known[k].(map[string]any)
				if !ok {
					if sub, ok = arg.(map[string]any); !ok {
						return bad("has unknown key %s", k)
					}
				}
				if err := holds(sub, item, at+"."+k); err != nil {
					return err
				}
			}
		case "propertyNames":
			for k := range object {
				if err := holds(arg.(map[string]any), k, at+" (name)"); err != nil {
					return err
				}
			}
		case "required":
			for _, k := range arg.([]any) {
				if _, there := object[k.(string)]; isObject && !there {
					return bad("has no %s", k)
				}
			}
		case "items":
			for i, item := range array {
				if err := holds(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
					return err
				}
			}
		case "minItems":
			if isArray && len(array) < int(arg.(float64)) {
				return bad("has %d items", len(array))
			}
		case "minLength":
			if isText && len(text) < int(arg.(float64)) {
				return bad("is empty")
			}
		case "pattern":
			if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
				return bad("does not match %s", arg)
			}
		case "minimum":
			if isNum && num < arg.(float64) {
				return bad("is less than %v", arg)
			}
		case "maximum":
			if isNum && num > arg.(float64) {
				return bad("is more than %v", arg)
			}
		default:
			return bad("the checker does not know %s", keyword)
		}
	}
	return nil
}
