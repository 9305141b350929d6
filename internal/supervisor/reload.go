package supervisor

import (
	"context"
	"fmt"
	"syscall"

	"deadman/internal/proc"
)

// Reloads reports whether there is a reload command.
func (c *Command) Reloads(context.Context) bool { return len(c.ReloadArgv) > 0 }

// Reload runs the reload command, and waits for its end, StopTimeout at most. What
// it brings about is for the checks to tell.
func (c *Command) Reload(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, c.StopTimeout)
	defer cancel()
	cmd, err := c.launch(c.ReloadArgv, "")
	if err != nil {
		return fmt.Errorf("cannot reload: %w", err)
	}
	timely := proc.AwaitEnd(within, cmd.Process.Pid)
	if !timely {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
	if !timely {
		return fmt.Errorf("cannot reload: the command did not end within %s", c.StopTimeout)
	}
	if word := exitOf(cmd); word != "exit 0" {
		return fmt.Errorf("cannot reload: the command ended with %s", word)
	}
	return nil
}

// Reloads reports whether systemd can reload the unit (CanReload): without an
// ExecReload it cannot. Where it does not say, that is found when it is told to.
func (s *Systemd) Reloads(ctx context.Context) bool {
	m, err := dial(ctx, s.User)
	if err != nil {
		return true
	}
	defer m.close()
	u, err := m.read(ctx, s.name())
	return err != nil || !u.Unreloadable
}

// Reload has systemd reload the unit, and waits for the end of the job.
func (s *Systemd) Reload(ctx context.Context) error {
	m, err := dial(ctx, s.User)
	if err != nil {
		return err
	}
	defer m.close()
	ctx, cancel := context.WithTimeout(ctx, s.StartTimeout)
	defer cancel()
	done := make(chan string, 1)
	if _, err := m.conn.ReloadUnitContext(ctx, s.name(), "replace", done); err != nil {
		return refusalOf("reload", s.name(), err)
	}
	select {
	case result := <-done:
		if result != jobDone {
			return fmt.Errorf("cannot have systemd reload %s: its job is %s", s.name(), result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot have systemd reload %s: it did not come off within %s", s.name(), s.StartTimeout)
	}
}
