package canonical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Repo is a git repository on this machine.
type Repo struct {
	// Path is the absolute path of a bare repository or of a work tree.
	Path string
	// Git is the program, "" the one in PATH.
	Git string
}

const (
	// readTime bounds all that one Read does, and pipeGrace how long the output
	// of a git that has ended is waited for.
	readTime  = 15 * time.Second
	pipeGrace = time.Second
	// messageMax bounds what is read of what git says about a failure.
	messageMax = 4 << 10
)

// Error is that a repository could not be read or written.
type Error struct {
	What string // "cannot …"
	Said string // by git, one line; may be empty
	hint string
}

func (e *Error) Error() string {
	if e.Said == "" {
		return e.What
	}
	return e.What + ": " + e.Said
}

// Hint says what a person can do about it.
func (e *Error) Hint() string { return e.hint }

// errTooMuch is that git printed more than it may.
var errTooMuch = errors.New("there is more of it than the limit")

// ours is configuration that no repository's takes the place of.
var ours = [][2]string{
	// Where and as whom git runs is decided by us, not by who owns what.
	{"safe.directory", "*"},
	{"core.hooksPath", "/dev/null"},
	{"core.fsmonitor", "false"},
	{"core.fsync", "all"},
	{"gc.auto", "0"},
	{"maintenance.auto", "false"},
	// A partial clone would fetch what it lacks, by a command of its own.
	{"protocol.allow", "never"},
}

// environ is the whole environment of git: nothing of ours (GIT_DIR and its like
// lead elsewhere) and nothing of the user's configuration.
func (r Repo) environ(own [][2]string) []string {
	env := []string{
		"PATH=" + searchPath(), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_ALLOW_PROTOCOL=none", "GIT_CEILING_DIRECTORIES=" + dirOf(r.Path),
	}
	return append(env, configEnv(own)...)
}

// configEnv hands git configuration of the command's scope, which is believed in
// safe.directory and overrides that of the repository.
func configEnv(pairs [][2]string) []string {
	env := []string{"GIT_CONFIG_COUNT=" + strconv.Itoa(len(pairs))}
	for i, pair := range pairs {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, pair[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, pair[1]))
	}
	return env
}

// dirOf is where the search for a repository ends: it is at path, and not above it.
func dirOf(path string) string { return filepath.Dir(filepath.Clean(path)) }

// searchPath is where git finds its own programs; cron's has them too.
func searchPath() string {
	if p := os.Getenv("PATH"); p != "" {
		return p
	}
	return "/usr/local/bin:/usr/bin:/bin"
}

// command prepares a git in the repository, as whoever owns that.
func (r Repo) command(ctx context.Context, env []string, args ...string) (*exec.Cmd, error) {
	who, err := owner(r.Path)
	if err != nil {
		return nil, err
	}
	program := r.Git
	if program == "" {
		program = "git"
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = r.Path, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: who}
	// The leader is not reaped yet when Cancel runs, so its pid names its group.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace
	return cmd, nil
}

// run returns what git prints, which may be at most limit bytes.
func (r Repo) run(ctx context.Context, stdin io.Reader, limit int64, env []string, args ...string) ([]byte, error) {
	cmd, err := r.command(ctx, env, args...)
	if err != nil {
		return nil, err
	}
	out, said := &bounded{max: limit}, &head{max: messageMax}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, said
	err = cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &Error{What: "cannot run git: it is not there", hint: "install git, or leave out what needs it: recovery from the store does not"}
	case out.over:
		return nil, errTooMuch
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errors.New("git was still at it after all the time it may take")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, syscall.EACCES):
		return nil, errors.New("its owner, as whom git runs, cannot reach it")
	case err != nil:
		if line := said.line(); line != "" {
			return nil, errors.New(line)
		}
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// bounded keeps what is written to it, and refuses more than max bytes, which
// ends whoever writes.
type bounded struct {
	buf  bytes.Buffer
	max  int64
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(b.buf.Len()+len(p)) > b.max {
		b.over = true
		return 0, errTooMuch
	}
	return b.buf.Write(p)
}

// head keeps the beginning of what is written to it.
type head struct {
	buf bytes.Buffer
	max int
}

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), h.max-h.buf.Len())])
	return len(p), nil
}

// line is the first thing that git complains of.
func (h *head) line() string {
	for line := range strings.Lines(h.buf.String()) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "error: "))
		if line != "" && !strings.HasPrefix(line, "warning: ") && !strings.HasPrefix(line, "hint: ") {
			return strings.ToValidUTF8(line, "?")
		}
	}
	return ""
}

// owner is whom git runs as in path; nil is who we are. For root that is whoever
// could have put there what is there: the one other than root that owns the
// repository or a directory or link on the way to it. Anything else would read or write
// with our privileges what such a one has chosen (a link to another's
// repository, an object store of somebody else).
func owner(path string) (*syscall.Credential, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, &Error{What: fmt.Sprintf("cannot find the repository %s", path), hint: "it must be on this machine: a clone, or a bare repository"}
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var who *syscall.Credential
	for _, name := range slices.Concat(upTo(path), upTo(real), []string{filepath.Join(real, ".git")}) {
		info, err := os.Lstat(name)
		if err != nil {
			continue // Only .git can be missing, in a bare repository.
		}
		st := info.Sys().(*syscall.Stat_t)
		switch {
		case st.Uid == 0:
		case who == nil || who.Uid == st.Uid:
			who = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
		default:
			return nil, &Error{
				What: fmt.Sprintf("cannot tell whose repository %s is: users %d and %d own what is on the way to it", path, who.Uid, st.Uid),
				hint: "keep it where its directories are its owner's or root's",
			}
		}
	}
	return who, nil
}

// upTo are path and the directories above it, from the top.
func upTo(path string) []string {
	var out []string
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		out = append(out, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	slices.Reverse(out)
	return out
}
