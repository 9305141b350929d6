package daemon_test

import (
	"os"
	"testing"
)

// TestHalfARestoreIsHalfASet: a restore that died in the middle, and that cannot
// go on when it is taken up again, has left half a set, although the second
// attempt itself has replaced nothing. Nothing may be started on that.
// (Found by the simulation.)
func TestHalfARestoreIsHalfASet(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"after the first file": true, "before it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.edit("files: [config.yaml]", "files: [config.yaml, extra.env]")
			m.write("etc/extra.env", "A=1\n")
			m.healthy()
			good := m.read("etc/config.yaml")
			m.write("etc/config.yaml", "listen: [\n")
			m.write("etc/extra.env", "A=2\n")
			o, err := m.d.RestoreTwice(t.Context(), "a", func(known string) {
				if first {
					m.write("etc/config.yaml", good)
				}
				try(t, os.Remove(m.path("state/agents/a/snapshots/"+known+"/files/extra.env")))
			})
			if err != nil {
				t.Fatal(err)
			}
			if o.OK || o.Partly != first {
				t.Errorf("ok %v, partly %v: %s", o.OK, o.Partly, o.Detail)
			}
		})
	}
}

// TestWhatWasRacedIsPlannedAnew: somebody writes while half of the set is put back.
// His bytes are kept, and then the plan that they have stopped is of no use any more.
// (Found by taking the power away.)
func TestWhatWasRacedIsPlannedAnew(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.healthy()
	good := m.read("etc/config.yaml")
	m.write("etc/config.yaml", "listen: [\n")
	first, second, err := m.d.RestoreRaced(t.Context(), "a", func() { m.write("etc/config.yaml", "listen: [somebody\n") })
	if err != nil {
		t.Fatal(err)
	}
	if first.OK || !first.Changed {
		t.Errorf("with somebody's bytes there: ok %v, changed %v: %s", first.OK, first.Changed, first.Detail)
	}
	if !second.OK || m.read("etc/config.yaml") != good {
		t.Errorf("once they were kept: ok %v: %s", second.OK, second.Detail)
	}
}
