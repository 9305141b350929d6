package gateway

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
	"github.com/titanous/json5"
	"go.yaml.in/yaml/v4"
)

// tree is a parsed config.
type tree map[string]any

// load reads the config and all that belongs to it, and judges it as the knobs
// say: the error is what the agent would print before it ends.
func load(k knobs) (tree, error) {
	if err := attributes(k); err != nil {
		return nil, err
	}
	if k.has("judge") {
		argv := k["judge"][0]
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %v: %s", argv[0], err, out)
		}
		return tree{}, nil
	}
	t, err := parse(k.word("config", 0))
	if err != nil {
		return nil, err
	}
	for _, include := range k["includes"] {
		for _, pattern := range include {
			files, _ := filepath.Glob(pattern)
			for _, file := range files {
				part, err := parse(file)
				if err != nil {
					return nil, err
				}
				for key, value := range part {
					t[key] = value
				}
			}
			if len(files) == 0 {
				return nil, fmt.Errorf("there is no %s", pattern)
			}
		}
	}
	return t, judge(k, t)
}

// attributes are the demands on modes and owners.
func attributes(k knobs) error {
	for _, demand := range k["mode"] {
		info, err := os.Stat(demand[0])
		if err != nil {
			return err
		}
		if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != strings.TrimLeft(demand[1], "0") {
			return fmt.Errorf("%s: mode %s, must be %s", demand[0], got, demand[1])
		}
	}
	for _, demand := range k["owner"] {
		info, err := os.Stat(demand[0])
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		got := strconv.Itoa(int(stat.Uid))
		if strings.Contains(demand[1], ":") {
			got += ":" + strconv.Itoa(int(stat.Gid))
		}
		if got != demand[1] {
			return fmt.Errorf("%s: owner %s, must be %s", demand[0], got, demand[1])
		}
	}
	return nil
}

// parse reads a file by its extension. An empty one is no config.
func parse(file string) (tree, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := tree{}
	kind := filepath.Ext(file)
	if strings.HasSuffix(file, "_config") {
		kind = ".conf"
	}
	switch kind {
	case ".json", ".json5":
		err = json5.Unmarshal(text, &t)
	case ".toml":
		err = toml.Unmarshal(text, &t)
	case ".env":
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
				t[strings.TrimPrefix(name, "export ")] = value
			}
		}
	case ".conf":
		for line := range strings.Lines(string(text)) {
			if name, value := directive(line); name != "" {
				t[name] = value
			}
		}
	default:
		err = yaml.Unmarshal(text, &t)
	}
	if err == nil && len(t) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %v", filepath.Base(file), err)
	}
	return t, nil
}

// directive takes a line of sshd_config or postgresql.conf: a name and a value, with
// or without = between them. A value with commas is a list.
func directive(line string) (name string, value any) {
	line, _, _ = strings.Cut(line, "#")
	at := strings.IndexAny(line, " \t=")
	if at <= 0 {
		return "", nil
	}
	text := strings.TrimLeft(line[at:], " \t=")
	text = strings.Trim(strings.TrimSpace(text), "'")
	if !strings.Contains(text, ",") {
		return line[:at], text
	}
	var list []any
	for _, item := range strings.Split(text, ",") {
		list = append(list, item)
	}
	return line[:at], list
}

// judge is the agent's schema.
func judge(k knobs, t tree) error {
	if k.has("keys") {
		known := slices.Concat(k["keys"]...)
		for _, path := range paths(t, "") {
			if !slices.ContainsFunc(known, func(key string) bool { return covers(key, path) }) {
				return fmt.Errorf("unrecognized key: %s", path)
			}
		}
	}
	for _, path := range slices.Concat(k["needs"]...) {
		if len(values(t, path)) == 0 {
			return fmt.Errorf("start blocked: %s is not set", path)
		}
	}
	for _, choice := range k["choice"] {
		for _, value := range values(t, choice[0]) {
			if !slices.Contains(choice[1:], value) {
				return fmt.Errorf("%s: expected one of %v", choice[0], choice[1:])
			}
		}
	}
	for _, reference := range k["refers"] {
		there := values(t, reference[1])
		for _, value := range values(t, reference[0]) {
			if !slices.Contains(there, value) {
				return fmt.Errorf("%s: there is no such %s", reference[0], reference[1])
			}
		}
	}
	for _, fit := range k["fits"] {
		second, err := parse(fit[0])
		if err != nil {
			return err
		}
		if slices.Contains(values(t, fit[2]), "true") && len(values(second, fit[1])) == 0 {
			return fmt.Errorf("%s is on, and there is no %s", fit[2], fit[1])
		}
	}
	return nil
}

// covers reports whether a known key is the path, one above it, or, ending in
// ".*", one that has it somewhere beneath.
func covers(key, path string) bool {
	beneath, all := strings.CutSuffix(key, ".*")
	if all {
		return path == beneath || strings.HasPrefix(path, beneath+".") || strings.HasPrefix(beneath, path+".")
	}
	return key == path || strings.HasPrefix(key, path+".")
}

// paths are those of all keys. The members of a list share its path.
func paths(value any, at string) []string {
	var out []string
	switch v := value.(type) {
	case tree:
		return paths(map[string]any(v), at)
	case map[string]any:
		for key, value := range v {
			path := strings.TrimPrefix(at+"."+key, ".")
			out = append(append(out, path), paths(value, path)...)
		}
	case []any:
		for _, value := range v {
			out = append(out, paths(value, at)...)
		}
	}
	return out
}

// values are those at a path, through lists, as text; empty ones are none.
func values(value any, path string) []string {
	switch v := value.(type) {
	case tree:
		return values(map[string]any(v), path)
	case map[string]any:
		if path == "" {
			if len(v) > 0 {
				return []string{"{}"}
			}
			return nil
		}
		key, rest, _ := strings.Cut(path, ".")
		if value, ok := v[key]; ok {
			return values(value, rest)
		}
		return nil
	case []any:
		var out []string
		for _, value := range v {
			out = append(out, values(value, path)...)
		}
		return out
	case nil:
		return nil
	}
	if text := fmt.Sprint(value); path == "" && text != "" {
		return []string{text}
	}
	return nil
}
