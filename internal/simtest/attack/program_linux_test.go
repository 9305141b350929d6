package attack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is the whole program on one of the worlds, with a state of its own.
type program struct {
	config, pidFile string
	exits           map[int]int
}

const programConfig = `
state-dir: %[1]s/state/program
request-log: %[1]s/state/program/request_log.db
agents:
  a:
    config:
      root: %[2]s/home
      files: [config.yaml, .env, plain.yaml, linked.yaml, "conf.d/*.yaml", "deep/**/*.json"]
      exclude: [hidden]
      follow: [%[2]s/checkout]
      preserve: ["config.yaml#seen"]
      settle: 0s
    limits: {file: 64KiB, set: 256KiB, files: 60}
    retention: {newest: 5, proven: 2}
    supervisor:
      command: {start: [sh, -c, "sleep 1000 >/dev/null 2>&1 & echo $! >%[3]s"]}
      process: {pid-file: %[3]s}
    period: 1s
    threshold: 1
    retry: 10ms
    gone-grace: 20ms
    probation: 1s
    healthy-deadline: 10s
    start-timeout: 5s
`

// newProgram installs deadman for the agent in w, while that is still well.
func newProgram(base string, w *world) (*program, error) {
	p := &program{config: base + "/state/deadman.yaml", pidFile: base + "/state/agent.pid", exits: map[int]int{}}
	if err := os.WriteFile(p.config, fmt.Appendf(nil, programConfig, base, w.dir, p.pidFile), 0o600); err != nil {
		return nil, err
	}
	for range 2 { // It starts, and is captured.
		if err := p.run("check", "--wait", "30s"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// round is a check; every other one of a dead agent.
func (p *program) round(kill bool) error {
	if kill {
		if err := p.kill(); err != nil {
			return err
		}
	}
	return p.run("check", "--wait", "30s")
}

func (p *program) run(words ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append(words, "--config", p.config)...)
	cmd.Env = append(os.Environ(), role+"=deadman")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return violation("deadman %s hangs:\n%s", words[0], out)
	case err != nil && !errors.As(err, &exit):
		return err
	}
	p.exits[cmd.ProcessState.ExitCode()]++
	switch cmd.ProcessState.ExitCode() {
	case 0, 1, 3: // well or recovered; not; cannot tell
		return nil
	}
	return violation("deadman %s ends with %v:\n%s", words[0], cmd.ProcessState, out)
}

// kill ends the agent, if there is one.
func (p *program) kill() error {
	text, err := os.ReadFile(p.pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for deadline := time.Now().Add(hang); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}
