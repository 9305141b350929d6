package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const rivalsHelp = `Finds what else restarts, starts, stops or rewrites the agents: crontabs,
systemd timers and services, launchd jobs, Monit, supervisord, the agents' own
schedules, loops that run (also in tmux), other deadmans. Scripts that they call
are read. What rightly owns an agent's process is none, nor is what only looks.

For each: where it is, what it does to which agent, and how sure that is.
certain: it names the agent's own unit, file or pid, and is in force. likely: by
a pattern, a directory, or the text of a program. possible: not in force, or it
cannot be told.

--disable moves aside what is certain or likely: lines of a shared file are
commented out, other files are renamed, units that a package brought are masked.
A file that was changed meanwhile is refused. A loop that runs goes on unless
--kill is given. --restore undoes all of it, byte for byte: what others have
written in a shared file since stays, and only where the lines themselves are
gone, changed, or there a second time is it refused.

exits:
  0   there is none that is certain or likely, or all are aside, or all restored
  1   there are some, or some could not be moved aside or restored
  2   unknown agent, bad flag or bad config`

func (p *program) rivalsCommand() *cobra.Command {
	var o daemon.RivalOptions
	cmd := &cobra.Command{
		Use: "rivals [AGENT...]", Short: "other watchdogs on this machine; move them aside", Long: rivalsHelp,
		Args: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Disable && o.Restore:
				return wrong(cmd, "cannot disable and restore at once")
			case o.Kill && !o.Disable:
				return wrong(cmd, "cannot kill without --disable: what starts it would start it again")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(func(d *daemon.Daemon) error {
				found, err := d.Rivals(cmd.Context(), args, o)
				var unknown *daemon.UnknownAgentError
				if errors.As(err, &unknown) {
					return err
				}
				if daemon.Standing(found) > 0 {
					p.exit = api.ExitFailed
				}
				if p.asJSON {
					return errors.Join(p.json(found), err)
				}
				p.rivals(found)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&o.Disable, "disable", false, "move them aside, so that they can be put back")
	cmd.Flags().BoolVar(&o.Kill, "kill", false, "with --disable: also end loops that run")
	cmd.Flags().BoolVar(&o.Restore, "restore", false, "put back what was moved aside")
	cmd.Flags().StringVar(&o.Root, "root", "/", "look at the machine below `DIR`: a disk of one that does not run")
	return p.jsonFlag(cmd)
}

func (p *program) rivals(found api.Rivals) {
	for _, r := range found.Rivals {
		where := r.Path
		switch {
		case r.PID > 0 && r.Pane != "":
			where = fmt.Sprintf("process %d in tmux pane %s", r.PID, r.Pane)
		case r.PID > 0:
			where = fmt.Sprintf("process %d", r.PID)
		case r.Line > 1 || r.Form == "crontab":
			where = fmt.Sprintf("%s:%d", r.Path, r.Line)
		}
		p.printf("%-8s  %s\n", r.Sure, where)
		for _, a := range r.Acts {
			p.printf("          %s: %s (%s)\n", a.Agent, a.Does, a.Reason)
		}
		if len(r.Via) > 0 {
			p.printf("          by %s\n", strings.Join(r.Via, ", "))
		}
		switch {
		case r.Outcome == "refused":
			p.printf("          refused: %s\n", r.Error)
		case r.Outcome != "" && r.Note != "":
			p.printf("          %s: %s\n", r.Outcome, p.commands(r.Note))
		case r.Outcome != "":
			p.printf("          %s\n", r.Outcome)
		case r.Hint != "":
			p.printf("          hint: %s\n", r.Hint)
		}
	}
	for _, r := range found.Restored {
		where := r.Path
		if where == "" {
			where = "a process"
		}
		switch {
		case r.Error != "":
			p.printf("left      %s: %s\n", where, r.Error)
		case r.Note != "":
			p.printf("left      %s\n", r.Note)
		default:
			p.printf("restored  %s\n", where)
		}
	}
	if len(found.Unseen) > 0 {
		p.warn(fmt.Sprintf("cannot read %s: run it as root to see everything", strings.Join(found.Unseen, ", ")))
	}
	if n := len(found.Aside); n > 0 {
		p.line(p.err, "deadman: %d aside: `deadman rivals --restore` puts back what can be", n)
	}
}
