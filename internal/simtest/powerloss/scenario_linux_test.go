package powerloss_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"deadman/internal/atomicfile"
)

// A deed is something that deadman does, and that must survive a loss of power
// at any point of it. Each begins with a disk of its own.
type deed struct {
	name string
	config
	do func(w *world)
}

const twoFiles = `[config.yaml, "*.env"]`

var deeds = []deed{
	// The state directory is made; the first capture, its proof, a candidate.
	{"capture", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.put("another config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("check", "a")
	}},
	// An incident, and life after it: the plan must not come back.
	{"rollback", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.do("check", "a")
		w.prove()
		w.put("a mended config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("check", "a")
	}},
	// Directories to make and to remove, files in them, links, modes. Whatever is
	// done in private, in half and in loss is synced once: the modes are those that
	// directories are made with, and nothing is done there afterwards.
	{"tree", config{Files: `[config.yaml, "*.env", "private/deep/*", "half/*", "half/deep/*", "loss/*", "old/*", link]`}, func(w *world) {
		w.put("a config", files{
			"config.yaml": w.good("m1"), "extra.env": "A=1\n", "link": "-> extra.env",
			"private/deep/one": "1\n", "half/two": "2\n", "half/deep/three": "3\n", "loss/four": "4\n",
		})
		w.edit("modes", func() error {
			private := filepath.Join(w.mount, "etc/private")
			return errors.Join(os.Chmod(private, 0o700), os.Chmod(filepath.Join(private, "deep"), 0o700))
		})
		w.start()
		w.prove()
		w.put("a broken config", files{
			"config.yaml": "listen: [\n", "extra.env": "A=1\n", "link": "-> new.env",
			"half/two": "2\n", "loss/four": "4\n", "loss/five": "5\n", "old/six": "6\n", "new.env": "B=1\n",
		})
		w.edit("a mode", func() error { return os.Chmod(filepath.Join(w.mount, "etc/extra.env"), 0o600) })
		w.kill()
		w.do("check", "a")
	}},
	{"accept", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.put("another config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("accept", "a")
	}},
	{"restore", config{Files: twoFiles}, func(w *world) {
		w.proven()
		id := w.knownGood()
		w.put("another config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("accept", "a")
		w.do("restore", "a", id)
	}},
	// The config's disk is full, and what was begun there is taken away again.
	{"full", config{Files: twoFiles}, func(w *world) {
		w.proven()
		id := w.knownGood()
		w.put("another config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.fs.Fault = func(what, path string) syscall.Errno {
			if what == "write" && strings.HasPrefix(path, "etc/") {
				return syscall.ENOSPC
			}
			return 0
		}
		if out, _ := w.run("restore", "a", id); !strings.Contains(out, "no space left") {
			w.t.Fatalf("deadman restore met no full disk:\n%s", out)
		}
		w.mark("deadman restore")
	}},
	{"retention", config{Files: twoFiles, More: "    retention: {newest: 1, proven: 1}\n"}, func(w *world) {
		w.proven()
		for _, model := range []string{"m2", "m3", "m4"} {
			w.put("config "+model, files{"config.yaml": w.good(model), "extra.env": "A=2\n"})
			w.do("check", "a")
		}
	}},
	// The config's directory is gone.
	{"root", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.edit("no config", func() error { return os.RemoveAll(filepath.Join(w.mount, "etc")) })
		w.kill()
		w.do("check", "a")
	}},
	// A file that is a mount point cannot be renamed over.
	{"in-place", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.fs.Fault = notMoved
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.do("check", "a")
	}},
	// Names cannot be exchanged. Nothing is done after it that syncs the directory.
	{"no-exchange", config{Files: twoFiles}, func(w *world) {
		w.fs.NoExchange = true
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.do("check", "a")
	}},
	// Somebody writes in the very moment in which the file is replaced, or removed.
	{"raced", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.onward()
		w.somebody("etc/config.yaml", "listen: [somebody\n", nil)
		w.do("check", "a")
		w.happened()
	}},
	{"raced-remove", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n", "new.env": "B=1\n"})
		w.kill()
		w.onward()
		w.somebody("etc/new.env", "B=somebody\n", nil)
		w.do("check", "a")
		w.happened()
	}},
	{"raced-no-exchange", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.fs.NoExchange = true
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.onward()
		w.somebody("etc/config.yaml", "listen: [somebody\n", nil)
		w.do("check", "a")
		w.happened()
	}},
	// And deadman is killed before it can look at what it has moved. There is nothing
	// else to be tidied there.
	{"raced-crash", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n"})
		w.kill()
		w.onward()
		w.somebody("etc/config.yaml", "listen: [somebody\n", die)
		w.dies("check", "a")
		w.do("check", "a")
	}},
	{"raced-remove-crash", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n", "new.env": "B=1\n"})
		w.kill()
		w.onward()
		w.somebody("etc/new.env", "B=somebody\n", die)
		w.dies("check", "a")
		w.do("check", "a")
	}},
	// deadman is killed, with all but the last sync done, and goes on later.
	{"killed", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n"})
		w.kill()
		w.onward()
		swapped := false
		w.moment(func(path string) bool {
			swapped = swapped || path == "etc/config.yaml"
			return swapped && atomicfile.IsTemp(path)
		}, die)
		w.dies("check", "a")
		w.do("check", "a")
	}},
	{"in-place-killed", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		w.fs.Fault = notMoved
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n"})
		w.kill()
		w.onward()
		writes := 0
		w.moment(func(path string) bool {
			if path == "etc/config.yaml" {
				writes++
			}
			return writes == 3 // what is new at the end, the first half, the rest
		}, die)
		w.dies("check", "a")
		w.do("check", "a")
	}},
	// The disk is full, and says so when it is synced.
	{"in-place-full", config{Files: twoFiles, About: "etc/"}, func(w *world) {
		w.proven()
		id := w.knownGood()
		w.put("another config", files{"config.yaml": "a: 1\n", "extra.env": "A=2\n"})
		w.onward()
		w.fs.Fault = func(what, path string) syscall.Errno {
			if what == "sync" && path == "etc/config.yaml" {
				return syscall.ENOSPC
			}
			return notMoved(what, path)
		}
		if out, _ := w.run("restore", "a", id); !strings.Contains(out, "no space left") {
			w.t.Fatalf("deadman restore met no full disk:\n%s", out)
		}
		w.mark("deadman restore")
		if n := w.fs.Now().At("etc/config.yaml"); string(n.Data) != "a: 1\n" {
			w.broken = append(w.broken, fmt.Sprintf("there was no space for it, and it is now %q", n.Data))
		}
	}},
	// What stands where a file belongs is too big to be kept, and moved aside.
	{"in-the-way", config{Files: twoFiles, About: "etc/", More: "    limits: {file: 1KiB}\n"}, func(w *world) {
		w.proven()
		big := "listen: [" + strings.Repeat("x", 2000)
		w.put("a config that is too big", files{"config.yaml": big, "extra.env": "A=1\n"})
		w.kill()
		w.onward()
		w.written = append(w.written, written{w.fs.Len(), "etc/config.yaml", sha256.Sum256([]byte(big))})
		w.do("check", "a")
	}},
	{"reserve", config{Files: twoFiles, About: "state/reserve"}, func(w *world) {
		w.fs.NoAllocate = true
		w.fs.Fault = func(what, path string) syscall.Errno {
			if what == "sync" && path == "state/reserve" {
				return syscall.ENOSPC
			}
			return 0
		}
		w.put("a config", files{"config.yaml": w.good("m1"), "extra.env": "A=1\n"})
		w.start()
		w.do("check", "a")
		if n := w.fs.Now().At("state/reserve"); n != nil && len(n.Data) > 0 {
			w.broken = append(w.broken, fmt.Sprintf("there was no space for a reserve, and it is said to be %d bytes", len(n.Data)))
		}
	}},
	// The database cannot be written for a while.
	{"spool", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.fs.Fault = func(what, path string) syscall.Errno {
			if what == "write" && strings.HasPrefix(path, "state/deadman.db") {
				return syscall.EIO
			}
			return 0
		}
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=2\n"})
		w.kill()
		w.do("check", "a")
		w.fs.Fault = nil
		w.put("a mended config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("check", "a")
	}},
	// The database is damaged.
	{"aside", config{Files: twoFiles}, func(w *world) {
		w.proven()
		w.edit("damage", func() error {
			f, err := os.OpenFile(filepath.Join(w.mount, "state/deadman.db"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			junk := []byte(strings.Repeat("junk", 2048))
			_, err = f.WriteAt(junk, 0)
			return errors.Join(err, f.Close(), os.Remove(filepath.Join(w.mount, "state/agents/a/state.json")))
		})
		w.put("another config", files{"config.yaml": w.good("m2"), "extra.env": "A=2\n"})
		w.do("check", "a")
	}},
	// The agent is deadman's own child, and it stays in the foreground.
	{"child", config{Files: twoFiles, Supervisor: "child"}, func(w *world) {
		w.put("a config", files{"config.yaml": w.good("m1"), "extra.env": "A=1\n"})
		cmd := exec.Command(w.deadman, "run", "--config", w.yaml(), "a")
		cmd.Env = w.env
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		w.await("the proof", func() bool {
			out, _ := w.run("status", "--json")
			return strings.Contains(out, `"standing":"proven"`)
		})
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		w.mark("deadman run")
	}},
	// The agent is another program's, which remembers that it was told to stop it.
	{"owned", config{Files: twoFiles, Supervisor: "docker", About: "state/agents/a/owner.json"}, func(w *world) {
		w.proven()
		w.put("a broken config", files{"config.yaml": "listen: [\n", "extra.env": "A=1\n"})
		w.kill()
		w.onward()
		w.do("check", "a")
		if w.engine.told.Load() == 0 {
			w.t.Fatal("the agent's owner was never told to stop it")
		}
	}},
	// What else acts on the agent is moved aside, and put back.
	{"rivals", config{Files: twoFiles}, func(w *world) {
		w.machine()
		w.onward()
		w.do("rivals", "--disable", "--root", filepath.Join(w.mount, machineDir))
		w.do("rivals", "--restore", "--root", filepath.Join(w.mount, machineDir))
	}},
	// A config is written.
	{"init", config{Files: twoFiles}, func(w *world) {
		w.watched = []string{"conf/dir/deadman.yaml"}
		w.put("a config", files{"config.yaml": w.good("m1"), "extra.env": "A=1\n"})
		w.mark("nothing")
		cmd := exec.Command(w.deadman, "init", "--write", "--config", filepath.Join(w.mount, w.watched[0]), "--name", "a",
			"--files", filepath.Join(w.mount, "etc/config.yaml"), "--", w.agent, "-config", filepath.Join(w.mount, "etc/config.yaml"))
		cmd.Env = w.env
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("%v\n%s", err, out)
		}
		w.mark("deadman init")
	}},
}

// notMoved is the fault of a config that is a mount point.
func notMoved(what, path string) syscall.Errno {
	if what == "rename" && path == "etc/config.yaml" {
		return syscall.EBUSY
	}
	return 0
}

// proven is the beginning of most deeds.
func (w *world) proven() {
	w.t.Helper()
	w.put("a config", files{"config.yaml": w.good("m1"), "extra.env": "A=1\n"})
	w.start()
	w.prove()
}

func (w *world) knownGood() string {
	w.t.Helper()
	target, err := os.Readlink(filepath.Join(w.mount, "state/agents/a/last-known-good"))
	if err != nil {
		w.t.Fatal(err)
	}
	return filepath.Base(filepath.Dir(target))
}
