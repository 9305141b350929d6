package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// version is the agent's version: what the user's command or file says, or
// else the inode, size and modification time of the program. It is a name to
// compare, not to show: hashed, since a file may hold anything. "" is unknown.
func (w *world) version(ctx context.Context) string {
	v := w.agent.Version
	var text string
	switch {
	case len(v.Exec) > 0:
		ctx, cancel := context.WithTimeout(ctx, w.agent.Timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, v.Exec[0], v.Exec[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.WaitDelay = w.agent.Timeout
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		text = string(out)
	case v.File != "":
		info, err := os.Stat(v.File)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return ""
		}
		out, err := os.ReadFile(v.File)
		if err != nil {
			return ""
		}
		text = string(out)
	default:
		return programVersion(w.memo.Exe)
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(text)))
	return hex.EncodeToString(sum[:6])
}

// programVersion names one build of a program by its file.
func programVersion(path string) string {
	if path == "" {
		return ""
	}
	info, err := os.Stat(strings.TrimSuffix(path, " (deleted)"))
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	text := fmt.Sprintf("%d %d %d", stat.Ino, info.Size(), info.ModTime().UnixNano())
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
