package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// markName is the variable that marks everything that one start of ours brought
// about.
const markName = "DEADMAN_START"

func mark(attempt string) string { return markName + "=" + attempt }

// private are variables that our own supervisor has set for us. An agent that
// inherited NOTIFY_SOCKET would speak to systemd in deadman's name.
var private = []string{
	markName, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
	"INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "SYSTEMD_EXEC_PID", "CREDENTIALS_DIRECTORY",
}

// environment is ours without what is private, with extra, and with the mark of
// an attempt unless that is "".
func environment(extra map[string]string, attempt string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, given := extra[name]
		return given || slices.Contains(private, name)
	})
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		env = append(env, name+"="+extra[name])
	}
	if attempt != "" {
		env = append(env, mark(attempt))
	}
	return env
}

// logLimit is the size from which on a log is put aside (as ".1", replacing the
// one before) at the next start.
const logLimit = 10 << 20

// openLog opens the file that takes a command's output, for appending. It is the
// user's alone, since agents print secrets. "" is /dev/null, and so is a disk that
// takes nothing.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if file, err := os.Lstat(path); err == nil && file.Mode().IsRegular() && file.Size() > logLimit {
		// If it cannot be put aside it grows: no reason not to start an agent.
		_ = os.Rename(path, path+".1")
	}
	// Never through a link, which could lead anywhere, and never waiting for the
	// reader of a fifo.
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// No reason not to start an agent either.
		return openLog("")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the agent's log: %v", reason(err))
	}
	file, err := log.Stat()
	if err != nil || !file.Mode().IsRegular() {
		log.Close()
		return nil, errors.New("cannot open the agent's log: not a regular file")
	}
	return log, nil
}

// reason is an error without the path in it.
func reason(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// seal marks every descriptor of this process but the first three as not to be
// inherited. Go opens its own that way; what we inherited ourselves (from cron,
// from a shell) is not, and an agent would hold it for months.
func seal() error {
	dir := "/proc/self/fd"
	if _, err := os.Lstat(dir); err != nil {
		dir = "/dev/fd"
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot list our descriptors: %v", reason(err))
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd) // no error: one of them was the directory, closed by now
		}
	}
	return nil
}
