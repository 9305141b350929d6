package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"deadman"
	"deadman/internal/proc"
)

// Docker is an agent that is the main process of a container, spoken to by the
// engine's API over its unix socket, which podman serves too. The container must
// run on this machine: its process is told by pid, and seen from outside.
//
// A container that has exited has been stopped by a person if its restart policy
// would have brought it back otherwise, or if the engine's events say so. Podman's
// do not, so there a stop cannot be told from a death.
type Docker struct {
	Container string
	// Socket is the engine's; "" is the first of DockerSockets that is there.
	Socket string
}

// DockerSockets are where an engine's socket is by default.
var DockerSockets = []string{"/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"}

// container is what is read of an answer of the engine's.
type container struct {
	ID           string `json:"Id"`
	RestartCount int64
	State        struct {
		Status, Error         string
		Pid, ExitCode         int
		OOMKilled             bool
		StartedAt, FinishedAt time.Time
	}
	HostConfig struct {
		RestartPolicy struct {
			Name              string
			MaximumRetryCount int64
		}
	}
}

func (d *Docker) socket() string {
	if d.Socket != "" {
		return d.Socket
	}
	for _, path := range DockerSockets {
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return DockerSockets[0]
}

// call asks the engine. An answer of another status than 2xx or 304 (it is so
// already) is an error.
func (d *Docker) call(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	// Without a version in the path an engine answers in its newest.
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := unixClient(d.socket()).Do(request)
	if err != nil {
		return nil, unreached(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return nil, unreached(err)
	}
	if response.StatusCode/100 == 2 || response.StatusCode == http.StatusNotModified {
		return text, nil
	}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = fmt.Sprintf("status %d", response.StatusCode)
	}
	return nil, errors.New("the engine says: " + said.Message)
}

func (d *Docker) path(verb string) string {
	return "/containers/" + url.PathEscape(d.Container) + "/" + verb
}

func (d *Docker) look(ctx context.Context) Inspection {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	text, err := d.call(ctx, http.MethodGet, d.path("json"), nil)
	if err != nil {
		return obscured(deadman.Process{}, "docker: %v", err)
	}
	var c container
	if err := json.Unmarshal(text, &c); err != nil {
		return obscured(deadman.Process{}, "docker: its answer is not that of an engine")
	}
	seen := d.judge(ctx, c)
	seen.Restarts = max(0, c.RestartCount) // What is negative has a meaning of ours.
	return seen
}

func (d *Docker) judge(ctx context.Context, c container) Inspection {
	seen := gone("the container is " + c.State.Status)
	switch c.State.Status {
	case "running", "paused":
		if seen = ofOwner(c.State.Pid, d.socket()); seen.Presence != deadman.Running {
			return seen
		}
		if !c.holds(seen.Process) {
			return obscured(deadman.Process{}, "process %d is not the container's: it runs on another machine", c.State.Pid)
		}
		seen.life = lifeName(alive, "%v", c.State.StartedAt)
	case "restarting":
		seen.Activating, seen.Exit = true, c.exit()
		seen.life = lifeName(ended, "%v", c.State.StartedAt)
	case "removing":
		seen.settling = true
	case "created":
		// Nobody has started it yet; with an error somebody has tried.
		seen.Stopped = c.State.Error == ""
	case "exited", "dead":
		seen.Exit = c.exit()
		seen.life = lifeName(atRest, "%v", c.State.StartedAt)
		if c.State.OOMKilled {
			seen.Result = "oom-kill"
		}
		policy := c.HostConfig.RestartPolicy
		switch {
		case policy.Name == "always", policy.Name == "unless-stopped":
			seen.Stopped = c.State.Error == "" // With one it could not be started.
		case d.stopped(ctx, c):
			seen.Stopped = true
		case policy.Name == "on-failure" && policy.MaximumRetryCount > 0 && c.State.ExitCode != 0:
			seen.Latched = fmt.Sprintf("on-failure:%d", policy.MaximumRetryCount)
		}
	default:
		return obscured(deadman.Process{}, "docker: the container is %q", c.State.Status)
	}
	return seen
}

// startSlack is how far apart the engine and the kernel may see a start.
const startSlack = 10 * time.Second

// holds reports whether p is the container's process: by its control group, or
// else by its start. An engine in a virtual machine has pids of its own.
func (c container) holds(p deadman.Process) bool {
	if groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID)); err == nil && c.ID != "" && strings.Contains(string(groups), c.ID) {
		return true
	}
	started := proc.WallOf(p.Start, time.Now(), proc.Uptime())
	return started.Sub(c.State.StartedAt).Abs() < startSlack
}

func (c container) exit() string { return fmt.Sprintf("exit %d", c.State.ExitCode) }

// stopped asks the engine's events whether the container was stopped on purpose
// when it ended. What it has forgotten did not happen.
func (d *Docker) stopped(ctx context.Context, c container) bool {
	filters, err := json.Marshal(map[string][]string{"type": {"container"}, "container": {c.ID}, "event": {"stop"}})
	if err != nil || c.State.FinishedAt.IsZero() {
		return false
	}
	text, err := d.call(ctx, http.MethodGet, "/events", url.Values{
		"filters": {string(filters)},
		"since":   {stamp(c.State.FinishedAt)},
		"until":   {stamp(time.Now())},
	})
	return err == nil && len(strings.TrimSpace(string(text))) > 0
}

func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

func (d *Docker) up(ctx context.Context, _ string) error {
	_, err := d.call(ctx, http.MethodPost, d.path("start"), nil)
	return err
}

// taken is how long an engine has to refuse an order.
const taken = 200 * time.Millisecond

// down tells the engine to stop the container, and does not wait for that: whom
// it would kill late we kill in time, and it knows then why.
func (d *Docker) down(ctx context.Context, delay time.Duration) (bool, error) {
	patience := delay + killWait
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience+askTime)
	refused := make(chan error, 1)
	go func() {
		defer cancel()
		_, err := d.call(long, http.MethodPost, d.path("stop"), url.Values{"t": {fmt.Sprint(int(patience.Seconds()))}})
		refused <- err
	}()
	select {
	case err := <-refused:
		return true, err
	case <-time.After(taken):
		return true, nil
	}
}
