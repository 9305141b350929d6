package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Scan reads the table of processes. It costs some 10 µs a process.
func Scan() (Table, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return Table{}, fmt.Errorf("cannot list the processes: %v", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return Table{}, fmt.Errorf("cannot list the processes: %v", err)
	}
	t := Table{stats: make(map[int]Stat, len(names)/2)}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s, err := Read(pid)
		switch {
		case err == nil && !s.Dead():
			t.stats[pid] = s
		case err != nil && !errors.Is(err, ErrGone):
			t.Partial = true
		}
	}
	// With hidepid=2 others' processes are not even listed. Pid 1 is always there,
	// and is root's.
	if _, ok := t.stats[1]; !ok {
		t.Partial = true
	}
	return t, nil
}
