package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// count adds one to the number at a path of its own config; that is, to the first
// number or word after the path's last key.
func (a *agent) count(k knobs, path string) error {
	file := k.word("config", 0)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	key := regexp.QuoteMeta(path[strings.LastIndex(path, ".")+1:])
	at := regexp.MustCompile(`(` + key + `"?\s*[:=]\s*)(\d+)`).FindSubmatchIndex(text)
	if at == nil {
		return fmt.Errorf("cannot count at %s", path)
	}
	n, err := strconv.Atoi(string(text[at[4]:at[5]]))
	if err != nil {
		return err
	}
	next := string(text[:at[4]]) + strconv.Itoa(n+1) + string(text[at[5]:])
	return a.write(k, file, []byte(next))
}

// write replaces a file of its own, and says so before.
func (a *agent) write(k knobs, file string, text []byte) error {
	sum := sha256.Sum256(text)
	if err := appendLine(k.word("own", 0), hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	return replace(file, text)
}

// repair is what the agent takes for one: the text of the knob's file becomes its
// config.
func (a *agent) repair(k knobs, knob string) {
	if text, err := os.ReadFile(k.word(knob, 0)); err == nil {
		_ = a.write(k, k.word("config", 0), text)
	}
}

// rotate takes the next token: the provider knows it first.
func (a *agent) rotate(k knobs) {
	token, err := os.ReadFile(k.word("rotates", 1))
	if err != nil {
		return
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(token)))
	next := []byte(strconv.Itoa(n+1) + "\n")
	if replace(k.word("rotates", 2), next) == nil {
		_ = a.write(k, k.word("rotates", 1), next)
	}
}

// replace writes by rename, keeping the mode.
func replace(file string, text []byte) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	temporary := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".tmp")
	if err := os.WriteFile(temporary, text, mode); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

func appendLine(file, line string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}
