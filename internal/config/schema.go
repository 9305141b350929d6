package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// object is a JSON object; its keys are written in order of their names.
type object map[string]any

// Schema is docs/deadman.schema.json, a JSON Schema (draft 2020-12) of the
// main file and of drop-ins, for editors. Every file that Parse accepts
// satisfies it. It cannot say what depends on more than one value, nor which
// keys are required where `defaults` may supply them; Parse does.
func Schema() []byte {
	agent := groupSchema(compiled().agent.kids, false)
	file := groupSchema(compiled().file.kids, false)
	file["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	file["title"] = "deadman.yaml"
	file["$defs"] = object{"agent": agent}
	keys := file["properties"].(object)
	describe := func(name string) any { return keys[name].(object)["description"] }
	ref := object{"$ref": "#/$defs/agent"}
	keys["defaults"] = object{"$ref": "#/$defs/agent", "description": describe("defaults")}
	keys["agents"] = object{
		"type": "object", "description": describe("agents"),
		"propertyNames": object{"pattern": namePattern}, "additionalProperties": ref,
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(file); err != nil {
		panic(err) // maps, lists and text always encode
	}
	return b.Bytes()
}

// keySchema is the schema of the value of one key.
func keySchema(s *spec, required bool) object {
	var o object
	switch s.shape {
	case list:
		o = object{"type": "array", "items": scalarSchema(s.key)}
		if s.nonEmpty {
			o["minItems"] = 1
		}
	case command:
		o = object{"type": "array", "items": scalarSchema(s.key), "minItems": 1}
	case named:
		o = object{"type": "object"}
		if s.kind == group {
			o["propertyNames"] = object{"pattern": namePattern}
			o["additionalProperties"] = entrySchema(s, true)
		} else {
			o["additionalProperties"] = scalarSchema(s.key)
		}
	case oneOrMany:
		one := entrySchema(s, required)
		o = object{"oneOf": []any{one, object{"type": "array", "items": one, "minItems": 1}}}
	default:
		if s.kind == group {
			o = entrySchema(s, required)
		} else {
			o = scalarSchema(s.key)
		}
	}
	o["description"] = description(s.key)
	if v := defaultValue(s); v != nil {
		o["default"] = v
	}
	return o
}

func description(k key) string {
	text := k.why
	if k.min != "" && (k.kind == duration || k.kind == size) {
		text += fmt.Sprintf(" From %s to %s.", k.min, k.max)
	}
	if k.defNote != "" {
		text += fmt.Sprintf(" Default: %s.", k.defNote)
	}
	return text
}

// entrySchema is the schema of the map beneath s: one for each form, if it is
// a choice.
func entrySchema(s *spec, required bool) object {
	if !s.oneForm {
		return groupSchema(s.kids, required)
	}
	var forms []any
	for _, f := range s.forms() {
		if f.later {
			continue
		}
		var kids []*spec
		for _, k := range s.kids {
			if k.form == "" || k.form == f.name {
				kids = append(kids, k)
			}
		}
		// A form is written whole: defaults do not reach into it.
		o := groupSchema(kids, true)
		need, _ := o["required"].([]string)
		o["required"] = append([]string{f.name}, need...)
		forms = append(forms, o)
	}
	return object{"oneOf": forms}
}

func groupSchema(kids []*spec, required bool) object {
	keys := object{}
	var need []string
	for _, k := range kids {
		if k.later {
			continue
		}
		keys[k.name] = keySchema(k, required)
		if required && k.required {
			need = append(need, k.name)
		}
	}
	o := object{"type": "object", "properties": keys, "additionalProperties": false}
	if need != nil {
		o["required"] = need
	}
	return o
}

func scalarSchema(k key) object {
	switch k.kind {
	case word:
		return object{"type": []string{"string", "number", "boolean"}}
	case scalar:
		return object{"type": []string{"string", "number", "boolean", "null"}}
	case boolean:
		return object{"type": "boolean"}
	case choice:
		return object{"enum": k.enum}
	case integer, number:
		o := object{"type": map[kind]string{integer: "integer", number: "number"}[k.kind]}
		for keyword, bound := range map[string]string{"minimum": k.min, "maximum": k.max} {
			if n, err := strconv.ParseFloat(bound, 64); err == nil {
				o[keyword] = n
			}
		}
		return o
	case duration:
		return object{"type": []string{"string", "integer"}, "pattern": durationPattern, "minimum": 0, "maximum": 0}
	}
	o := object{"type": "string"}
	switch k.kind {
	case name:
		o["pattern"] = namePattern
	case absPath:
		o["pattern"] = "^/"
	case target:
		o["pattern"] = "^[^:/]+://."
	case anyPath, pattern:
		o["minLength"] = 1
	case keyRef:
		o["pattern"] = "^[^#]+#."
	case url:
		o["pattern"] = "^[Hh][Tt][Tt][Pp][Ss]?://."
	case address:
		o["pattern"] = ".:[0-9]+$"
	case size:
		o["pattern"] = sizePattern
	}
	return o
}

// defaultValue is the default of a row as JSON, or nil.
func defaultValue(s *spec) any {
	v := s.fallback
	switch {
	case v == nil:
		return nil
	case s.shape == list:
		out := []any{}
		for _, e := range v.elems {
			out = append(out, scalarDefault(e))
		}
		return out
	case s.shape == named:
		return object{}
	}
	return scalarDefault(v)
}

func scalarDefault(v *value) any {
	switch v.spec.kind {
	case integer, number:
		return v.num
	case boolean:
		return v.flag
	}
	return v.text
}
