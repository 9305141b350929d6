package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"deadman/internal/proc"
)

// shimName is the name (argv[0]) under which this program runs as a shim.
const shimName = "deadman-shim"

// The descriptors that a shim is given beside the first three.
const (
	orderFD = 3 + iota
	answerFD
	_ // child.lock: held by being open
)

// order is what a shim is to do.
type order struct {
	Argv       []string      `json:"argv"`
	Dir        string        `json:"dir"`
	Env        []string      `json:"env"`
	Credential *Credential   `json:"credential,omitempty"`
	State      string        `json:"state"`
	Forked     time.Duration `json:"forked"`
	Attempt    string        `json:"attempt"`
}

// shimCommand runs this very program, even when its file has been replaced since
// (an upgrade in progress).
func shimCommand() *exec.Cmd {
	path := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		path, _ = os.Executable()
	}
	return &exec.Cmd{Path: path, Args: []string{shimName}}
}

// environment is the agent's. One that runs as another user has that user's
// home: a config read from root's is a classic (incident 50).
func (c *Child) environment(attempt string) []string {
	extra := map[string]string{}
	if c.Credential != nil {
		if u, err := user.LookupId(strconv.Itoa(c.Credential.UID)); err == nil {
			extra["HOME"], extra["USER"], extra["LOGNAME"] = u.HomeDir, u.Username, u.Username
		}
	}
	for name, value := range c.Env {
		extra[name] = value
	}
	return environment(extra, attempt)
}

// IsShim reports whether this process was started to become an agent. Then main
// calls Shim before anything else.
func IsShim() bool { return len(os.Args) == 1 && os.Args[0] == shimName }

// Shim turns this process, which a Child has forked, into the agent, and never
// returns. The order is the point: it writes down who it is, durably, before it
// becomes the agent, and pid and start time stay the same through the exec. So at
// any instant either child.json names the process, or there is no agent yet and
// there will be none: a shim whose deadman dies before it has the whole order
// ends. The lock is let go by the exec itself.
func Shim() {
	answer := os.NewFile(answerFD, "answer")
	err := become(os.NewFile(orderFD, "order"))
	fmt.Fprint(answer, err)
	os.Exit(127)
}

// become returns only if it fails. Its errors hold no word of the order.
func become(from *os.File) error {
	if err := seal(); err != nil {
		return err
	}
	var o order
	if err := json.NewDecoder(from).Decode(&o); err != nil {
		return errors.New("it was not told what to run")
	}
	self, err := proc.Look(os.Getpid())
	if err != nil {
		return errors.New("it cannot find itself in /proc")
	}
	err = writeState(o.State, childState{
		Version: childVersion, Process: self, Forked: o.Forked, Attempt: o.Attempt, Argv: hashArgv(o.Argv),
	})
	if err != nil {
		return fmt.Errorf("it cannot write child.json: %v", bare(err))
	}
	if who := o.Credential; who != nil {
		if err := who.assume(); err != nil {
			return fmt.Errorf("it cannot become the agent's user: %v", bare(err))
		}
	}
	if o.Dir != "" {
		if err := os.Chdir(o.Dir); err != nil {
			return fmt.Errorf("it cannot enter the agent's directory: %v", bare(err))
		}
	}
	path, err := find(o)
	if err == nil {
		err = syscall.Exec(path, o.Argv, o.Env)
	}
	return fmt.Errorf("the program cannot be run: %v", bare(err))
}

// find looks the program up in the agent's PATH.
func find(o order) (string, error) {
	os.Clearenv()
	for _, entry := range o.Env {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	path, err := exec.LookPath(o.Argv[0])
	if errors.Is(err, exec.ErrDot) { // its PATH says so, and it is its directory
		err = nil
	}
	return path, err
}

func (who *Credential) assume() error {
	if os.Getuid() == who.UID && os.Getgid() == who.GID {
		return nil
	}
	if err := syscall.Setgroups(who.Groups); err != nil {
		return err
	}
	if err := syscall.Setgid(who.GID); err != nil {
		return err
	}
	return syscall.Setuid(who.UID)
}

// writeState replaces child.json or owner.json, durably: half a file would leave
// nobody able to tell whether there is an agent. One process at a time does, by
// the lock of the shim or that of the agent.
func writeState(path string, s any) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
