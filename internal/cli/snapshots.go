package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

const viewExits = `

exits:
  0   shown
  1   there is no such snapshot, or the store could not be read
  2   unknown agent, bad flag or bad config`

func (p *program) snapshotsCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "snapshots AGENT", Short: "the stored versions of an agent's config, newest first",
		Long: `Lists the stored versions of an agent's config, newest first.` + viewExits, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(func(d *daemon.Daemon) error {
				all, err := d.Snapshots(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.json(list(all))
				}
				now := time.Now()
				rows := [][]string{{"SNAPSHOT", "STANDING", "CREATED", "SEEN", ""}}
				for _, s := range all {
					rows = append(rows, []string{s.ID, s.Standing.String(), clockTime(s.Created, now), clockTime(s.Seen, now), marks(s)})
				}
				p.table(rows)
				return nil
			})
		},
	})
}

// marks are what is special about a snapshot.
func marks(s api.Snapshot) string {
	var marks []string
	if s.KnownGood {
		mark := "known good"
		if s.Provisional {
			mark += " (provisional)"
		}
		marks = append(marks, mark)
	}
	if s.Live {
		marks = append(marks, "live")
	}
	if s.Pinned {
		marks = append(marks, "pinned")
	}
	return strings.Join(marks, ", ")
}
