//go:build linux && (amd64 || arm64)

package crash_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // request_log

	"deadman/internal/api"
	"deadman/internal/sink/notify"
	"deadman/internal/snapshot"
)

// So many rounds may it take until all is well again: after a crash, and after a
// disk that has failed, when gaps may have grown.
const (
	roundsAfterCrash = 6
	roundsAfterDisk  = 40
)

// judgeAt is what must hold at every instant: if an agent runs, it has a whole set.
func (w *world) judgeAt() error {
	if len(w.agents()) == 0 {
		return nil
	}
	_, err := w.live()
	return err
}

// heal runs check until all is well, so many rounds at most.
func (w *world) heal(rounds int) error {
	var err error
	for range rounds {
		if err = w.check(); err == nil {
			return nil
		}
		time.Sleep(500 * time.Millisecond) // a backoff gap
	}
	return fmt.Errorf("not well after %d rounds: %w", rounds, err)
}

// judge is what must hold in the end. before is how often the agent was started
// when the deed began.
func (w *world) judge(want want, before int) error {
	live, err := w.live()
	if err != nil {
		return err
	}
	if !among(live, want.live) {
		return fmt.Errorf("live is %s", live.name)
	}
	if pids := w.agents(); len(pids) != 1 {
		return fmt.Errorf("processes of the agent: %v", pids)
	}
	if err := w.answers(); err != nil {
		return fmt.Errorf("the agent does not answer: %w", err)
	}
	starts := w.starts()[before:]
	if want.starts != nil && !slices.Contains(want.starts, len(starts)) {
		return fmt.Errorf("deadman started the agent %d times", len(starts))
	}
	if want.on == nil {
		want.on = want.live
	}
	for _, on := range starts { // "" is half a set
		if !named(on, want.on) {
			return fmt.Errorf("it was started on %q", on)
		}
	}
	if err := w.judgeStore(want); err != nil {
		return err
	}
	rollbacks, err := w.judgeLog(want)
	if err != nil {
		return err
	}
	if len(want.starts) > 1 && rollbacks != len(starts) {
		return fmt.Errorf("the log tells of %d rollbacks, and the agent was started %d times", rollbacks, len(starts))
	}
	return w.judgeSinks(want, rollbacks)
}

func among(v version, all []version) bool { return named(v.name, all) }

func named(name string, all []version) bool {
	return slices.ContainsFunc(all, func(v version) bool { return v.name == name })
}

func (w *world) store() (*snapshot.Store, error) { return snapshot.Open(w.path("state/agents/a"), "a") }

// snapshotOf is the id of the snapshot of a version, "" if there is none.
func (w *world) snapshotOf(v version) string {
	dirs, _ := filepath.Glob(w.path("state/agents/a/snapshots/2*"))
	for _, dir := range dirs {
		if is, err := w.setIn(filepath.Join(dir, "files")); err == nil && is.name == v.name {
			return filepath.Base(dir)
		}
	}
	return ""
}

// judgeStore: nothing is lost, everything in the store is whole, and the known good
// is what it should be.
func (w *world) judgeStore(want want) error {
	store, err := w.store()
	if err != nil {
		return err
	}
	defer store.Close()
	all, err := store.List()
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := store.Verify(m.ID); err != nil {
			return fmt.Errorf("snapshot %s: %w", m.ID, err)
		}
	}
	for _, v := range want.kept {
		if w.snapshotOf(v) == "" {
			return fmt.Errorf("%s is lost", v.name)
		}
	}
	if _, ok, err := store.KnownGood(); err != nil || !ok {
		return fmt.Errorf("there is no known good: %v", err)
	}
	link, err := filepath.EvalSymlinks(w.path("state/agents/a/last-known-good"))
	if err != nil {
		return err
	}
	known, err := w.setIn(link)
	if err != nil {
		return err
	}
	if !among(known, want.known) {
		return fmt.Errorf("the known good is %s", known.name)
	}
	a, err := w.report()
	if err != nil {
		return err
	}
	if a.KnownGood == nil || a.KnownGood.ID != filepath.Base(filepath.Dir(link)) {
		return fmt.Errorf("status says that the known good is %+v, and the link leads to %s", a.KnownGood, link)
	}
	return nil
}

// judgeLog: the chain holds, and it tells of as many rollbacks as there were.
func (w *world) judgeLog(want want) (rollbacks int, err error) {
	if out, stderr, exit := w.ask("history", "--verify"); exit != 0 {
		return 0, fmt.Errorf("history --verify exits %d: %s%s", exit, out, stderr)
	}
	out, stderr, exit := w.ask("history", "--json")
	if exit != 0 {
		return 0, fmt.Errorf("history exits %d: %s", exit, stderr)
	}
	for line := range strings.Lines(out) {
		var e api.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return 0, err
		}
		switch {
		case e.Kind == "rollback" && e.Outcome == "success":
			rollbacks++
			if e.OldHash == "" || e.NewHash == "" || e.OldHash == e.NewHash || e.Reason == "" {
				return 0, fmt.Errorf("the log tells of a rollback without what it was: %s", line)
			}
		case e.Kind == "failed" && !want.failed, e.Kind == "alert" && strings.Contains(line, "stood-down"):
			return 0, fmt.Errorf("the log tells: %s", line)
		}
	}
	if !slices.Contains(want.rollbacks, rollbacks) {
		return 0, fmt.Errorf("the log tells of %d rollbacks", rollbacks)
	}
	return rollbacks, nil
}

// judgeSinks: whoever is to be told is told, each row once.
func (w *world) judgeSinks(want want, rollbacks int) error {
	// What could not be delivered goes with the next round that has something to
	// record, which is the end of the probation at the latest.
	err := until(func() error {
		rows, err := w.rows()
		if err != nil {
			return err
		}
		if rows == rollbacks && (!want.told || len(w.hook.messages(notify.Rollback)) == rollbacks) {
			return nil
		}
		if err := w.check(); err != nil {
			return err
		}
		return fmt.Errorf("request_log has %d rows of %d, and %d messages arrived", rows, rollbacks, len(w.hook.messages(notify.Rollback)))
	})
	if err != nil {
		return err
	}
	if rollbacks == 0 {
		return nil
	}
	for key, times := range w.hook.messages(notify.Rollback) {
		if times > 2 { // Noted right after it was sent, it is sent again at worst.
			return fmt.Errorf("message %s came %d times", key, times)
		}
	}
	if err := w.check(); err != nil {
		return err
	}
	if rows, err := w.rows(); err != nil || rows != rollbacks {
		return fmt.Errorf("request_log has %d rows: %v", rows, err)
	}
	return nil
}

// rows is how many rollbacks request_log has.
func (w *world) rows() (n int, err error) {
	path := w.path("log/request_log.db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	// Not read-only: what a killed writer has left half is rolled back by whoever
	// comes next.
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=rw")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRow("SELECT count(*) FROM request_log WHERE model = 'rollback'").Scan(&n)
	if err != nil && strings.Contains(err.Error(), "no such table") {
		return 0, nil
	}
	return n, err
}
