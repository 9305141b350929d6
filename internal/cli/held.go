package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const heldHelp = `Lists the versions of config that are known to be bad, with the incident that
showed it. "deadman apply" refuses them.

With --check FILE it says whether the content of that file is one of those that
made a version bad: one that a bad version has, and no proven one. FILE may be a
copy under any name, as Ansible gives it:

  ansible.builtin.template:
    validate: deadman held --check %s

It is compared with all files of all agents, or of those that are named by AGENT
and --member.

exits:
  0   listed; with --check, it is not held
  1   it is held; or the store could not be read
  2   unknown agent, bad flag, no such FILE, or bad config`

func (p *program) heldCommand() *cobra.Command {
	var file, member string
	cmd := &cobra.Command{
		Use: "held [AGENT]", Short: "the versions that are known to be bad", Long: heldHelp, Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVar(&file, "check", "", "say by the exit whether `FILE` is held")
	cmd.Flags().StringVar(&member, "member", "", "compare it with `NAME` alone, the name of a file in the config set")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if cmd.Flags().Changed("check") && file == "" {
			return wrong(cmd, "cannot check: --check names no file")
		}
		if member != "" && file == "" {
			return wrong(cmd, "cannot use --member without --check")
		}
		return p.with(func(d *daemon.Daemon) error {
			held, err := d.Held(names, file, member)
			var refused *daemon.RefusedError
			if errors.As(err, &refused) {
				return err
			}
			if file != "" && len(held) > 0 {
				p.exit = api.ExitFailed
			}
			switch {
			case p.asJSON:
				err = errors.Join(err, p.json(list(held)))
			case file != "":
				for _, h := range held {
					fmt.Fprintf(p.out, "%s is held: as %s of %s it was in %s\n", plain(file), plain(h.Member), plain(h.Agent), plain(h.Why))
				}
			default:
				rows := [][]string{{"AGENT", "SNAPSHOT", "INCIDENT", "WHY"}}
				for _, h := range held {
					rows = append(rows, []string{h.Agent, h.Snapshot, orDash(h.Incident), h.Reason})
				}
				p.table(rows)
			}
			return err
		})
	}
	return p.jsonFlag(cmd)
}
