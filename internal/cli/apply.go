package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/daemon"
)

const applyHelp = `Puts new config in place in such a way that it confirms itself: it is validated,
what is live is stored, the agent is stopped, started on the new config and
watched for its probation. Then the new config is the known good; or what was
live before is back, and the new one is held: nobody applies it again by
accident.

The new config is a directory laid out as the agent's config.root is (with
several sets, each beneath its label), or a commit of its canonical repository.
Files that it has take the place of those that are live. All others stay, and
so do modes, owners, links, and the values of "preserve" keys. If that changes
nothing, nothing is done and the agent is not restarted.

An agent that is stopped on purpose gets the config and is left stopped. Refused
are config that does not validate, that a guard objects to, or that is held;
and an agent that is paused, only observed, or in an incident.

exits:
  0   healthy on it for the probation; or it was live already
  1   reverted, or it did not come up, or something else came between
  2   refused, and nothing was changed; unknown agent, bad flag or bad config
  3   it cannot be told how the agent is
  75  another deadman has the agent in hand (see --wait), or an incident is open`

func (p *program) applyCommand() *cobra.Command {
	var arg daemon.Arg
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "apply AGENT", Short: "deploy new config, which is kept if the agent is well on it", Long: applyHelp, Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&arg.From, "from", "", "the new config is in `DIR`")
	cmd.Flags().StringVar(&arg.Ref, "ref", "", "the new config is in commit `REF` of the canonical repository")
	cmd.Flags().BoolVar(&arg.Reload, "reload", false, "have the agent reload, not restart; proven is only what it starts on")
	cmd.Flags().BoolVar(&arg.Force, "force", false, "apply also what is held or what a guard objects to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := waits(cmd, wait); err != nil {
			return err
		}
		if (arg.From == "") == (arg.Ref == "") {
			return wrong(cmd, "cannot apply: give one of --from and --ref")
		}
		if arg.From != "" {
			dir, err := filepath.Abs(arg.From)
			if err != nil {
				return wrong(cmd, "cannot use %q for --from: %v", arg.From, err)
			}
			arg.From = dir
		}
		return p.with(func(d *daemon.Daemon) error {
			agent, err := d.Apply(cmd.Context(), args[0], arg, wait)
			if err != nil {
				return err
			}
			p.exit, agent.Undo = agent.Exit, p.command(agent.Undo)
			p.fresh(agent)
			if p.asJSON {
				return p.json(agent)
			}
			p.applied(agent)
			return nil
		})
	}
	return p.jsonFlag(waitFlag(cmd, &wait, wordWait))
}

// applied prints how an apply came out: what was done, and what undoes it.
func (t *terminal) applied(a api.Agent) {
	x := a.Applied
	why := ""
	if x.Reason != deadman.ReasonUnset {
		why = fmt.Sprintf(": %s (%s)", x.Reason.Rule(), x.Reason)
	}
	changed := ""
	if len(x.Changed) > 0 {
		changed = ": " + strings.Join(x.Changed, ", ")
	}
	line := ""
	switch x.Outcome {
	case api.Unchanged:
		line = "nothing to do: it is what is live"
	case api.Passed:
		line = "applied " + x.Snapshot + changed + "; "
		switch {
		case x.Proven:
			line += "it is the known good now"
		default:
			line += "not proven yet: " + orDash(a.Proof)
		}
	case api.Idle:
		line = "applied " + x.Snapshot + changed + "; not started: it is stopped on purpose"
	case api.Reverted:
		line = "reverted to " + x.Was + why
	case api.Failed:
		line = "applied " + x.Snapshot + ", and it did not come up" + why
	case api.Refused:
		line = "not applied" + why
	default:
		line = "applied " + x.Snapshot + ", and it is open how it goes" + why
	}
	t.line(t.out, "%s: %s", a.Name, line)
	if x.Held {
		t.line(t.out, "  %s is held (incident %s); `deadman apply --force` would try it again", x.Snapshot, x.Incident)
	}
	for _, finding := range a.Findings {
		t.line(t.out, "  %s", finding)
	}
	for _, hint := range a.Hints {
		t.hint(hint)
	}
	if a.Undo != "" && x.Outcome != api.Unchanged {
		fmt.Fprintf(t.out, "  to undo: %s\n", plain(a.Undo))
	}
}
