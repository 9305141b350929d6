package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Tmux is an agent that runs in a window of tmux: as its first pane's process,
// not as a command that somebody typed into a shell there. Nobody but us brings
// it back, and a person who ends it cannot be told from a death.
//
// A window, a session and the whole server end with what runs in them, so their
// absence means that there is no agent. Start makes what is missing. Windows that
// it makes stay when the agent ends, and show what it said last.
type Tmux struct {
	// Session and Window name the window. A number is an index.
	Session, Window string
	// Argv is what runs in it, as it is: no shell reads it.
	Argv []string
	// Socket is that of the server; "" is the user's default.
	Socket string
}

// tmuxTime bounds one command to a tmux server.
const tmuxTime = 5 * time.Second

// target names the window and nothing else: without = a prefix or a pattern
// would do.
func (x *Tmux) target() string {
	if x.byIndex() {
		return "=" + x.Session + ":" + x.Window
	}
	return "=" + x.Session + ":=" + x.Window
}

func (x *Tmux) byIndex() bool {
	_, err := strconv.Atoi(x.Window)
	return err == nil
}

// errNoWindow: there is no such window, session or server.
var errNoWindow = errors.New("there is no such window")

// tell runs a tmux command. The server, should this start it, inherits nothing of
// ours that it must not have.
func (x *Tmux) tell(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tmuxTime)
	defer cancel()
	if x.Socket != "" {
		args = append([]string{"-S", x.Socket}, args...)
	}
	if err := seal(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "tmux", args...)
	cmd.Env = slices.DeleteFunc(environment(nil, ""), func(entry string) bool {
		return strings.HasPrefix(entry, "TMUX=") || strings.HasPrefix(entry, "TMUX_PANE=")
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second // A server has our pipes only until it has detached.
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	word := strings.TrimSpace(said.String())
	switch {
	case err == nil:
		return strings.TrimSpace(out.String()), nil
	case ctx.Err() != nil:
		return "", errors.New("tmux does not answer in time")
	case strings.HasPrefix(word, "can't find "), strings.HasPrefix(word, "no server running"),
		strings.HasPrefix(word, "error connecting") && strings.HasSuffix(word, "(No such file or directory)"):
		return "", errNoWindow
	case word != "":
		return "", fmt.Errorf("tmux: %s", word)
	}
	return "", fmt.Errorf("tmux cannot be run: %v", bare(err))
}

// pane is the first pane of the window.
type pane struct {
	id           string
	pid          int
	dead         bool
	status, kill string
}

const paneFormat = "#{pane_id} #{pane_pid} #{pane_dead} s#{pane_dead_status} k#{pane_dead_signal}"

func (x *Tmux) pane(ctx context.Context) (pane, error) {
	text, err := x.tell(ctx, "list-panes", "-t", x.target(), "-F", paneFormat)
	if err != nil {
		return pane{}, err
	}
	first, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(first)
	if len(fields) != 5 {
		return pane{}, errors.New("tmux says nothing of the window's panes")
	}
	pid, err := strconv.Atoi(fields[1])
	return pane{fields[0], pid, fields[2] == "1", fields[3][1:], fields[4][1:]}, err
}

func (x *Tmux) look(ctx context.Context) Inspection {
	p, err := x.pane(ctx)
	switch {
	case errors.Is(err, errNoWindow):
		return gone("there is no such window")
	case err != nil:
		return obscured(deadman.Process{}, "%v", err)
	case !p.dead:
		seen := ofOwner(p.pid, x.Socket)
		seen.settling, seen.Activating = seen.unnoticed, false // Nobody will bring it back.
		return seen
	}
	seen := gone("the window shows what it said last")
	seen.life = lifeName(atRest, "%s %d", p.id, p.pid)
	if n, err := strconv.Atoi(p.kill); err == nil && n > 0 {
		seen.Exit = proc.Exit{Known: true, Signal: syscall.Signal(n)}.String()
	} else if n, err := strconv.Atoi(p.status); err == nil {
		seen.Exit = proc.Exit{Known: true, Code: n}.String()
	}
	return seen
}

// up runs the agent in its window. env(1) gives it the mark, and keeps tmux from
// taking a single word for a shell's command.
func (x *Tmux) up(ctx context.Context, entry string) error {
	if len(x.Argv) == 0 {
		return errors.New("there is no command")
	}
	argv := slices.Concat([]string{"env", "--", entry}, x.Argv)
	for i, word := range argv {
		if strings.HasSuffix(word, ";") { // Or tmux takes it for the end of its command.
			argv[i] = strings.TrimSuffix(word, ";") + `\;`
		}
	}
	p, err := x.pane(ctx)
	if err == nil {
		if ofOwner(p.pid, x.Socket).Presence != deadman.Gone {
			return errors.New("something runs in the window")
		}
		_, err = x.tell(ctx, slices.Concat([]string{"respawn-pane", "-k", "-t", p.id}, argv)...)
		return err
	}
	if !errors.Is(err, errNoWindow) {
		return err
	}
	args := []string{"new-session", "-d", "-s", x.Session, "-x", "120", "-y", "50"}
	if _, err := x.tell(ctx, "has-session", "-t", "="+x.Session); err == nil {
		args = []string{"new-window", "-d", "-t", "=" + x.Session + ":"}
		if x.byIndex() {
			args[3] += x.Window
		}
	} else if !errors.Is(err, errNoWindow) {
		return err
	}
	if !x.byIndex() {
		args = append(args, "-n", x.Window)
	}
	keep := []string{";", "set-option", "-w", "-t", x.target(), "remain-on-exit", "on"}
	_, err = x.tell(ctx, slices.Concat(args, argv, keep)...)
	return err
}

// down does nothing: who is told to end in a window is not brought back.
func (x *Tmux) down(context.Context, time.Duration) (bool, error) { return false, nil }
