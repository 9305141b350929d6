package cli

import (
	"github.com/spf13/cobra"

	"deadman/internal/daemon"
)

const publishHelp = `Commits the listed files of the known good to the branch deadman/HOST/AGENT of
the repository that the key publish names. Its index, HEAD and work tree are not
touched, and what is there already makes no second commit. Every promotion is
published by itself; this is for whoever wants it now.

What is published is readable for whoever can read the repository.

exits:
  0   published, or it was there already
  1   something could not be published or pushed
  2   unknown agent, bad flag or bad config`

func (p *program) publishCommand() *cobra.Command {
	var push bool
	cmd := &cobra.Command{
		Use: "publish [AGENT...]", Short: "commit the known good to a repository", Long: publishHelp, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.with(func(d *daemon.Daemon) error {
				all, err := d.Publish(cmd.Context(), names, push)
				if p.asJSON {
					if jerr := p.json(list(all)); jerr != nil {
						return jerr
					}
					return err
				}
				for _, one := range all {
					what := "is there already"
					if one.New {
						what = "is new"
					}
					p.printf("%s: %s %.12s in %s %s\n", one.Name, one.Branch, one.Commit, one.Repo, what)
					if one.Pushed != "" {
						p.printf("%s: pushed to %s\n", one.Name, one.Pushed)
					}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&push, "push", false, "push the branch to the remote that publish.push names")
	return p.jsonFlag(cmd)
}
