package daemon

import (
	"errors"

	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// reserveBeyond is what the reserve holds beside two sets: a state and a record
// in the database, and the spool that is prepared when it is given up.
const reserveBeyond = 1<<20 + 64<<10

// reserve sets space aside for a bad day, once a round was written where it
// belongs. It is given up by the record and by Keep.
func (k *keeper) reserve() error {
	if k.journal.place != record.InDatabase || k.world.last.problem != nil {
		return nil
	}
	return record.Reserve(k.world.stateDir, 2*k.world.last.size+reserveBeyond)
}

// twice does once more what failed: a call that a disk refuses once must not cost
// the recovery, which without Keep, or without a set that is staged, can only start
// the agent on the very config that ended it.
func twice(do func() error) error {
	err := do()
	if err != nil {
		err = do()
	}
	return err
}

// save stores a look, if need be in the space of the reserve. Bytes that are
// stored already are safe also where nothing can be written: that they were seen
// again is not worth a failure.
func (w *world) save(look *snapshot.Look, meta snapshot.Meta) (snapshot.Manifest, error) {
	var m snapshot.Manifest
	err := twice(func() (err error) {
		m, err = w.stored(look, meta)
		var full *snapshot.NoSpaceError
		if errors.As(err, &full) {
			_, _ = record.Release(w.stateDir)
		}
		return err
	})
	if err != nil {
		if stored, ok, lookErr := w.store.ByHash(look.Hash); lookErr == nil && ok && w.store.Verify(stored.ID) == nil {
			return stored, nil
		}
	}
	return m, err
}
