package powerloss_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"deadman/internal/atomicfile"
	"deadman/internal/restore"
	. "deadman/internal/simtest/powerloss"
	"deadman/internal/snapshot"
)

// finished is what finishing a plan has led to.
type finished struct {
	live  string // which set is then in place
	temps []string
	files [][sha256.Size]byte // among the agent's, by their bytes
	// changed is that somebody has written meanwhile. What he wrote is where he wrote
	// it, and a round keeps that and begins anew.
	changed bool
	err     error
}

// finish finishes the plan on d, as deadman is told to before an agent is
// started. Now and then it is the program that does so, else the two calls that
// it consists of.
func (e *examiner) finish(d *Disk) finished {
	return once(e, "finish", d, []string{etcDir, agentDir + "/snapshots", agentDir + "/plan.json", agentDir + "/plan.d"}, func(dir string) (f finished) {
		if program := finishes.Add(1)%16 == 0; program {
			if f.err = e.w.relocate(dir, e.w.mount); f.err == nil {
				var out string
				if out, f.err = e.w.inside(dir, "check", "--finish", "a"); f.err != nil {
					f.changed = strings.Contains(out, "has changed since it was kept")
					f.err = fmt.Errorf("check --finish: %w: %s", f.err, out)
				}
			}
		} else if f.err = e.w.relocate(dir, dir); f.err == nil {
			f.err = finish(filepath.Join(dir, agentDir))
			var changed *restore.ErrChangedSinceKeep
			f.changed = errors.As(f.err, &changed)
		}
		if f.changed {
			f.err = nil
		}
		if f.err != nil {
			return f
		}
		after, err := ReadDisk(dir)
		if err != nil {
			f.err = err
			return f
		}
		f.live, f.temps = liveSet(after)
		f.files = liveFiles(after)
		return f
	})
}

// liveFiles are the bytes of the agent's files, whatever they are called, but by
// names that are to go.
func liveFiles(d *Disk) (sums [][sha256.Size]byte) {
	d.Walk(etcDir, func(path string, n *Node) {
		if !n.IsDir() && !atomicfile.IsTemp(path) {
			sums = append(sums, sha256.Sum256(n.Data))
		}
	})
	return sums
}

var finishes atomic.Int64

func finish(stateDir string) error {
	plan, ok, err := restore.Load(stateDir)
	if err != nil || !ok || plan.Abandoned {
		return err
	}
	store, err := snapshot.Open(stateDir, "a")
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = restore.Execute(context.Background(), plan, store)
	return err
}

// inside runs the program on a disk that was made at dir, where it believes to be
// in the mount.
func (w *world) inside(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	argv := append([]string{dir, w.mount, w.deadman, args[0], "--config", w.yaml()}, args[1:]...)
	cmd := exec.CommandContext(ctx, w.programs.inside, argv...)
	cmd.Args[0] = asInside
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// relocate tells a plan on the disk that was made at dir that the mount is at
// another place, and which inodes the roots have there: on a real disk they are
// what they were.
func (w *world) relocate(dir, mount string) error {
	path := filepath.Join(dir, agentDir, "plan.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte(w.mount+"/"), []byte(mount+"/"))
	var plan map[string]any
	if err := json.Unmarshal(text, &plan); err != nil {
		return os.WriteFile(path, text, 0o600) // Whoever reads it shall say so.
	}
	info, err := os.Stat(filepath.Join(dir, etcDir))
	roots, _ := plan["roots"].([]any)
	for _, root := range roots {
		if root, ok := root.(map[string]any); ok && err == nil && root["inode"] != nil && root["inode"] != float64(0) {
			root["inode"] = info.Sys().(*syscall.Stat_t).Ino
		}
	}
	if text, err = json.Marshal(plan); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
