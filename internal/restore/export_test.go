package restore

import (
	"context"
	"os"

	"deadman/internal/atomicfile"
	"deadman/internal/snapshot"
)

// ExecuteAt is Execute, calling at wherever a crash would leave something
// different. A panic in it is the crash: nothing is cleaned up.
func ExecuteAt(p *Plan, store *snapshot.Store, exchange bool, at func(point string)) (Report, error) {
	e := &executor{plan: p, store: store, exchange: atomicfile.Exchange, at: at}
	if !exchange {
		e.exchange = func(*os.Root, string, string) error { return atomicfile.ErrNoExchange }
	}
	return e.execute(context.Background())
}
