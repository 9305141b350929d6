package powerloss_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"deadman/internal/rival"
	. "deadman/internal/simtest/powerloss"
)

// machineDir is the disk of a machine, with whatever else acts on the agent.
const machineDir = "machine"

// machine makes one with a rival of each kind, all in directories of their own.
func (w *world) machine() {
	w.t.Helper()
	act := "cp /srv/config.yaml " + filepath.Join(w.mount, "etc/config.yaml")
	unit := "[Service]\nExecStart=/bin/sh -c '" + act + "'\n"
	timer := "[Timer]\nOnCalendar=minutely\n"
	set := files{
		"var/spool/cron/crontabs/root":                         "0 1 * * * /usr/bin/backup\n* * * * * " + act + "\n",
		"etc/cron.hourly/watch":                                "#!/bin/sh\n" + act + "\n",
		"usr/lib/systemd/system/brought.service":               unit,
		"usr/lib/systemd/system/brought.timer":                 timer,
		"etc/systemd/system/timers.target.wants/brought.timer": "-> /usr/lib/systemd/system/brought.timer",
	}
	w.edit("a machine", func() error { return set.write(filepath.Join(w.mount, machineDir)) })
}

// journalDir is where it is written down what became of rivals.
const journalDir = stateDir + "/rivals"

// rivals says what a loss has cost a machine: what was reported of it is so, and
// what was moved aside, or was about to be, can be put back as it was.
func (j *judge) rivals(l Loss) (found []string) {
	for _, m := range j.w.marks {
		if m.at == l.Point {
			if seen := j.history.After(m.at); l.Disk.Digest(nil, machineDir, journalDir) != seen.Digest(nil, machineDir, journalDir) {
				found = append(found, m.what+" has told of what is not on the disk")
			}
		}
	}
	again := once(j.ex, "rivals", l.Disk, []string{machineDir, journalDir}, func(dir string) string {
		host := &rival.Host{Root: filepath.Join(dir, machineDir)}
		outcomes, err := rival.Restore(context.Background(), host, filepath.Join(dir, journalDir), nil, rival.Options{})
		for _, o := range outcomes {
			err = errors.Join(err, o.Err)
		}
		left, readErr := rival.Journal(filepath.Join(dir, journalDir))
		after, diskErr := ReadDisk(dir)
		switch err = errors.Join(err, readErr, diskErr); {
		case err != nil:
			return err.Error()
		case len(left) > 0:
			return fmt.Sprintf("%d rivals are aside for ever", len(left))
		case after.Digest(nil, machineDir) != j.machine.Digest(nil, machineDir):
			return "what was aside is not back as it was"
		}
		return ""
	})
	if again != "" {
		found = append(found, again)
	}
	return found
}
