package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is far more than a config of a thousand agents.
const maxFile = 4 << 20

// DefaultPath is where the main file is looked for when none is named.
func DefaultPath(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/etc/deadman/deadman.yaml"
	}
	return filepath.Join(xdg(getenv, "XDG_CONFIG_HOME", ".config"), "deadman", "deadman.yaml")
}

// DefaultStateDir is where state is kept when the main file names no place.
func DefaultStateDir(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/var/lib/deadman"
	}
	return filepath.Join(xdg(getenv, "XDG_STATE_HOME", ".local/state"), "deadman")
}

// xdg follows the XDG base directory specification: a relative path in the
// variable is ignored.
func xdg(getenv func(string) string, variable, beneathHome string) string {
	if dir := getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join("/", getenv("HOME"), beneathHome)
}

// Load reads the main file at path and conf.d/*.yaml beside it, and parses
// them. A file that cannot be read is a problem like any other: see Parse for
// what is left. A main file that is not there is one too, because it says
// where the state is; it may be empty.
func Load(path string) (Config, Problems) {
	stateDir := DefaultStateDir(os.Geteuid(), os.Getenv)
	data, err := readFile(path)
	if err != nil {
		e := &Error{File: path, Message: "cannot read the config: " + reason(err)}
		if errors.Is(err, fs.ErrNotExist) {
			e.hint = "`deadman init` writes one; beside drop-ins it may be empty"
		}
		return Config{StateDir: stateDir, RequestLog: filepath.Join(stateDir, "request_log.db")}, Problems{e}
	}
	dropIns, unread := readDropIns(filepath.Join(filepath.Dir(path), "conf.d"))
	c, problems := Parse(stateDir, Source{File: path, Data: data}, dropIns...)
	problems = append(problems, unread...)
	if len(c.Agents) == 0 && len(problems) == 0 {
		problems = Problems{{
			File: path, Message: "cannot guard anything: there are no agents here nor in conf.d",
			hint: "`deadman init` looks for agents on this machine",
		}}
	}
	return c, problems
}

// Judge says what is wrong in a main file that is not in force yet, and reads nothing
// else. One without agents is right: they may be in conf.d.
func Judge(file string) Problems {
	data, err := readFile(file)
	if err != nil {
		return Problems{{File: file, Message: "cannot read the config: " + reason(err)}}
	}
	_, problems := Parse(DefaultStateDir(os.Geteuid(), os.Getenv), Source{File: file, Data: data})
	return problems
}

// JudgeDropIn says what is wrong in a drop-in that is not in force yet, with the
// defaults of the main file if there is one. What is wrong in that is said too.
func JudgeDropIn(main, file string) Problems {
	data, err := readFile(file)
	if err != nil {
		return Problems{{File: file, Message: "cannot read the drop-in: " + reason(err)}}
	}
	beside, err := readFile(main)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Problems{{File: main, Message: "cannot read the config: " + reason(err)}}
	}
	_, problems := Parse(DefaultStateDir(os.Geteuid(), os.Getenv), Source{File: main, Data: beside}, Source{File: file, Data: data})
	return problems
}

// readDropIns reads the drop-ins in the order of their names. Hidden files are
// left alone: editors and sync tools write them.
func readDropIns(dir string) ([]Source, Problems) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var problems Problems
	if err != nil {
		problems = append(problems, &Error{File: dir, Message: "cannot read the drop-ins: " + reason(err)})
	}
	var out []Source
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case strings.HasSuffix(e.Name(), ".yml"):
			problems = append(problems, &Error{File: name, Message: "cannot use this drop-in: only *.yaml are read", hint: "rename it"})
		case strings.HasSuffix(e.Name(), ".yaml"):
			data, err := readFile(name)
			if err != nil {
				problems = append(problems, &Error{File: name, Message: "cannot read the drop-in: " + reason(err)})
				continue
			}
			out = append(out, Source{File: name, Data: data})
		}
	}
	return out, problems
}

// readFile reads a regular file of a sensible size. Opening a FIFO would wait
// for ever, so it is looked at first.
func readFile(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return data, err
}

// reason is err without the path, which the message has already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
