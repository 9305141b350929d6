package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"deadman/internal/record"
	"deadman/internal/sink/requestlog"
)

// requestLogSink is the name of its cursor.
const requestLogSink = "request_log"

// deliveryMax bounds one delivery.
const deliveryMax = 500

// rowsDue is the file whose presence says that request_log may lack a row of an
// agent. It is set before the end of a recovery is recorded, because deadman may
// end before it delivers, and is all that a healthy check looks at.
func rowsDue(dir string) string { return filepath.Join(dir, "rows-due") }

// deliverOf delivers what a run has recorded of an agent, or an earlier one that
// could not deliver it. The caller holds the agent's lock.
func (d *Daemon) deliverOf(ctx context.Context, k *keeper) error {
	due := rowsDue(k.world.dir)
	if _, err := os.Lstat(due); err != nil && k.journal.written == 0 {
		return nil
	}
	if err := d.deliver(ctx); err != nil {
		return err
	}
	_ = os.Remove(due) // One that stays costs a look at the log.
	return nil
}

// deliver brings the rows of request_log up to date. A sink that is down loses
// nothing: its cursor stays where it is.
func (d *Daemon) deliver(ctx context.Context) error {
	log, err := d.journal.Log()
	if err != nil {
		return fmt.Errorf("cannot deliver to request_log: %w", err)
	}
	for {
		cursor, err := log.Cursor(ctx, requestLogSink)
		if err != nil {
			return err
		}
		last, n := cursor, 0
		var rows []requestlog.Row
		for e, err := range log.Entries(ctx, record.Query{After: cursor, Limit: deliveryMax}) {
			if err != nil {
				return err
			}
			last = e.ID
			n++
			if row, ok := requestRow(e); ok {
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			if err := requestlog.Deliver(ctx, d.cfg.RequestLog, rows); err != nil {
				return fmt.Errorf("cannot deliver to request_log: %w", err)
			}
		}
		if last > cursor {
			if err := log.Advance(ctx, requestLogSink, last); err != nil {
				return err
			}
		}
		if n < deliveryMax {
			return nil
		}
	}
}

// requestRow is the row of an entry, if it has one.
func requestRow(e record.Entry) (requestlog.Row, bool) {
	if !ending(e) {
		return requestlog.Row{}, false
	}
	var body entryBody
	if err := json.Unmarshal(e.Body, &body); err != nil {
		body = entryBody{}
	}
	return requestlog.Row{
		Time: e.Time, Agent: e.Agent, Event: e.Kind, ConfigPath: body.ConfigPath,
		Duration: time.Duration(body.DurationMS) * time.Millisecond, OK: e.Outcome == outcomeSuccess,
		OldHash: e.OldHash, NewHash: e.NewHash, Cause: e.Cause, Reason: e.Reason, Snapshot: e.Snapshot, Record: e.ID,
	}, true
}

// deliveryRetry is how long a sink that failed is left alone.
const deliveryRetry = 30 * time.Second

// deliverAlways delivers whenever kicked, and again after a failure, until ctx
// ends. It is in nobody's way.
func (d *Daemon) deliverAlways(ctx context.Context, kick <-chan struct{}, warn func(error)) {
	// A repository that is slow to take what is published has no row wait.
	news := make(chan struct{}, 1)
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { d.publishAlways(ctx, news, warn) })
	said := "" // the last failure, unless a delivery came after it
	for {
		var again <-chan time.Time
		select {
		case news <- struct{}{}:
		default:
		}
		switch err := d.deliver(ctx); {
		case ctx.Err() != nil:
			return // Whatever failed, failed for that.
		case err == nil:
			said = ""
		default:
			if err.Error() != said {
				said = err.Error()
				warn(err)
			}
			again = time.After(deliveryRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-kick:
		case <-again:
		}
	}
}
