package incidents

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// steps are what happens in a scenario:
//
//	write FILE VARIANT      somebody writes a file, by rename; -inplace: truncate, then write
//	slowly FILE VARIANT     in place, in two halves with a second between
//	remove FILE | chmod MODE FILE | chown UID[:GID] FILE | link FILE TARGET
//	erase PATTERN           a file outside etc/, below the world's directory, is removed
//	spoil NAME              every file of that name in the guard's stores is emptied
//	copy PATH VARIANT       a file outside etc/, below the world's directory
//	knobs VARIANT           the agent's knobs are turned (an upgrade, a provider's fault)
//	hold N                  N periods pass
//	kill [term]             the agent's process is killed; asked to end, and ends with status 0
//	restart                 an operator restarts it
//	await well | down | RECORD…   until the agent is well and stays so for a period; dead; told
//	rival TIME | rival gone another watchdog, which ends every process of the agent once it is so old, and starts one
//	killer TIME             the same without the start; `rival gone` ends it
//	thief | thief gone      another program takes the agent's port, and lets it go
//	full | full gone        the file system that etc/ and the state are on is full, and not any more
//	operator COMMAND...     a command of the guard's own, where it has such; UNDO is the one that undoes the last rollback
var steps map[string]func(w *World, args []string) error

func init() {
	steps = map[string]func(w *World, args []string) error{
		"write":    write,
		"slowly":   slowly,
		"remove":   remove,
		"chmod":    chmod,
		"chown":    chown,
		"link":     link,
		"erase":    func(w *World, args []string) error { return os.Remove(w.Path(args[0])) },
		"spoil":    spoil,
		"rival":    func(w *World, args []string) error { return rival(w, args, true) },
		"killer":   func(w *World, args []string) error { return rival(w, args, false) },
		"copy":     func(w *World, args []string) error { return w.put(args[0], w.Scenario.Files[args[1]], 0o644) },
		"knobs":    func(w *World, args []string) error { return w.turn(args[0]) },
		"hold":     hold,
		"kill":     kill,
		"restart":  func(w *World, _ []string) error { return w.system.Restart(w) },
		"await":    await,
		"thief":    thief,
		"full":     full,
		"operator": func(w *World, args []string) error { return w.system.Operator(w, args) },
	}
}

func write(w *World, args []string) error {
	return w.witness.change(func() error {
		if args[0] != "-inplace" {
			return w.put("etc/"+args[0], w.Scenario.Files[args[1]], 0o644)
		}
		return os.WriteFile(w.Path("etc", args[1]), []byte(w.variant(args[2])), 0o644)
	})
}

func slowly(w *World, args []string) error {
	text := w.variant(args[1])
	half := func(part string, flag int) error {
		return w.witness.change(func() error {
			f, err := os.OpenFile(w.Path("etc", args[0]), os.O_WRONLY|flag, 0o644)
			if err != nil {
				return err
			}
			_, err = f.WriteString(part)
			return errors.Join(err, f.Close())
		})
	}
	if err := half(text[:len(text)/2], os.O_TRUNC); err != nil {
		return err
	}
	time.Sleep(time.Second)
	return half(text[len(text)/2:], os.O_APPEND)
}

func remove(w *World, args []string) error {
	return w.witness.change(func() error { return os.Remove(w.Path("etc", args[0])) })
}

func chmod(w *World, args []string) error {
	mode, err := strconv.ParseUint(args[0], 8, 32)
	if err != nil {
		return err
	}
	return w.witness.change(func() error { return os.Chmod(w.Path("etc", args[1]), os.FileMode(mode)) })
}

func chown(w *World, args []string) error {
	user, group, both := strings.Cut(args[0], ":")
	uid, err := strconv.Atoi(user)
	if err != nil {
		return err
	}
	gid := -1
	if both {
		if gid, err = strconv.Atoi(group); err != nil {
			return err
		}
	}
	return w.witness.change(func() error { return os.Chown(w.Path("etc", args[1]), uid, gid) })
}

func link(w *World, args []string) error {
	return w.witness.change(func() error {
		_ = os.Remove(w.Path("etc", args[0]))
		return os.Symlink(w.expand(args[1]), w.Path("etc", args[0]))
	})
}

func hold(w *World, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	w.system.Rounds(w, n)
	w.witness.mark()
	return nil
}

func kill(w *World, args []string) error {
	w.witness.look()
	w.witness.mark()
	pid := w.pid()
	if pid == 0 {
		w.trouble = append(w.trouble, "there was no agent to kill")
		return nil
	}
	signal := syscall.SIGKILL
	if len(args) > 0 {
		signal = syscall.SIGTERM
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return err
	}
	w.until("its end", patience, func() bool { return !lives(pid) })
	return nil
}

func await(w *World, args []string) error {
	limit := 20 * time.Second
	if _, nobody := w.system.(Nothing); nobody {
		limit = 2 * time.Second // Nobody comes.
	}
	switch args[0] {
	case "well":
		var since time.Time
		w.until("health", limit, func() bool {
			switch {
			case !w.well() || !w.wanted():
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			}
			return !since.IsZero() && time.Since(since) > 2*Period && w.system.Quiet(w)
		})
	case "down":
		w.until("its death", limit, func() bool { return w.pid() == 0 })
	default:
		w.until("told "+strings.Join(args, " "), limit, func() bool { return tells(w.system.Told(w), args) })
	}
	return nil
}

// spoil empties what the guard keeps by this name.
func spoil(w *World, args []string) error {
	for _, dir := range w.system.Stores(w) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && d.Name() == args[0] {
				return os.Truncate(path, 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rival is a watchdog beside the guard that knows nothing of it, as a loop.
func rival(w *World, args []string, starts bool) error {
	if args[0] == "gone" {
		w.rival()
		w.rival = nil
		return nil
	}
	age, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	done, ended := make(chan struct{}), make(chan struct{})
	w.rival = func() { close(done); <-ended }
	go func() {
		defer close(ended)
		for {
			pid := w.pid()
			select {
			case <-done:
				return
			case <-time.After(age):
			}
			if pid == 0 || pid != w.pid() {
				continue
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
			if starts {
				_ = w.run("rival", w.Daemon()...)
			}
		}
	}()
	return nil
}

func thief(w *World, args []string) error {
	if len(args) > 0 {
		return w.thief.Close()
	}
	var err error
	w.until("the port", patience, func() bool {
		w.thief, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.Port))
		return err == nil
	})
	return err
}

// full fills the file system of the world, which must be one of its own.
func full(w *World, args []string) error {
	ballast := w.Path("ballast")
	if len(args) > 0 {
		return os.Remove(ballast)
	}
	// dd ends with "no space left", which is what was asked for.
	_ = exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=64k").Run()
	_ = exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4k", "oflag=append", "conv=notrunc").Run()
	_, err := os.Stat(filepath.Clean(ballast))
	return err
}
