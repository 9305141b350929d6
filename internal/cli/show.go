package cli

import (
	"time"

	"github.com/spf13/cobra"

	"deadman/internal/api"
	"deadman/internal/daemon"
)

func (p *program) showCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show AGENT [SNAPSHOT]", Short: "one stored version: its files, history and proofs",
		Long: `Shows one stored version, the known good by default: its files with their modes
and owners, the history of its standing, and its proofs. It shows no contents.
SNAPSHOT is an id, the beginning of one, "known-good" or "live".` + viewExits, Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := "known-good"
			if len(args) > 1 {
				id = args[1]
			}
			return p.with(func(d *daemon.Daemon) error {
				s, err := d.Show(cmd.Context(), args[0], id)
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.json(s)
				}
				p.showSnapshot(s, time.Now())
				return nil
			})
		},
	})
}

func (p *program) showSnapshot(s api.Snapshot, now time.Time) {
	standing := s.Standing.String()
	if marks := marks(s); marks != "" {
		standing += ", " + marks
	}
	p.table([][]string{
		{"snapshot", orDash(s.ID)},
		{"standing", standing},
		{"created", clockTime(s.Created, now)},
		{"seen", clockTime(s.Seen, now)},
		{"why", orDash(s.Evidence)},
		{"hash", s.Hash},
	})
	p.printf("files:\n")
	var rows [][]string
	for _, m := range s.Members {
		sum := m.SHA256[:min(12, len(m.SHA256))]
		rows = append(rows, []string{"  " + m.Mode, m.Owner, m.Type, sum, m.Name})
	}
	p.table(rows)
	for _, line := range s.History {
		p.printf("history: %s\n", line)
	}
	for _, line := range s.Proofs {
		p.printf("proof: %s\n", line)
	}
}
